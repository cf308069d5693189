//! For those who called: with their case's number and the secret they were given, they see how it stands.
//!
//! They have no account. A token of their own audience names the case and the guard that their secret is; it opens
//! nothing but what lies under `/api/v1/caller/`, and nothing at all once the guard has ended.
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use hotline::audit::{EventType, Severity};
use hotline_domain::cases::{self, CaseForCaller};
use hotline_domain::policy::Action;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::auth::{charge_address, timestamp};
use super::{ProblemBody, json};
use crate::app::Shared;
use crate::gate::{Caller, Claims, Purpose, Visit};
use crate::json::Json;
use crate::problem::{Problem, Reply};
use crate::trail::{self, Act};

/// What somebody who called was given.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct CallerCredentials {
    case_number: String,
    secret: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CallerToken {
    token: String,
    #[schema(value_type = String, format = DateTime)]
    expires_at: String,
}

/// To be told or sent to the caller. The secret is shown this once.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CallerAccess {
    case_number: String,
    secret: String,
}

/// Half an hour for a case's number and its caller's secret.
#[utoipa::path(post, path = "/api/v1/caller/login", tag = "callers", security(()), request_body = CallerCredentials,
    responses((status = 200, body = CallerToken), (status = 401, body = ProblemBody), (status = 429, body = ProblemBody)))]
pub(crate) async fn login(
    State(app): State<Shared>,
    visit: Visit,
    Json { value: CallerCredentials { case_number, secret }, .. }: Json<CallerCredentials>,
) -> Reply {
    let secret = Zeroizing::new(secret);
    charge_address(&app, &visit)?;
    if case_number.len() > TYPED_BYTES_MAX || secret.len() > TYPED_BYTES_MAX {
        return Err(refused());
    }
    let known = app.domain.cases.known_caller(&case_number, &secret).await.map_err(|error| app.broken(error))?;
    let Some((case, guard)) = known else {
        app.meters.refused("caller");
        return Err(refused());
    };
    let act = Act::new(EventType::Login, "caller.login", case).actor(format!("caller:{guard}"));
    trail::change(&app, &visit, act).await?;
    let now_s = app.now_ms() / 1_000;
    let claims = Claims { user: guard, session: guard, serial: case, expires_at_s: now_s + SECONDS };
    let token = app.tokens.sign(Purpose::Caller, &claims, now_s).ok_or_else(Problem::internal)?;
    Ok(json(StatusCode::OK, &CallerToken { token, expires_at: timestamp(claims.expires_at_s * 1_000) }))
}

/// How the caller's own case stands, and which dates run.
#[utoipa::path(get, path = "/api/v1/caller/case", tag = "callers",
    responses((status = 200, body = CaseForCaller), (status = 401, body = ProblemBody)))]
pub(crate) async fn own_case(State(app): State<Shared>, caller: Caller) -> Reply {
    let own = caller.principal.own_case.ok_or_else(Problem::not_found)?;
    let (case, _) = app.case_for(&caller, Action::CaseFollow, &own.to_string()).await?;
    trail::reading(&app, &caller.visit, Act::new(EventType::DataAccess, "caller.case", case.id)).await?;
    Ok(json(StatusCode::OK, &CaseForCaller::from(case)))
}

/// A new secret for the case's caller; one that was given before is good for nothing from here on.
#[utoipa::path(post, path = "/api/v1/cases/{caseId}/caller-access", tag = "callers", params(("caseId" = String, Path)),
    responses((status = 201, body = CallerAccess), (status = 403, body = ProblemBody), (status = 404, body = ProblemBody)))]
pub(crate) async fn give(State(app): State<Shared>, caller: Caller, Path(id): Path<String>) -> Reply {
    let (case, _) = app.case_for(&caller, Action::CaseWrite, &id).await?;
    let guard = Uuid::now_v7();
    let act = Act::new(EventType::SystemChange, "caller.access.give", case.id).severity(Severity::Medium);
    trail::change(&app, &caller.visit, act.details(json!({ "guard": guard }))).await?;
    let given = app.domain.cases.give_caller_access(guard, case.id, caller.principal.user).await;
    app.board.bump(cases::generation_key(case.id));
    let secret = given.map_err(|error| app.broken(error))?;
    Ok(json(StatusCode::CREATED, &CallerAccess { case_number: case.case_number, secret: secret.to_string() }))
}

/// The case's caller is out.
#[utoipa::path(delete, path = "/api/v1/cases/{caseId}/caller-access", tag = "callers", params(("caseId" = String, Path)),
    responses((status = 204), (status = 403, body = ProblemBody), (status = 404, body = ProblemBody)))]
pub(crate) async fn end(State(app): State<Shared>, caller: Caller, Path(id): Path<String>) -> Reply {
    let (case, _) = app.case_for(&caller, Action::CaseWrite, &id).await?;
    let act = || Act::new(EventType::SystemChange, "caller.access.end", case.id).severity(Severity::Medium);
    trail::change(&app, &caller.visit, act()).await?;
    let ended = app.domain.cases.end_caller_access(case.id, caller.principal.user).await;
    app.board.bump(cases::generation_key(case.id));
    if ended.map_err(|error| app.broken(error))? {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    trail::not_done(&app, &caller.visit, act());
    Err(Problem::not_found())
}

fn refused() -> Problem {
    Problem::unauthorized(r#"Bearer realm="hotline""#).detail("The number and the secret do not belong together.")
}

/// Long enough to read, short enough for a telephone that others pick up.
const SECONDS: u64 = 1_800;
const TYPED_BYTES_MAX: usize = 64;
