//! Log-in, log-out, and tokens for machines.
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hotline::audit::{EventType, Outcome, Severity};
use hotline::wire::{AdminCall, AdminReply};
use hotline_domain::sessions::Session;
use http::header::SET_COOKIE;
use http::{HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{ProblemBody, json};
use crate::app::Shared;
use crate::gate::{Caller, Claims, Payer, Purpose, Recorded, SESSION_COOKIE, Visit, neighbourhood};
use crate::json::Json;
use crate::problem::{Problem, Reply};
use crate::trail::{self, Act};

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credentials {
    username: String,
    password: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LoggedIn {
    /// For `Authorization: Bearer`; browsers get the same in an HttpOnly cookie.
    token: String,
    user: User,
    #[schema(value_type = String, format = DateTime)]
    expires_at: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct User {
    id: Uuid,
    username: String,
    roles: Vec<&'static str>,
    permissions: Vec<&'static str>,
    /// The password was given by somebody else and should be replaced.
    must_change_password: bool,
}

/// A session for a name and a password. Unknown names and wrong passwords look and take the same.
#[utoipa::path(post, path = "/api/v1/auth/login", tag = "auth", security(()), request_body = Credentials,
    responses((status = 200, body = LoggedIn), (status = 401, body = ProblemBody), (status = 429, body = ProblemBody)))]
pub(crate) async fn login(
    State(app): State<Shared>,
    visit: Visit,
    Json { value: credentials, .. }: Json<Credentials>,
) -> Reply {
    let Credentials { username, password } = credentials;
    let password = zeroize::Zeroizing::new(password);
    if username.len() > NAME_BYTES_MAX || password.len() > PASSWORD_BYTES_MAX {
        return Err(Problem::invalid("/username", "is too long, or the password is"));
    }
    charge_login(&app, &visit, &username)?;
    // The hash is computed on threads with a queue of their own.
    let rest = app.admission.rest(visit.ticket);
    let verified = app.domain.people.verify(&username, &password).await;
    drop(rest);
    let Some(person) = verified.map_err(|error| app.broken(error))? else {
        let act = Act::new(EventType::Login, "auth.login", "")
            .severity(Severity::Medium)
            .outcome(Outcome::Denied)
            .details(json!({ "name": username }));
        trail::change(&app, &visit, act).await?;
        return Ok(refused());
    };
    trail::change(&app, &visit, Act::new(EventType::Login, "auth.login", person.id).actor(person.id)).await?;
    let session = app.start_session(person.id, None).await?;
    let token = sign(&app, &session)?;
    let body = LoggedIn {
        user: User {
            id: person.id,
            username: person.name.clone(),
            roles: person.roles.iter().map(|role| role.name()).collect(),
            permissions: person.permissions().names(),
            must_change_password: person.must_change_password,
        },
        expires_at: timestamp(session.expires_at_ms),
        token,
    };
    let mut response = json(StatusCode::OK, &body);
    let lives_s = session.expires_at_ms.saturating_sub(app.now_ms()) / 1_000;
    set_cookie(&mut response, &body.token, lives_s);
    Ok(response)
}

/// Ends the session on every worker at once.
#[utoipa::path(post, path = "/api/v1/auth/logout", tag = "auth",
    responses((status = 204), (status = 401, body = ProblemBody)))]
pub(crate) async fn logout(State(app): State<Shared>, caller: Caller) -> Reply {
    let session = caller.principal.session;
    trail::change(&app, &caller.visit, Act::new(EventType::Login, "auth.logout", session)).await?;
    app.end_session(session).await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    set_cookie(&mut response, "", 0);
    Ok(response)
}

/// `hotline token`: a session for a machine, asked for over the admin socket.
pub(crate) async fn mint_token(app: &Shared, call: AdminCall) -> AdminReply {
    let AdminCall::MintToken { user, ttl_seconds, requested_by_uid } = call;
    match mint(app, &user, ttl_seconds, requested_by_uid).await {
        Ok((token, expires_at_ms)) => {
            AdminReply::Token { token, expires_at_ms: i64::try_from(expires_at_ms).unwrap_or(i64::MAX) }
        }
        Err(reason) => AdminReply::Refused { reason },
    }
}

async fn mint(app: &Shared, user: &str, ttl_seconds: u64, uid: u32) -> Result<(String, u64), String> {
    let longest = app.config.sessions.automation_seconds_max;
    if ttl_seconds == 0 || ttl_seconds > longest {
        return Err(format!("a token lives between 1 and {longest} seconds (sessions.automation_seconds_max)"));
    }
    let person = app
        .domain
        .people
        .find(user)
        .await
        .map_err(|_| "the store could not be asked".to_owned())?
        .ok_or_else(|| format!("there is no user {user:?}"))?;
    let act = Act::new(EventType::Login, "token.mint", person.id)
        .severity(Severity::Medium)
        .details(json!({ "ttlSeconds": ttl_seconds, "uid": uid }));
    trail::operator(app, uid, act).await.map_err(|_| "the request could not be recorded".to_owned())?;
    let failed = |_| "the session could not be stored".to_owned();
    let session = app.start_session(person.id, Some(ttl_seconds)).await.map_err(failed)?;
    let token = sign(app, &session).map_err(|_| "there is no key to sign with".to_owned())?;
    Ok((token, session.expires_at_ms))
}

/// Both budgets count every try, so that neither many names nor many addresses help a guesser.
fn charge_login(app: &Shared, visit: &Visit, username: &str) -> Reply<()> {
    let name = app.vault.blind_index("login", &username.trim().to_lowercase());
    for payer in [Payer::LoginAddress(neighbourhood(visit.address)), Payer::LoginName(&name)] {
        let charge = app.charge(payer, app.config.rate.login);
        if let Some(mut refusal) = charge.refusal() {
            app.meters.rate_limited(charge.name());
            charge.write(&mut refusal.headers);
            return Err(refusal);
        }
    }
    Ok(())
}

fn refused() -> Response {
    let problem = Problem::new(StatusCode::UNAUTHORIZED, "invalid-credentials", "Invalid credentials")
        .header(http::header::WWW_AUTHENTICATE, HeaderValue::from_static(r#"Bearer realm="hotline""#));
    let mut response = problem.into_response();
    response.extensions_mut().insert(Recorded);
    response
}

fn sign(app: &Shared, session: &Session) -> Reply<String> {
    let now_s = app.now_ms() / 1_000;
    let claims = Claims {
        user: session.user,
        session: session.id,
        serial: Uuid::nil(),
        expires_at_s: session.expires_at_ms.div_ceil(1_000),
    };
    app.tokens.sign(Purpose::Bearer, &claims, now_s).ok_or_else(Problem::internal)
}

fn set_cookie(response: &mut Response, token: &str, lives_s: u64) {
    let cookie = format!("{SESSION_COOKIE}={token}; Path=/; Max-Age={lives_s}; Secure; HttpOnly; SameSite=Strict");
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
}

fn timestamp(ms: u64) -> String {
    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
    format!("{:.3}", jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX))
}

/// No account has a longer name.
const NAME_BYTES_MAX: usize = 256;
/// Sixteen times what the guidelines ask to be accepted.
const PASSWORD_BYTES_MAX: usize = 1_024;
