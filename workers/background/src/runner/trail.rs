//! What this worker reports to the audit log. Clear fields hold ids and verbs; the details are sealed
//! by the scribe and still hold counts and codes only, never a caller's words.
use std::time::Duration;

use hotline::audit::{AuditClient, AuditError, Event, EventType, Outcome, Severity, Ticket};
use hotline::lifecycle::clock;
use hotline_domain::calls::{Call, CallResult};
use hotline_domain::triage::UrgencyLevel;
use serde_json::json;
use uuid::Uuid;

/// What a finished call did, in the order it happened.
pub(super) fn finished(call: &Call, result: &CallResult, case: Uuid) -> [Event; 3] {
    let CallResult { transcript, analysis, recommendations } = result;
    let heard = json!({
        "engine": transcript.engine.name, "model": transcript.engine.model, "sha256": transcript.engine.model_sha256,
        "language": transcript.language, "durationMs": transcript.duration_ms, "partial": transcript.partial,
    });
    let found = json!({
        "issues": analysis.issues.iter().map(|issue| &issue.code).collect::<Vec<_>>(),
        "urgency": analysis.urgency.level, "deadlines": analysis.deadlines.len(), "abstained": analysis.abstained,
        "rules": analysis.model, "steps": recommendations.steps.iter().map(|step| &step.id).collect::<Vec<_>>(),
    });
    let severity = if analysis.urgency.level == UrgencyLevel::Emergency { Severity::High } else { Severity::Low };
    [
        Event { details: heard.to_string(), ..of(call, "call.transcribe", call.call_id) },
        Event { details: found.to_string(), severity, ..of(call, "call.triage", call.call_id) },
        Event { details: json!({ "call": call.call_id }).to_string(), ..of(call, "case.create", case) },
    ]
}

/// A call that will not be tried again.
pub(super) fn failed(call: &Call, code: &'static str, attempts: u32) -> Event {
    Event {
        severity: Severity::High,
        outcome: Outcome::Failed,
        details: json!({ "code": code, "attempts": attempts }).to_string(),
        ..of(call, "call.fail", call.call_id)
    }
}

/// The case that was announced did not come to be. Nobody waits for this record: nothing was done.
pub(super) fn take_back(audit: &AuditClient, call: &Call, case: Uuid) {
    let details = json!({ "call": call.call_id }).to_string();
    let event = Event { outcome: Outcome::Failed, details, ..of(call, "case.create", case) };
    if let Err(error) = audit.record(event) {
        tracing::warn!(%error, %case, "could not record that an announced case was not created");
    }
}

/// The first administrator, before there is one.
pub(super) fn first_administrator(outcome: Outcome) -> Event {
    Event {
        event_type: EventType::SystemChange,
        severity: Severity::High,
        outcome,
        ..event("user.first-administrator")
    }
}

/// Records, and waits until all of it is on disk. Keeps trying for a while: the alternative is to listen
/// to the whole call again.
pub(super) async fn durable(audit: &AuditClient, events: &[Event]) -> Result<(), AuditError> {
    let (mut recorded, mut last) = (0, None);
    for _ in 1..TRIES_MAX {
        match try_durable(audit, events, &mut recorded, &mut last).await {
            Ok(()) => return Ok(()),
            Err(error) => tracing::warn!(%error, "the log does not take records yet"),
        }
        tokio::time::sleep(TRY_AGAIN).await;
    }
    try_durable(audit, events, &mut recorded, &mut last).await
}

async fn try_durable(
    audit: &AuditClient,
    events: &[Event],
    recorded: &mut usize,
    last: &mut Option<Ticket>,
) -> Result<(), AuditError> {
    for event in &events[*recorded..] {
        *last = Some(audit.record(event.clone())?);
        *recorded += 1;
    }
    match *last {
        Some(ticket) => audit.durable(ticket).await,
        None => Ok(()),
    }
}

fn of(call: &Call, action: &str, subject: Uuid) -> Event {
    // The call's own id joins all that was done for it.
    Event { subject: subject.to_string(), request_id: call.call_id.to_string(), ..event(action) }
}

fn event(action: &str) -> Event {
    Event {
        event_type: EventType::DataAccess,
        severity: Severity::Low,
        outcome: Outcome::Allowed,
        at_ms: clock::now_ms().cast_signed(),
        action: action.to_owned(),
        actor: "system".to_owned(),
        subject: String::new(),
        request_id: String::new(),
        details: String::new(),
        contains_phi: false,
        affects_financials: false,
    }
}

const TRIES_MAX: u32 = 5;
const TRY_AGAIN: Duration = Duration::from_secs(1);
