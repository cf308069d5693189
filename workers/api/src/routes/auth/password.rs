//! The caller's own password: replaced by who knows the old one. Every other session of theirs ends.
use axum::extract::State;
use axum::response::IntoResponse;
use hotline::audit::{EventType, Outcome, Severity};
use hotline_domain::people::PasswordChange;
use hotline_domain::store::Changed;
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::{PASSWORD_BYTES_MAX, guard};
use crate::app::Shared;
use crate::gate::Caller;
use crate::json::Json;
use crate::problem::{Problem, Reply};
use crate::routes::ProblemBody;
use crate::trail::{self, Act};

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct NewPassword {
    old_password: String,
    /// 15 characters or more, 8 with a second factor; up to 128. Nothing else is asked of it but that guessers do
    /// not try it first.
    new_password: String,
}

/// Replaces the password. This session goes on, the caller's others end on every worker.
#[utoipa::path(post, path = "/api/v1/auth/password", tag = "auth", request_body = NewPassword,
    responses((status = 204), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody)))]
pub(crate) async fn change_password(
    State(app): State<Shared>,
    caller: Caller,
    Json { value: passwords, .. }: Json<NewPassword>,
) -> Reply {
    let (old, new) = (Zeroizing::new(passwords.old_password), Zeroizing::new(passwords.new_password));
    if old.len() > PASSWORD_BYTES_MAX {
        return Err(Problem::invalid("/oldPassword", "is longer than any password"));
    }
    let person = guard::person(&app, &caller).await?;
    let attempt = guard::attempt(&app, &caller.visit, &person.name);
    guard::may_try(&app, attempt, false).await?;
    let rest = app.admission.rest(caller.visit.ticket);
    let changed = app.domain.people.change_password(&person, &old, &new, caller.principal.session).await;
    drop(rest);
    let act = Act::new(EventType::SystemChange, "auth.password", person.id).severity(Severity::Medium);
    match changed.map_err(|error| app.broken(error))? {
        PasswordChange::Done(Changed::Done { ended, living }) => {
            app.refresh(&ended, &living).await;
            trail::change(&app, &caller.visit, act.details(json!({ "sessionsEnded": ended.len() }))).await?;
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        PasswordChange::Done(_) => Err(guard::moved()),
        PasswordChange::Refused(refusal) => {
            Err(Problem::bad_request("password-refused", format!("The new password {refusal}.")).at("/newPassword"))
        }
        PasswordChange::Wrong => {
            app.domain.people.failed(attempt).await.map_err(|error| app.broken(error))?;
            trail::change(&app, &caller.visit, act.outcome(Outcome::Denied)).await?;
            Err(Problem::invalid("/oldPassword", "is not the present password"))
        }
    }
}
