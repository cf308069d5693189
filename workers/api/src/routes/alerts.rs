//! Whoever looks after an alert says so, and it is not sent again: over the API, or with `hotline alerts acknowledge`.
use axum::extract::{Path, State};
use axum::response::IntoResponse as _;
use hotline::audit::{self, EventType, Record, Severity};
use hotline::wire::AdminReply;
use hotline_domain::policy::Permissions;
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::ProblemBody;
use super::audit::from_store;
use crate::app::Shared;
use crate::gate::Caller;
use crate::json::Json;
use crate::problem::{Problem, Reply};
use crate::trail::{self, Act};

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Acknowledgement {
    /// What is done about it. Sealed in the log.
    #[serde(default)]
    note: String,
}

/// Acknowledge an alert by any of its records. Whoever does it answers for what follows.
#[utoipa::path(post, path = "/api/v1/audit/records/{seq}/acknowledgement", tag = "audit", params(("seq" = u64, Path)),
    request_body = Acknowledgement,
    responses((status = 204), (status = 403, body = ProblemBody), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
pub(crate) async fn acknowledge(
    State(app): State<Shared>,
    caller: Caller,
    Path(seq): Path<String>,
    Json { value: said, .. }: Json<Acknowledgement>,
) -> Reply {
    caller.must(Permissions::ALERT_ACKNOWLEDGE)?;
    let seq: u64 = seq.parse().map_err(|_| Problem::not_found())?;
    let Acknowledgement { note } = said;
    if note.len() > NOTE_BYTES_MAX {
        return Err(Problem::invalid("/note", format!("has at most {NOTE_BYTES_MAX} bytes")));
    }
    let record = published(&app, seq).await?.ok_or_else(Problem::not_found)?;
    if record.severity < app.config.alerts.severity_min {
        return Err(Problem::new(StatusCode::CONFLICT, "not-an-alert", "Not an alert")
            .detail("This record is not severe enough to be an alert."));
    }
    trail::change(&app, &caller.visit, act(seq, &note)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// For the operator.
pub(crate) async fn acknowledge_alert(app: &Shared, seq: u64, note: &str, uid: u32) -> AdminReply {
    let refused = |reason: String| AdminReply::Refused { reason };
    if note.len() > NOTE_BYTES_MAX {
        return refused(format!("--note has at most {NOTE_BYTES_MAX} bytes"));
    }
    let record = match published(app, seq).await {
        Ok(record) => record,
        Err(_) => return refused("could not read the published audit log".to_owned()),
    };
    match record {
        None => return refused(format!("there is no record {seq} in the published log")),
        Some(record) if record.severity < app.config.alerts.severity_min => {
            return refused(format!("record {seq} ({}, {}) is not an alert", record.action, record.severity.name()));
        }
        Some(_) => {}
    }
    match trail::operator(app, uid, act(seq, note)).await {
        Ok(()) => AdminReply::Done { what: format!("alert {seq} is acknowledged") },
        Err(_) => refused("it could not be recorded; nothing was done".to_owned()),
    }
}

async fn published(app: &Shared, seq: u64) -> Reply<Option<Record>> {
    let records = from_store(app, move |store| audit::published_from(store, seq)).await?;
    Ok(records.into_iter().next())
}

fn act(seq: u64, note: &str) -> Act {
    Act::new(EventType::SystemChange, "alert.acknowledge", seq)
        .severity(Severity::Medium)
        .details(json!({ "note": note }))
}

const NOTE_BYTES_MAX: usize = 500;
