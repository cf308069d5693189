//! What a wrong password or code costs, wherever one is asked for; and who that is, as of now.
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use hotline::audit::{EventType, Outcome, Severity};
use hotline_domain::people::{Attempt, Factor, Person, Verdict};
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde_json::Value;

use crate::app::Shared;
use crate::gate::{Caller, Recorded, Visit, neighbourhood};
use crate::problem::{Problem, Reply};
use crate::trail::{self, Act};

/// Tries under this name from where the visitor is.
pub(super) fn attempt(app: &Shared, visit: &Visit, name: &str) -> Attempt {
    app.domain.people.attempt(name, neighbourhood(visit.address))
}

/// A refusal where too many tries have failed; the same for names that are nobody's. True: so many have failed
/// elsewhere that the second factor must come along, and `with_code` it does.
pub(super) async fn may_try(app: &Shared, attempt: Attempt, with_code: bool) -> Reply<bool> {
    match app.domain.people.verdict(attempt).await.map_err(|error| app.broken(error))? {
        Verdict::Go => Ok(false),
        Verdict::OnlyVouched if with_code => Ok(true),
        Verdict::OnlyVouched => {
            Err(guarded(app, "use a passkey, or send the second factor's code along with the password"))
        }
        Verdict::Wait(wait) => Err(too_soon(app, wait)),
    }
}

/// Takes a code of somebody whose password was right: false if it is wrong, which is counted.
pub(super) async fn take_code(app: &Shared, visit: &Visit, person: &Person, code: &str) -> Reply<bool> {
    let people = &app.domain.people;
    let attempt = people.code_attempt(person.id, neighbourhood(visit.address));
    match people.verdict(attempt).await.map_err(|error| app.broken(error))? {
        Verdict::Wait(wait) => return Err(too_soon(app, wait)),
        Verdict::OnlyVouched if Factor::meant_by(code) == Factor::Totp => {
            return Err(guarded(app, "use a recovery code"));
        }
        Verdict::Go | Verdict::OnlyVouched => {}
    }
    match people.take_code(person.id, code).await.map_err(|error| app.broken(error))? {
        Some(factor) => people.succeeded(attempt, factor == Factor::Recovery).await.map_err(|error| app.broken(error)),
        None => {
            people.failed(attempt).await.map_err(|error| app.broken(error))?;
            Ok(false)
        }
    }
}

/// Too many have failed from here.
fn too_soon(app: &Shared, wait: Duration) -> Problem {
    app.meters.rate_limited("log-in-delay");
    let seconds = u64::try_from(wait.as_millis().div_ceil(1_000).max(1)).unwrap_or(u64::MAX);
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate-limited", "Rate limit exceeded")
        .detail("Too many tries have failed from here; each further one waits longer.")
        .member("message", "Too many requests, please try again later")
        .member("retryAfterSeconds", seconds)
        .header(RETRY_AFTER, HeaderValue::from(seconds))
}

/// Too many have failed from anywhere.
fn guarded(app: &Shared, way_in: &str) -> Problem {
    app.meters.rate_limited("log-in-guarded");
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "log-in-guarded", "Rate limit exceeded")
        .detail(format!("Too many tries have failed. Log in from where you have logged in before, or {way_in}."))
}

/// Counted, recorded, and answered as every wrong one.
pub(super) async fn wrong(
    app: &Shared,
    visit: &Visit,
    attempt: Attempt,
    action: &'static str,
    details: Value,
) -> Reply {
    app.domain.people.failed(attempt).await.map_err(|error| app.broken(error))?;
    denied(app, visit, action, details).await
}

/// Recorded, and answered as every wrong one.
pub(super) async fn denied(app: &Shared, visit: &Visit, action: &'static str, details: Value) -> Reply {
    let act =
        Act::new(EventType::Login, action, "").severity(Severity::Medium).outcome(Outcome::Denied).details(details);
    trail::change(app, visit, act).await?;
    Ok(refused())
}

fn refused() -> Response {
    let problem = Problem::new(StatusCode::UNAUTHORIZED, "invalid-credentials", "Invalid credentials")
        .header(WWW_AUTHENTICATE, HeaderValue::from_static(r#"Bearer realm="hotline""#));
    let mut response = problem.into_response();
    response.extensions_mut().insert(Recorded);
    response
}

/// Who has changed while the request was on its way tries again.
pub(super) fn moved() -> Problem {
    Problem::new(StatusCode::CONFLICT, "account-changed", "Conflict")
        .detail("The account has changed meanwhile; try again.")
}

/// The caller's account as the store has it now.
pub(super) async fn person(app: &Shared, caller: &Caller) -> Reply<Person> {
    let found = app.domain.people.by_id(caller.principal.user).await.map_err(|error| app.broken(error))?;
    found.ok_or_else(Problem::internal)
}
