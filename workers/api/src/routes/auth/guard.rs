//! What a wrong password or code costs, wherever one is asked for; and who that is, as of now.
use axum::response::{IntoResponse, Response};
use hotline::audit::{EventType, Outcome, Severity};
use hotline_domain::people::{Attempt, Person, Verdict};
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

/// A refusal where too many tries have failed; the same for names that are nobody's.
pub(super) async fn may_try(app: &Shared, attempt: Attempt, with_factor: bool) -> Reply<()> {
    match app.domain.people.verdict(attempt).await.map_err(|error| app.broken(error))? {
        Verdict::Go => Ok(()),
        Verdict::OnlyWithFactor if with_factor => Ok(()),
        Verdict::OnlyWithFactor => Err(only_with_factor(app)),
        Verdict::Wait(wait) => {
            app.meters.rate_limited("log-in-delay");
            let seconds = wait.as_millis().div_ceil(1_000).max(1);
            let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
            Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate-limited", "Rate limit exceeded")
                .detail("Too many tries have failed from here; each further one waits longer.")
                .member("message", "Too many requests, please try again later")
                .member("retryAfterSeconds", seconds)
                .header(RETRY_AFTER, HeaderValue::from(seconds)))
        }
    }
}

/// Too many have failed from anywhere.
pub(super) fn only_with_factor(app: &Shared) -> Problem {
    app.meters.rate_limited("log-in-guarded");
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "log-in-guarded", "Rate limit exceeded").detail(
        "Too many tries have failed under this name. Log in from where you have logged in before, or send the second \
         factor's code along with the password.",
    )
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
    let act =
        Act::new(EventType::Login, action, "").severity(Severity::Medium).outcome(Outcome::Denied).details(details);
    trail::change(app, visit, act).await?;
    Ok(refused())
}

pub(super) fn refused() -> Response {
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
