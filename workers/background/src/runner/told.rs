//! What live connections are told about a call: ids, states and numbers, nothing of what was said.
use hotline::wire::LiveEvent;
use hotline_domain::cases::Case;
use hotline_domain::store::CallState;
use serde_json::json;
use uuid::Uuid;

/// A call has come this far.
pub(super) fn moved(call: Uuid, status: CallState, progress: u8) -> LiveEvent {
    let payload = json!({ "type": "call", "callId": call, "status": status, "progress": progress });
    LiveEvent { topic: topic(call), payload: payload.to_string() }
}

/// A call failed for good.
pub(super) fn failed(call: Uuid, code: &str) -> LiveEvent {
    let payload = json!({ "type": "call", "callId": call, "status": CallState::Failed, "error": code });
    LiveEvent { topic: topic(call), payload: payload.to_string() }
}

/// A call has become a case: one event for those who watch the call, one for those who watch cases.
pub(super) fn ready(call: Uuid, case: &Case) -> [LiveEvent; 2] {
    let to_call = json!({
        "type": "call", "callId": call, "status": CallState::Ready, "progress": 100,
        "caseId": case.id, "caseNumber": case.case_number, "urgency": case.urgency,
    });
    let to_cases = json!({ "type": "case", "event": "created", "caseId": case.id, "urgency": case.urgency });
    [
        LiveEvent { topic: topic(call), payload: to_call.to_string() },
        LiveEvent { topic: "cases".to_owned(), payload: to_cases.to_string() },
    ]
}

fn topic(call: Uuid) -> String {
    format!("call:{call}")
}
