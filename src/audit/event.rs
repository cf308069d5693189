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
