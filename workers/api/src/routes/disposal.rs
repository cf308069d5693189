//! Disposition: what has been kept for its years is destroyed, on record, by somebody else than who archived it.
//!
//! What goes is what erasure takes: the keys of whoever the case is about, and with them every version, recording and
//! transcript. What stays is that there was a case, and this certificate of how it ended.
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use hotline::audit::{EventType, Severity};
use hotline::telemetry::names;
use hotline_domain::cases::{DuePage, DueQuery, check_reason};
use hotline_domain::policy::{Action, Permissions};
use hotline_domain::store::Erased;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{ProblemBody, json, subjects};
use crate::app::Shared;
use crate::gate::Caller;
use crate::json::Json;
use crate::problem::{Problem, Reply};
use crate::trail::{self, Act};

/// Why, for whoever reads the audit log.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Disposition {
    /// Ten characters or more.
    reason: String,
}

/// What was destroyed, when, by whom and under which rule.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Certificate {
    case_id: Uuid,
    case_number: String,
    /// RFC 3339
    archived_at: String,
    disposed_at: String,
    disposed_by: Uuid,
    reason: String,
    retention_years: u16,
    /// How many cases and calls of the same person went with it.
    cases: usize,
    calls: usize,
    method: &'static str,
    /// Finds the record in the audit log.
    request_id: String,
}

/// Archived cases that need not be kept any more, the longest archived first.
#[utoipa::path(get, path = "/api/v1/dispositions", tag = "cases", params(DueQuery),
    responses((status = 200, body = DuePage), (status = 400, body = ProblemBody), (status = 403, body = ProblemBody)))]
pub(crate) async fn due(
    State(app): State<Shared>,
    caller: Caller,
    query: Result<Query<DueQuery>, QueryRejection>,
) -> Reply {
    caller.must(Permissions::CASE_DISPOSE)?;
    let Query(query) = query.map_err(|_| Problem::bad_request("invalid-query", "A filter is unknown or malformed."))?;
    let (years, now_ms) = (app.config.cases.retention_years, app.now_ms().cast_signed());
    let page = app.domain.cases.due(&caller.principal.actor(), &query, years, now_ms).await;
    let page = page.map_err(|error| app.refused_case(error))?;
    let act = Act::new(EventType::DataAccess, "case.dispositions", "").details(json!({ "cases": page.cases.len() }));
    trail::reading(&app, &caller.visit, act).await?;
    Ok(json(StatusCode::OK, &page))
}

/// Destroys what an archived case holds, once its years are over. Needs a factor shown lately.
#[utoipa::path(post, path = "/api/v1/cases/{caseId}/disposition", tag = "cases", request_body = Disposition,
    params(("caseId" = String, Path)),
    responses((status = 200, body = Certificate), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
pub(crate) async fn dispose(
    State(app): State<Shared>,
    caller: Caller,
    Path(id): Path<String>,
    Json { value: Disposition { reason }, .. }: Json<Disposition>,
) -> Reply {
    let (case, _) = app.case_for(&caller, Action::CaseDispose, &id).await?;
    check_reason(&reason).map_err(|invalid| Problem::invalid(invalid.pointer, invalid.reason))?;
    app.must_be_fresh(&caller).await?;
    let by = caller.principal.user;
    if case.updated_by == Some(by) {
        return Err(Problem::forbidden().detail("Whoever archived a case does not dispose of it."));
    }
    let (years, now_ms) = (app.config.cases.retention_years, app.now_ms().cast_signed());
    let act = || {
        let details = json!({ "case": case.case_number, "retentionYears": years, "reason": reason });
        Act::new(EventType::SystemChange, "case.dispose", case.id).severity(Severity::Critical).details(details)
    };
    trail::change(&app, &caller.visit, act()).await?;
    let subject = app.domain.subjects.of_case(&case.case_number).await.map_err(|error| app.broken(error))?;
    let subject = subject.ok_or_else(Problem::not_found)?;
    let disposed = app.domain.subjects.dispose(subject, years, now_ms, &by.to_string()).await;
    let outcome = match &disposed {
        Ok(Erased::Done { .. }) => "done",
        Ok(Erased::Held { .. }) => "held",
        Err(_) => "failed",
    };
    metrics::counter!(names::SUBJECTS_ERASED, "outcome" => outcome).increment(1);
    if outcome != "done" {
        trail::not_done(&app, &caller.visit, act());
    }
    let (cases, calls) = match disposed.map_err(|error| app.broken(error))? {
        Erased::Done { cases, calls } => (cases, calls),
        Erased::Held { reason } => {
            return Err(Problem::new(StatusCode::CONFLICT, "must-be-kept", "Conflict")
                .detail(format!("Nothing was disposed of: {reason}.")));
        }
    };
    subjects::take_to_everybody(&app, &cases);
    let certificate = Certificate {
        case_id: case.id,
        case_number: case.case_number.clone(),
        archived_at: case.updated_at.clone(),
        disposed_at: hotline::lifecycle::clock::rfc3339(now_ms),
        disposed_by: by,
        reason,
        retention_years: years,
        cases: cases.len(),
        calls: calls.len(),
        method: "cryptographic erasure: the keys of whoever the case is about were destroyed, and what they sealed",
        request_id: caller.visit.id.as_str().to_owned(),
    };
    Ok(json(StatusCode::OK, &certificate))
}
