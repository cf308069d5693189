//! A factor shown again: who has left the desk for a quarter of an hour does not give roles.
use axum::extract::State;
use axum::response::IntoResponse;
use hotline::audit::EventType;
use http::header::WWW_AUTHENTICATE;
use http::{HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::{CODE_BYTES_MAX, PASSWORD_BYTES_MAX, guard};
use crate::app::{App, Shared};
use crate::gate::Caller;
use crate::json::Json;
use crate::problem::{Problem, Reply};
use crate::routes::ProblemBody;
use crate::trail::{self, Act};

/// One of the two: the code from who has a second factor, the password from who has none.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Proof {
    /// Of the authenticator app, or a recovery code.
    code: Option<String>,
    password: Option<String>,
}

/// Shows a factor again; opens sensitive acts in this session for `people.step_up_seconds`.
#[utoipa::path(post, path = "/api/v1/auth/step-up", tag = "auth", request_body = Proof,
    responses((status = 204), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody)))]
pub(crate) async fn step_up(
    State(app): State<Shared>,
    caller: Caller,
    Json { value: Proof { code, password }, .. }: Json<Proof>,
) -> Reply {
    let (code, password) = (code.map(Zeroizing::new), password.map(Zeroizing::new));
    let session = caller.principal.session;
    let known = app.domain.sessions.find(session).await.map_err(|error| app.broken(error))?;
    if known.is_none_or(|session| session.automation) {
        return Err(Problem::forbidden().detail("A machine's token shows no factor."));
    }
    let person = guard::person(&app, &caller).await?;
    let (is_right, factors) = match (person.has_factor, &code, &password) {
        (true, Some(code), None) if code.len() <= CODE_BYTES_MAX => {
            (guard::take_code(&app, &caller.visit, &person, code).await?, 2)
        }
        (false, None, Some(password)) if password.len() <= PASSWORD_BYTES_MAX => {
            let attempt = guard::attempt(&app, &caller.visit, &person.name);
            guard::may_try(&app, attempt, false).await?;
            let rest = app.admission.rest(caller.visit.ticket);
            let found = app.domain.people.verify(&person.name, password).await;
            drop(rest);
            let is_right = found.map_err(|error| app.broken(error))?.is_some_and(|found| found.id == person.id);
            if !is_right {
                app.domain.people.failed(attempt).await.map_err(|error| app.broken(error))?;
            }
            (is_right, 1)
        }
        (true, ..) => return Err(Problem::invalid("/code", "is needed, and nothing else")),
        (false, ..) => return Err(Problem::invalid("/password", "is needed, and nothing else")),
    };
    if !is_right {
        return guard::denied(&app, &caller.visit, "auth.step-up", json!({})).await;
    }
    trail::change(&app, &caller.visit, Act::new(EventType::Login, "auth.step-up", session)).await?;
    app.domain.sessions.prove(session, factors).await.map_err(|error| app.broken(error))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

impl App {
    /// 401 unless this session has shown a factor lately (RFC 9470).
    pub(crate) async fn must_be_fresh(&self, caller: &Caller) -> Reply<()> {
        let session = self.domain.sessions.find(caller.principal.session).await.map_err(|error| self.broken(error))?;
        let proven_at_ms = session.map_or(0, |session| session.proven_at_ms);
        let fresh_seconds = self.config.people.step_up_seconds;
        if self.now_ms().saturating_sub(proven_at_ms) < fresh_seconds * 1_000 {
            return Ok(());
        }
        Err(Problem::new(StatusCode::UNAUTHORIZED, "step-up-required", "Unauthorized")
            .detail("Show a factor again first: POST /api/v1/auth/step-up.")
            .member("maxAgeSeconds", fresh_seconds)
            .header(WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE)))
    }
}

const CHALLENGE: &str = r#"Bearer realm="hotline", error="insufficient_user_authentication""#;
