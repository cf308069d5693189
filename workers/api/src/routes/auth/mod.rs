//! Who one is: log-in in one or two steps, what is shown again for sensitive acts, and the way out.
mod ceremony;
mod factor;
mod guard;
mod jwks;
mod login;
mod passkey_login;
mod passkeys;
mod password;
mod sessions;
mod step_up;
mod token;

use axum::response::Response;
use hotline_domain::people::Person;
use hotline_domain::policy::{Minute, Permissions};
use hotline_domain::sessions::Session;
use http::header::SET_COOKIE;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::json;
use crate::app::Shared;
use crate::gate::{Claims, Owed, Purpose, SESSION_COOKIE};
use crate::problem::{Problem, Reply};

// With the descriptions that are made beside each.
pub(crate) use factor::*;
pub(crate) use jwks::*;
pub(crate) use login::*;
pub(crate) use passkey_login::*;
pub(crate) use passkeys::*;
pub(crate) use password::*;
pub(crate) use sessions::*;
pub(crate) use step_up::*;
pub(crate) use token::mint_token;

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LoggedIn {
    /// For `Authorization: Bearer`; browsers get the same in an HttpOnly cookie.
    token: String,
    user: User,
    /// Factors that were shown: 1 or 2.
    assurance: u8,
    /// Nothing is allowed but to set a second factor up, to replace the password, and to leave.
    mfa_enrolment_required: bool,
    #[schema(value_type = String, format = DateTime)]
    expires_at: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct User {
    id: Uuid,
    username: String,
    roles: Vec<&'static str>,
    /// In this session, as things are: none while the account is not in order.
    permissions: Vec<&'static str>,
    /// The password was given by somebody else and must be replaced first.
    must_change_password: bool,
}

/// The answer that opens a session.
fn logged_in(app: &Shared, person: &Person, session: &Session) -> Reply {
    let mfa = app.config.people.mfa;
    let owes = Owed::of(session.lacks_factor, session.must_change_password, mfa);
    let permissions = match owes {
        Some(_) => Permissions::NONE,
        None => app.domain.access.permissions(session.standing, Minute::of_ms(app.now_ms())),
    };
    let body = LoggedIn {
        token: sign(app, session)?,
        user: User {
            id: person.id,
            username: person.name.clone(),
            roles: person.roles.iter().map(|role| role.name()).collect(),
            permissions: permissions.names(),
            must_change_password: session.must_change_password,
        },
        assurance: session.factors,
        mfa_enrolment_required: Owed::of(session.lacks_factor, false, mfa) == Some(Owed::Factor),
        expires_at: timestamp(session.expires_at_ms),
    };
    let mut response = json(StatusCode::OK, &body);
    let lives_s = session.expires_at_ms.saturating_sub(app.now_ms()) / 1_000;
    set_cookie(&mut response, &body.token, lives_s);
    Ok(response)
}

fn sign(app: &Shared, session: &Session) -> Reply<String> {
    let claims = Claims {
        user: session.user,
        session: session.id,
        serial: Uuid::nil(),
        expires_at_s: session.expires_at_ms.div_ceil(1_000),
    };
    app.tokens.sign(Purpose::Bearer, &claims, app.now_ms() / 1_000).ok_or_else(Problem::internal)
}

fn set_cookie(response: &mut Response, token: &str, lives_s: u64) {
    let cookie = format!("{SESSION_COOKIE}={token}; Path=/; Max-Age={lives_s}; Secure; HttpOnly; SameSite=Strict");
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
}

pub(super) fn timestamp(ms: u64) -> String {
    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
    format!("{:.3}", jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX))
}

#[cfg(test)]
mod tests;

/// Longer than any that may be chosen.
const PASSWORD_BYTES_MAX: usize = 1_024;
/// No code is longer, however it is typed.
const CODE_BYTES_MAX: usize = 64;
