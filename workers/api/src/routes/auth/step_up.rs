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

use super::ceremony::{self, PasskeyAnswer, PasskeyOptions, Purpose};
use super::{CODE_BYTES_MAX, PASSWORD_BYTES_MAX, credentials, guard};
use crate::app::{App, Shared};
use crate::gate::Caller;
use crate::json::Json;
use crate::problem::{Problem, Reply};
use crate::routes::{ProblemBody, json};
use crate::trail::{self, Act};

/// One of them: a code or a passkey from who has a second factor, the password from who has none.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Proof {
    /// Of the authenticator app, or a recovery code.
    code: Option<String>,
    password: Option<String>,
    /// To the options of `POST /api/v1/auth/step-up/options`.
    passkey: Option<PasskeyAnswer>,
}

/// What a browser is to ask the caller's devices for a step-up.
#[utoipa::path(post, path = "/api/v1/auth/step-up/options", tag = "auth",
    responses((status = 200, body = PasskeyOptions), (status = 401, body = ProblemBody), (status = 404, body = ProblemBody)))]
pub(crate) async fn step_up_options(State(app): State<Shared>, caller: Caller) -> Reply {
    let own = app.domain.people.passkeys(caller.principal.user).await;
    let mut own = own.map_err(|error| app.broken(error))?;
    own.retain(|passkey| !passkey.suspended);
    if own.is_empty() {
        return Err(Problem::not_found());
    }
    let begun = app.passkeys.begin(&credentials(&own)).map_err(|_| Problem::internal())?;
    Ok(json(StatusCode::OK, &ceremony::begin(&app, Purpose::StepUp(caller.principal.session), begun)?))
}

/// Shows a factor again; opens sensitive acts in this session for `people.step_up_seconds`.
#[utoipa::path(post, path = "/api/v1/auth/step-up", tag = "auth", request_body = Proof,
    responses((status = 204), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody)))]
pub(crate) async fn step_up(
    State(app): State<Shared>,
    caller: Caller,
    Json { value: Proof { code, password, passkey }, .. }: Json<Proof>,
) -> Reply {
    let (code, password) = (code.map(Zeroizing::new), password.map(Zeroizing::new));
    let session = caller.principal.session;
    let known = app.domain.sessions.find(session).await.map_err(|error| app.broken(error))?;
    if known.is_none_or(|session| session.automation) {
        return Err(Problem::forbidden().detail("A machine's token shows no factor."));
    }
    let person = guard::person(&app, &caller).await?;
    let mut details = json!({});
    let (is_right, factors) = match (person.has_factor, &code, &password, &passkey) {
        (true, None, None, Some(passkey)) => {
            let ceremony = passkey.ceremony(&app, Purpose::StepUp(session))?;
            let shown = passkey.shown(&app, &caller.visit, ceremony, Some(person.id)).await?;
            if let Err(not_shown) = &shown {
                details = not_shown.details();
            }
            (shown.is_ok(), 2)
        }
        (true, Some(code), None, None) if code.len() <= CODE_BYTES_MAX => {
            (guard::take_code(&app, &caller.visit, &person, code).await?, 2)
        }
        (false, None, Some(password), None) if password.len() <= PASSWORD_BYTES_MAX => {
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
        (true, ..) => return Err(Problem::invalid("/code", "is needed, or /passkey, and nothing else")),
        (false, ..) => return Err(Problem::invalid("/password", "is needed, and nothing else")),
    };
    if !is_right {
        return guard::denied(&app, &caller.visit, "auth.step-up", details).await;
    }
    trail::change(&app, &caller.visit, Act::new(EventType::Login, "auth.step-up", session)).await?;
    app.domain.sessions.prove(session, factors).await.map_err(|error| app.broken(error))?;
    // How many factors a session has shown counts in decisions.
    app.session_from_store(session).await?;
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
