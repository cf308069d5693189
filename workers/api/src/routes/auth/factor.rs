//! The caller's own authenticator app and recovery codes: set up, confirmed, looked at, made anew, taken away.
use axum::extract::State;
use hotline::audit::{EventType, Outcome, Severity};
use hotline_domain::store::Dropped;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::{guard, passkeys};
use crate::app::Shared;
use crate::gate::{Caller, neighbourhood};
use crate::json::Json;
use crate::problem::{Problem, Reply};
use crate::routes::{ProblemBody, json};
use crate::trail::{self, Act};

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MfaState {
    /// An authenticator app is asked for at log-in.
    totp: bool,
    /// That open the account; one that is suspended does not.
    passkeys: usize,
    recovery_codes_left: u32,
    /// The house asks its staff for a second factor.
    required: bool,
}

/// Shown this once.
#[derive(Serialize, ToSchema)]
pub(crate) struct TotpSecret {
    /// Base 32, to be typed into an authenticator app.
    secret: String,
    /// `otpauth:`, for a picture that the app reads.
    uri: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TotpCode {
    code: String,
}

/// Shown this once; each opens the account one time in place of the app.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RecoveryCodes {
    recovery_codes: Vec<String>,
}

/// Which second factors the caller has.
#[utoipa::path(get, path = "/api/v1/auth/mfa", tag = "auth",
    responses((status = 200, body = MfaState), (status = 401, body = ProblemBody)))]
pub(crate) async fn mfa(State(app): State<Shared>, caller: Caller) -> Reply {
    let person = guard::person(&app, &caller).await?;
    let people = &app.domain.people;
    let left = people.recovery_codes_left(person.id).await.map_err(|error| app.broken(error))?;
    let totp = people.has_app(person.id).await.map_err(|error| app.broken(error))?;
    let passkeys = people.passkeys(person.id).await.map_err(|error| app.broken(error))?;
    let passkeys = passkeys.iter().filter(|passkey| !passkey.suspended).count();
    trail::reading(&app, &caller.visit, Act::new(EventType::Access, "auth.mfa.read", person.id)).await?;
    let required = app.config.people.mfa == hotline::config::Mfa::Required && person.is_staff();
    Ok(json(StatusCode::OK, &MfaState { totp, passkeys, recovery_codes_left: left, required }))
}

/// A secret for an authenticator app. It counts once its first code is confirmed, within a quarter of an hour.
#[utoipa::path(post, path = "/api/v1/auth/mfa/totp", tag = "auth",
    responses((status = 200, body = TotpSecret), (status = 401, body = ProblemBody), (status = 409, body = ProblemBody)))]
pub(crate) async fn totp(State(app): State<Shared>, caller: Caller) -> Reply {
    app.must_be_fresh(&caller).await?;
    let person = guard::person(&app, &caller).await?;
    let act = || Act::new(EventType::SystemChange, "auth.mfa.enrol", person.id).severity(Severity::Medium);
    trail::change(&app, &caller.visit, act()).await?;
    match app.domain.people.enrol_totp(&person).await.map_err(|error| app.broken(error))? {
        Some(enrolment) => {
            let body = TotpSecret { secret: enrolment.secret.to_string(), uri: enrolment.uri.to_string() };
            Ok(json(StatusCode::OK, &body))
        }
        None => {
            trail::not_done(&app, &caller.visit, act());
            Err(Problem::new(StatusCode::CONFLICT, "mfa-exists", "Conflict")
                .detail("There is an app already; take it away first."))
        }
    }
}

/// The first code of the app. From now on it is asked for; other sessions of the caller end, this one goes on with
/// both factors shown.
#[utoipa::path(post, path = "/api/v1/auth/mfa/totp/confirm", tag = "auth", request_body = TotpCode,
    responses((status = 200, body = RecoveryCodes), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody)))]
pub(crate) async fn confirm_totp(
    State(app): State<Shared>,
    caller: Caller,
    Json { value: TotpCode { code }, .. }: Json<TotpCode>,
) -> Reply {
    app.must_be_fresh(&caller).await?;
    let person = guard::person(&app, &caller).await?;
    let attempt = app.domain.people.code_attempt(person.id, neighbourhood(caller.visit.address));
    guard::may_try(&app, attempt, true).await?;
    let session = caller.principal.session;
    let confirmed = app.domain.people.confirm_totp(person.id, code.trim(), session).await;
    let act = Act::new(EventType::SystemChange, "auth.mfa.confirm", person.id).severity(Severity::Medium);
    match confirmed.map_err(|error| app.broken(error))? {
        Some(confirmed) => {
            app.refresh(&confirmed.ended, &[session]).await;
            let act = act.details(json!({ "sessionsEnded": confirmed.ended.len() }));
            trail::change(&app, &caller.visit, act).await?;
            Ok(recovery_codes_once(&confirmed.recovery_codes))
        }
        None => {
            app.domain.people.failed(attempt).await.map_err(|error| app.broken(error))?;
            trail::change(&app, &caller.visit, act.outcome(Outcome::Denied)).await?;
            Err(Problem::invalid("/code", "is not the code that the new app shows now, or the secret has expired"))
        }
    }
}

/// Takes the caller's app away; the caller's other sessions end. Where the house asks for a second factor and this
/// was the last, nothing else is allowed until there is another.
#[utoipa::path(delete, path = "/api/v1/auth/mfa/totp", tag = "auth",
    responses((status = 204), (status = 401, body = ProblemBody), (status = 404, body = ProblemBody)))]
pub(crate) async fn remove_totp(State(app): State<Shared>, caller: Caller) -> Reply {
    app.must_be_fresh(&caller).await?;
    let person = guard::person(&app, &caller).await?;
    if !app.domain.people.has_app(person.id).await.map_err(|error| app.broken(error))? {
        return Err(Problem::not_found());
    }
    passkeys::remove(&app, &caller, &person, Dropped::App, "auth.mfa.remove").await
}

/// Ten new recovery codes; those before are void.
#[utoipa::path(post, path = "/api/v1/auth/mfa/recovery-codes", tag = "auth",
    responses((status = 200, body = RecoveryCodes), (status = 401, body = ProblemBody), (status = 404, body = ProblemBody)))]
pub(crate) async fn renew_recovery_codes(State(app): State<Shared>, caller: Caller) -> Reply {
    app.must_be_fresh(&caller).await?;
    let person = guard::person(&app, &caller).await?;
    let act = || Act::new(EventType::SystemChange, "auth.mfa.recovery-codes", person.id).severity(Severity::Medium);
    trail::change(&app, &caller.visit, act()).await?;
    match app.domain.people.renew_recovery_codes(&person).await.map_err(|error| app.broken(error))? {
        Some(codes) => Ok(recovery_codes_once(&codes)),
        None => {
            trail::not_done(&app, &caller.visit, act());
            Err(Problem::not_found())
        }
    }
}

fn recovery_codes_once(codes: &[zeroize::Zeroizing<String>]) -> axum::response::Response {
    json(StatusCode::OK, &RecoveryCodes { recovery_codes: codes.iter().map(|code| code.to_string()).collect() })
}
