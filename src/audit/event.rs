//! What happened, as a worker reports it. The scribe turns events into records of the log.
use serde::{Deserialize, Serialize};

/// The seed's event types, kept by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EventType {
    Login,
    Access,
    DataAccess,
    SystemChange,
    ThreatDetected,
}

/// How much attention an event deserves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Severity {
    Low,
    Medium,
    High,
    Critical,
}

/// How the act ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Allowed,
    Denied,
    Failed,
}

impl EventType {
    pub fn name(self) -> &'static str {
        match self {
            Self::Login => "LOGIN",
            Self::Access => "ACCESS",
            Self::DataAccess => "DATA_ACCESS",
            Self::SystemChange => "SYSTEM_CHANGE",
            Self::ThreatDetected => "THREAT_DETECTED",
        }
    }
}

impl Severity {
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "LOW",
            Self::Medium => "MEDIUM",
            Self::High => "HIGH",
            Self::Critical => "CRITICAL",
        }
    }
}

impl Outcome {
    pub fn name(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Failed => "failed",
        }
    }
}

/// One act. `details` may name people; the scribe seals it before it touches the disk.
#[derive(Clone, Serialize, Deserialize)]
pub struct Event {
    pub event_type: EventType,
    pub severity: Severity,
    pub outcome: Outcome,
    /// When it happened, milliseconds since 1970 (UTC).
    pub at_ms: i64,
    /// Verb with its object's kind: `case.read`, `call.process`, `auth.login`.
    pub action: String,
    /// User id, or `anonymous`, `system`, `uid:1000`.
    pub actor: String,
    /// Id of what was acted on; empty if nothing.
    pub subject: String,
    /// Joins the record with the access log and the caller's `X-Request-Id`.
    pub request_id: String,
    /// A JSON object, or empty. Sealed in the log.
    pub details: String,
    /// Health information is inside.
    pub contains_phi: bool,
    /// Money or books are affected.
    pub affects_financials: bool,
}

impl Event {
    /// The part that is too long for the log, if any.
    pub fn over_limit(&self) -> Option<&'static str> {
        let parts = [
            ("action", &self.action, NAME_BYTES_MAX),
            ("actor", &self.actor, NAME_BYTES_MAX),
            ("subject", &self.subject, NAME_BYTES_MAX),
            ("request id", &self.request_id, NAME_BYTES_MAX),
            ("details", &self.details, DETAILS_BYTES_MAX),
        ];
        parts.into_iter().find(|(_, text, bytes_max)| text.len() > *bytes_max).map(|(name, ..)| name)
    }

    /// About what it takes in a frame; never less.
    pub fn bytes(&self) -> usize {
        let texts = [&self.action, &self.actor, &self.subject, &self.request_id, &self.details];
        texts.iter().map(|text| text.len() + 9).sum::<usize>() + 32
    }
}

/// Ids and verbs, not prose.
pub const NAME_BYTES_MAX: usize = 256;

/// A record names what happened; it is not where content is kept.
pub const DETAILS_BYTES_MAX: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_exported_is_called_what_the_log_calls_it() {
        use EventType::{Access, DataAccess, Login, SystemChange, ThreatDetected};
        for event_type in [Login, Access, DataAccess, SystemChange, ThreatDetected] {
            assert_eq!(serde_json::to_value(event_type).unwrap(), event_type.name());
        }
        for severity in [Severity::Low, Severity::Medium, Severity::High, Severity::Critical] {
            assert_eq!(serde_json::to_value(severity).unwrap(), severity.name());
        }
        for outcome in [Outcome::Allowed, Outcome::Denied, Outcome::Failed] {
            assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.name());
        }
    }
}
