//! Cases: listed, opened, read with an ETag, changed only by somebody who saw the newest version.
use std::time::Instant;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use hotline::audit::EventType;
use hotline_domain::cases::{
    self, Case, CaseChange, CasePage, Classification, ListQuery, NewCase, Opened, Sight, Updated, VersionPage,
    VersionQuery,
};
use hotline_domain::policy::{Action, Permissions};
use http::header::LOCATION;
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use serde_json::json;
use uuid::Uuid;

use super::conditional::{self, Expected, etag, set_etag};
use super::{ProblemBody, idempotency, json, json_bytes};
use crate::app::Shared;
use crate::cache::{Entry, Owner};
use crate::gate::Caller;
use crate::gate::headers::{X_CACHE, X_CACHE_TIME, set_classification};
use crate::json::Json;
use crate::matters;
use crate::problem::{Problem, Reply};
use crate::trail::{self, Act};

/// Cases that the caller may see, newest first, page by page.
#[utoipa::path(get, path = "/api/v1/cases", tag = "cases", params(ListQuery),
    responses((status = 200, body = CasePage), (status = 400, body = ProblemBody), (status = 403, body = ProblemBody)))]
pub(crate) async fn list(
    State(app): State<Shared>,
    caller: Caller,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Reply {
    caller.must(Permissions::CASE_ACCESS)?;
    let Query(query) = query.map_err(|_| Problem::bad_request("invalid-query", "A filter is unknown or malformed."))?;
    let page =
        app.domain.cases.list(&caller.principal.actor(), query).await.map_err(|error| app.refused_case(error))?;
    let act = Act::new(EventType::DataAccess, "case.list", "").details(json!({ "cases": page.cases.len() }));
    trail::reading(&app, &caller.visit, act).await?;
    Ok(json(StatusCode::OK, &page))
}

/// Opens a case. With an `Idempotency-Key` a retried request answers the case that the first one opened.
#[utoipa::path(post, path = "/api/v1/cases", tag = "cases", request_body = NewCase,
    params(("Idempotency-Key" = Option<String>, Header, description = "Up to 255 visible characters; kept for a day")),
    responses((status = 201, body = Case), (status = 400, body = ProblemBody), (status = 403, body = ProblemBody),
        (status = 422, body = ProblemBody)))]
pub(crate) async fn create(
    State(app): State<Shared>,
    caller: Caller,
    headers: HeaderMap,
    Json { value: new, bytes }: Json<NewCase>,
) -> Reply {
    caller.must(Permissions::CASE_WRITE)?;
    let once = idempotency::once(&app, &headers, &caller, &[&bytes])?;
    new.check().map_err(|invalid| Problem::invalid(invalid.pointer, invalid.reason))?;
    // The record goes first: a case that cannot be recorded is not opened.
    let id = Uuid::now_v7();
    trail::change(&app, &caller.visit, Act::new(EventType::SystemChange, "case.create", id)).await?;
    let opened = app.domain.cases.create(id, &caller.principal.actor(), new, once).await;
    let (case, replayed) = match opened {
        Ok(Opened::Done(case)) => (case, false),
        other => {
            trail::not_done(&app, &caller.visit, Act::new(EventType::SystemChange, "case.create", id));
            match other.map_err(|error| app.refused_case(error))? {
                Opened::Done(case) => (case, false),
                Opened::Before(case) => (case, true),
                Opened::OtherRequest => return Err(idempotency::other_request()),
            }
        }
    };
    if !replayed {
        app.announce(
            "cases".to_owned(),
            &json!({ "event": "case.created", "caseId": case.id, "caseNumber": case.case_number, "urgency": case.urgency }),
        );
    }
    let mut response = answer(StatusCode::CREATED, &case);
    if let Ok(location) = HeaderValue::try_from(format!("/api/v1/cases/{}", case.id)) {
        response.headers_mut().insert(LOCATION, location);
    }
    idempotency::mark(&mut response, replayed);
    Ok(response)
}

/// One case, by id or by number.
#[utoipa::path(get, path = "/api/v1/cases/{caseId}", tag = "cases", params(("caseId" = String, Path)),
    responses((status = 200, body = Case), (status = 304), (status = 403, body = ProblemBody), (status = 404, body = ProblemBody)))]
pub(crate) async fn read(
    State(app): State<Shared>,
    caller: Caller,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Reply {
    caller.must(Permissions::CASE_ACCESS)?;
    let started = Instant::now();
    let principal = &caller.principal;
    let owner = Owner { path: uri.path(), user: principal.user, epoch: principal.epoch };
    if let Some(entry) = app.cache.find(owner, app.now_ms())
        && app.sight(principal, entry.subject).await? == Some(entry.sight)
    {
        app.meters.cache_hit.increment(1);
        record_reading(&app, &caller, entry.subject, "hit").await?;
        return Ok(from_entry(entry, &headers, "HIT", started));
    }
    // Taken before the store is asked: what is written meanwhile makes the copy stale, not wrong.
    let (case, generation_key, generation) = app.case_with_generation(&caller, &id).await?;
    let entry = Entry {
        generation_key,
        generation,
        stored_at_ms: app.now_ms(),
        etag: tag(&case),
        sight: Sight::of_case(&case),
        subject: case.id,
        classification: case.classification.name().to_owned(),
        body: serde_json::to_vec(&case).map_err(|_| Problem::internal())?,
    };
    let cacheable = app.cache.is_open() && case.classification != Classification::TopSecret;
    if cacheable {
        app.cache.keep(owner, &entry);
        app.meters.cache_miss.increment(1);
    } else {
        app.meters.cache_bypass.increment(1);
    }
    let result = if cacheable { "MISS" } else { "BYPASS" };
    record_reading(&app, &caller, entry.subject, "store").await?;
    Ok(from_entry(entry, &headers, result, started))
}

/// Changes a case that nobody changed since the caller read it.
#[utoipa::path(put, path = "/api/v1/cases/{caseId}", tag = "cases", request_body = CaseChange,
    params(("caseId" = String, Path), ("If-Match" = String, Header, description = "The ETag that was read")),
    responses((status = 200, body = Case), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody),
        (status = 412, body = ProblemBody), (status = 428, body = ProblemBody)))]
pub(crate) async fn update(
    State(app): State<Shared>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json { value: change, .. }: Json<CaseChange>,
) -> Reply {
    caller.must(Permissions::CASE_WRITE)?;
    let expected = conditional::if_match(&headers)?;
    let actor = caller.principal.actor();
    let (before, _) = app.case_for(&caller, Action::CaseWrite, &id).await?;
    let version = match expected {
        Expected::Any => before.version,
        Expected::Version(version) if version == u64::from(before.version) => before.version,
        Expected::Version(_) => return Err(conditional::stale()),
    };
    // The record goes first: a change that cannot be recorded does not happen.
    let act = || Act::new(EventType::SystemChange, "case.update", before.id).details(json!({ "fromVersion": version }));
    trail::change(&app, &caller.visit, act()).await?;
    let updated = app.domain.cases.update(&actor, &before.id.to_string(), version, change).await;
    // Also when it failed: a change whose end nobody saw may have been made.
    app.board.bump(cases::generation_key(before.id));
    let case = match updated.map_err(|error| app.refused_case(error))? {
        Updated::Done(case) => case,
        Updated::Conflict { .. } => return Err(conditional::stale()),
        Updated::NotFound => return Err(Problem::not_found()),
        Updated::Denied(decision) => {
            trail::not_done(&app, &caller.visit, act().details(matters::reasons(&decision)));
            return Err(matters::told_why(&decision));
        }
    };
    let updated = json!({
        "event": "case.updated", "caseId": case.id, "caseNumber": case.case_number, "version": case.version,
        "urgency": case.urgency,
    });
    app.announce(format!("case:{}", case.id), &updated);
    app.announce("cases".to_owned(), &updated);
    Ok(answer(StatusCode::OK, &case))
}

/// Every version a case ever had, newest first: who made it, when, and what it changed.
#[utoipa::path(get, path = "/api/v1/cases/{caseId}/versions", tag = "cases",
    params(("caseId" = String, Path), VersionQuery),
    responses((status = 200, body = VersionPage), (status = 400, body = ProblemBody), (status = 404, body = ProblemBody)))]
pub(crate) async fn versions(
    State(app): State<Shared>,
    caller: Caller,
    Path(id): Path<String>,
    query: Result<Query<VersionQuery>, QueryRejection>,
) -> Reply {
    let Query(query) = query.map_err(|_| Problem::bad_request("invalid-query", "A filter is unknown or malformed."))?;
    let (case, _) = app.case_for(&caller, Action::CaseAccess, &id).await?;
    let page = app.domain.cases.history(case.id, &query).await.map_err(|error| app.refused_case(error))?;
    let act = Act::new(EventType::DataAccess, "case.history", case.id);
    trail::reading(&app, &caller.visit, act.details(json!({ "versions": page.versions.len() }))).await?;
    Ok(json(StatusCode::OK, &page))
}

/// A case as it was in one version.
#[utoipa::path(get, path = "/api/v1/cases/{caseId}/versions/{version}", tag = "cases",
    params(("caseId" = String, Path), ("version" = u32, Path)),
    responses((status = 200, body = Case), (status = 404, body = ProblemBody)))]
pub(crate) async fn version(
    State(app): State<Shared>,
    caller: Caller,
    Path((id, version)): Path<(String, String)>,
) -> Reply {
    let version: u32 = version.parse().map_err(|_| Problem::not_found())?;
    let (case, matter) = app.case_for(&caller, Action::CaseAccess, &id).await?;
    let then = app.domain.cases.as_it_was(&caller.principal.actor(), case.id, &matter, version).await;
    let Some(then) = then.map_err(|error| app.broken(error))? else { return Err(Problem::not_found()) };
    let act = Act::new(EventType::DataAccess, "case.version.read", case.id);
    trail::reading(&app, &caller.visit, act.details(json!({ "version": version }))).await?;
    let mut response = json(StatusCode::OK, &then);
    // As sensitive as the case is by now, whatever it was then.
    set_classification(response.headers_mut(), then.classification.max(case.classification).name());
    Ok(response)
}

async fn record_reading(app: &Shared, caller: &Caller, case: Uuid, from: &str) -> Reply<()> {
    let act = Act::new(EventType::DataAccess, "case.read", case).details(json!({ "from": from }));
    trail::reading(app, &caller.visit, act).await
}

fn answer(status: StatusCode, case: &Case) -> Response {
    let mut response = json(status, case);
    set_etag(response.headers_mut(), &tag(case));
    set_classification(response.headers_mut(), case.classification.name());
    response
}

/// What somebody sees more of is another answer for the same version.
fn tag(case: &Case) -> String {
    let Sight { identity, location } = Sight::of_case(case);
    etag(u64::from(case.version), 2 * u8::from(!identity) + u8::from(!location))
}

fn from_entry(entry: Entry, headers: &HeaderMap, result: &'static str, started: Instant) -> Response {
    let mut response = match conditional::is_known(headers, &entry.etag) {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => json_bytes(StatusCode::OK, entry.body),
    };
    let headers = response.headers_mut();
    set_etag(headers, &entry.etag);
    set_classification(headers, &entry.classification);
    headers.insert(&X_CACHE, HeaderValue::from_static(result));
    let elapsed_ms = started.elapsed().as_secs_f64() * 1_000.0;
    if let Ok(time) = HeaderValue::try_from(format!("{elapsed_ms:.2}ms")) {
        headers.insert(&X_CACHE_TIME, time);
    }
    response
}
