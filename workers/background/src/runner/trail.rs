//! What this worker does, as events of the audit log. Ids and counts only; details are sealed there.
use hotline::audit::{Event, EventType, Outcome, Severity};
use hotline::lifecycle::clock;
use serde_json::Value;

/// One act of the product itself.
pub(super) struct Act {
    event: Event,
}

impl Act {
    pub(super) fn new(event_type: EventType, action: &str, subject: &str) -> Self {
        Self {
            event: Event {
                event_type,
                severity: Severity::Low,
                outcome: Outcome::Allowed,
                at_ms: clock::now_ms().cast_signed(),
                action: action.to_owned(),
                actor: "system".to_owned(),
                subject: subject.to_owned(),
                request_id: String::new(),
                details: String::new(),
                contains_phi: false,
                affects_financials: false,
            },
        }
    }

    pub(super) fn severity(mut self, severity: Severity) -> Self {
        self.event.severity = severity;
        self
    }

    pub(super) fn failed(mut self) -> Self {
        self.event.outcome = Outcome::Failed;
        self
    }

    pub(super) fn details(mut self, details: &Value) -> Self {
        self.event.details = details.to_string();
        self
    }

    pub(super) fn event(self) -> Event {
        self.event
    }
}
