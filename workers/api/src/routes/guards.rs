//! What stands around a case: walls, teams, holds, what its client withholds, and glass that somebody broke.
//!
//! Each act is on record before it is done and holds on every worker with its answer: the board's generation of the
//! case moves, so copies made before are stale, and live events are asked about again.
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use hotline::audit::{EventType, Severity};
use hotline_domain::cases::{self, Guard, GuardKind, NewGuard, check_reason};
use hotline_domain::policy::{Action, Permissions};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{ProblemBody, json};
use crate::app::{App, Shared};
use crate::gate::Caller;
use crate::json::Json;
use crate::problem::{Problem, Reply};
use crate::trail::{self, Act};

#[derive(Serialize, ToSchema)]
pub(crate) struct GuardList {
    guards: Vec<Guard>,
}

/// Why the glass is broken.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Breakage {
    /// Ten characters or more, for whoever reads the audit log.
    reason: String,
}

/// What stands around a case and what once did.
#[utoipa::path(get, path = "/api/v1/cases/{caseId}/guards", tag = "cases", params(("caseId" = String, Path)),
    responses((status = 200, body = GuardList), (status = 403, body = ProblemBody), (status = 404, body = ProblemBody)))]
pub(crate) async fn list(State(app): State<Shared>, caller: Caller, Path(id): Path<String>) -> Reply {
    let action = one_of_both(&caller);
    let (case, _) = app.case_for(&caller, action, &id).await?;
    let mut guards = app.domain.cases.guards(case.id).await.map_err(|error| app.broken(error))?;
    // Who keeps holds need not know of conflicts.
    guards.retain(|guard| action == Action::CaseGuard || guard.kind == GuardKind::Hold);
    trail::reading(&app, &caller.visit, Act::new(EventType::DataAccess, "case.guards", case.id)).await?;
    Ok(json(StatusCode::OK, &GuardList { guards }))
}

/// Places a wall, makes somebody part of the team, holds the case, or notes what its client withholds.
#[utoipa::path(post, path = "/api/v1/cases/{caseId}/guards", tag = "cases", request_body = NewGuard,
    params(("caseId" = String, Path)),
    responses((status = 201, body = Guard), (status = 400, body = ProblemBody), (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody)))]
pub(crate) async fn place(
    State(app): State<Shared>,
    caller: Caller,
    Path(id): Path<String>,
    Json { value: new, .. }: Json<NewGuard>,
) -> Reply {
    let (case, _) = app.case_for(&caller, action_for(new.kind), &id).await?;
    new.check().map_err(|invalid| Problem::invalid(invalid.pointer, invalid.reason))?;
    if let Some(user) = new.user_id
        && app.domain.people.by_id(user).await.map_err(|error| app.broken(error))?.is_none()
    {
        return Err(Problem::invalid("/userId", "names nobody with an account"));
    }
    let id = Uuid::now_v7();
    let details = json!({ "guard": id, "kind": new.kind, "user": new.user_id, "what": new.what });
    trail::change(&app, &caller.visit, guard_act("case.guard.place", case.id).details(details)).await?;
    let placed = app.domain.cases.place_guard(id, case.id, new, caller.principal.user).await;
    app.guards_changed(case.id);
    let guard = placed.map_err(|error| app.broken(error))?;
    Ok(json(StatusCode::CREATED, &guard))
}

/// Takes down what stands around a case; it stays to be read. Needs a factor shown lately.
#[utoipa::path(delete, path = "/api/v1/cases/{caseId}/guards/{guardId}", tag = "cases",
    params(("caseId" = String, Path), ("guardId" = Uuid, Path)),
    responses((status = 204), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody)))]
pub(crate) async fn end(State(app): State<Shared>, caller: Caller, Path((id, guard)): Path<(String, String)>) -> Reply {
    let guard = Uuid::try_parse(&guard).map_err(|_| Problem::not_found())?;
    let (case, _) = app.case_for(&caller, one_of_both(&caller), &id).await?;
    let known = app.domain.cases.guards(case.id).await.map_err(|error| app.broken(error))?;
    let known = known.into_iter().find(|known| known.id == guard && known.ended_at.is_none());
    let Some(known) = known else { return Err(Problem::not_found()) };
    app.case_for(&caller, action_for(known.kind), &id).await?;
    app.must_be_fresh(&caller).await?;
    let details = json!({ "guard": guard, "kind": known.kind, "user": known.user_id });
    let act = || guard_act("case.guard.end", case.id).details(details.clone());
    trail::change(&app, &caller.visit, act()).await?;
    let ended = app.domain.cases.end_guard(case.id, guard, caller.principal.user).await;
    app.guards_changed(case.id);
    if !ended.map_err(|error| app.broken(error))? {
        trail::not_done(&app, &caller.visit, act());
        return Err(Problem::not_found());
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Lets the caller in for a while where clearance or team would not. Every use is a CRITICAL record.
#[utoipa::path(post, path = "/api/v1/cases/{caseId}/break-glass", tag = "cases", request_body = Breakage,
    params(("caseId" = String, Path)),
    responses((status = 201, body = Guard), (status = 400, body = ProblemBody), (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody)))]
pub(crate) async fn break_glass(
    State(app): State<Shared>,
    caller: Caller,
    Path(id): Path<String>,
    Json { value: Breakage { reason }, .. }: Json<Breakage>,
) -> Reply {
    let (case, _) = app.case_for(&caller, Action::BreakGlass, &id).await?;
    check_reason(&reason).map_err(|invalid| Problem::invalid(invalid.pointer, invalid.reason))?;
    let (id, user) = (Uuid::now_v7(), caller.principal.user);
    let until_ms = (app.now_ms() + app.config.people.break_glass_seconds * 1_000).cast_signed();
    let act = Act::new(EventType::Access, "case.break-glass", case.id)
        .severity(Severity::Critical)
        .details(json!({ "guard": id, "untilMs": until_ms, "reason": reason }));
    trail::change(&app, &caller.visit, act).await?;
    let broken = app.domain.cases.break_glass(id, case.id, reason, user, until_ms).await;
    app.guards_changed(case.id);
    Ok(json(StatusCode::CREATED, &broken.map_err(|error| app.broken(error))?))
}

impl App {
    /// Also when it failed: a change whose end nobody saw may have been made.
    fn guards_changed(&self, case: Uuid) {
        self.board.bump(cases::generation_key(case));
    }
}

fn action_for(kind: GuardKind) -> Action {
    match kind {
        GuardKind::Hold => Action::CaseHold,
        // Whoever works on a case keeps in touch with its caller.
        GuardKind::Caller => Action::CaseWrite,
        GuardKind::Wall | GuardKind::Member | GuardKind::Withheld | GuardKind::BrokenGlass => Action::CaseGuard,
    }
}

/// Whoever may do neither is asked for the one that is refused.
fn one_of_both(caller: &Caller) -> Action {
    match caller.principal.may(Permissions::CASE_GUARD) {
        true => Action::CaseGuard,
        false => Action::CaseHold,
    }
}

fn guard_act(action: &'static str, case: Uuid) -> Act {
    Act::new(EventType::SystemChange, action, case).severity(Severity::High)
}
