//! Log-in by a passkey alone. The device holds the passkey and has verified its user, so this is two factors at
//! once; whose account it is the device tells, so no name is asked for and none can be tried.
use axum::extract::State;
use http::StatusCode;

use super::ceremony::{self, PasskeyAnswer, PasskeyOptions, Purpose};
use super::{LoggedIn, guard, login};
use crate::app::Shared;
use crate::gate::Visit;
use crate::json::Json;
use crate::problem::{Problem, Reply};
use crate::routes::{ProblemBody, json};

/// What a browser is to ask its devices; the same for everybody.
#[utoipa::path(post, path = "/api/v1/auth/login/passkey/options", tag = "auth", security(()),
    responses((status = 200, body = PasskeyOptions), (status = 429, body = ProblemBody)))]
pub(crate) async fn login_passkey_options(State(app): State<Shared>) -> Reply {
    let begun = app.passkeys.begin(&[]).map_err(|_| Problem::internal())?;
    Ok(json(StatusCode::OK, &ceremony::begin(&app, Purpose::LogIn, begun)?))
}

/// A session for a passkey. One that is unknown, suspended, of a closed account or wrongly shown is refused alike.
#[utoipa::path(post, path = "/api/v1/auth/login/passkey", tag = "auth", security(()), request_body = PasskeyAnswer,
    responses((status = 200, body = LoggedIn), (status = 401, body = ProblemBody), (status = 429, body = ProblemBody)))]
pub(crate) async fn login_passkey(
    State(app): State<Shared>,
    visit: Visit,
    Json { value: answer, .. }: Json<PasskeyAnswer>,
) -> Reply {
    login::charge_address(&app, &visit)?;
    let ceremony = answer.ceremony(&app, Purpose::LogIn)?;
    match answer.shown(&app, &visit, ceremony, None).await? {
        Ok((person, _)) => {
            let attempt = guard::attempt(&app, &visit, &person.name);
            app.domain.people.succeeded(attempt, true).await.map_err(|error| app.broken(error))?;
            login::enter(&app, &visit, &person, 2).await
        }
        Err(not_shown) => guard::denied(&app, &visit, "auth.login.passkey", not_shown.details()).await,
    }
}
