//! What a client missed between two connections, as the store knows it: a worker that leaves tells its clients since
//! when, and they say it to the next one.
//!
//! The store has the last state of each thing and not its events, so what is told is where things stand now. An event
//! may be told twice and none is left out: the moment lies before the goodbye, and the topic is heard before we look.
use hotline_domain::cases::Case;
use serde_json::{Value, json};

use super::alerts;
use super::socket::event;
use crate::app::Shared;
use crate::gate::Principal;

/// For the goodbye: what was written before this has been told.
pub(super) fn hint(now_ms: i64) -> Value {
    json!({ "type": "goodbye", "resume": { "since": now_ms - OVERLAP_MS } })
}

/// The events of a topic since that moment, as far as the principal may see them.
pub(super) async fn missed(app: &Shared, principal: &Principal, topic: &str, since_ms: i64) -> Vec<Value> {
    let told = match topic.split_once(':') {
        // They stay open and are sent elsewhere, too; the log has them all.
        None if topic == alerts::TOPIC => return vec![json!({ "type": "missed", "topic": topic })],
        None => return of_cases(app, principal, since_ms).await,
        Some(("case", id)) => app.visible_case(principal, id).await.ok().flatten().map(|case| of_case(&case)),
        Some(("call", id)) => app.visible_call(principal, id).await.ok().flatten().map(|call| {
            json!({
                "type": "call", "callId": call.call_id, "status": call.status, "progress": call.progress,
                "error": call.error, "caseId": call.case_id, "caseNumber": call.case_number,
            })
        }),
        // A session that has ended has no connection.
        Some(_) => None,
    };
    told.into_iter().map(|data| event(topic, &data)).collect()
}

async fn of_cases(app: &Shared, principal: &Principal, since_ms: i64) -> Vec<Value> {
    match app.domain.cases.changed_since(&principal.actor(), since_ms, CASES_MAX).await {
        Ok(Some(changed)) => changed.iter().map(|case| event("cases", &of_case(case))).collect(),
        // The client reads the list again; it would have to anyway.
        Ok(None) => vec![json!({ "type": "missed", "topic": "cases" })],
        Err(error) => {
            tracing::warn!(%error, "could not look for what a client has missed");
            vec![json!({ "type": "missed", "topic": "cases" })]
        }
    }
}

fn of_case(case: &Case) -> Value {
    json!({
        "event": if case.version == 1 { "case.created" } else { "case.updated" },
        "caseId": case.id, "caseNumber": case.case_number, "version": case.version, "urgency": case.urgency,
    })
}

/// An event may be under way between workers for a moment after its write.
const OVERLAP_MS: i64 = 2_000;
const CASES_MAX: u32 = 200;
