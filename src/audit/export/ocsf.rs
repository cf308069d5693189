//! Open Cybersecurity Schema Framework: each kind of act in the class that the schema has for it.
use serde_json::{Value, json};

use super::super::event::{EventType, Outcome, Severity};
use super::super::record::Record;
use super::time_ms;

pub(super) fn render(record: &Record, origin: &str) -> String {
    let class = Class::of(record);
    let activity = class.activity(&record.action);
    let user = json!({ "uid": record.actor });
    let mut event = json!({
        "activity_id": activity,
        "actor": { "user": user },
        "category_uid": class as u32 / 1_000,
        "class_uid": class as u32,
        "metadata": {
            "version": SCHEMA_VERSION,
            "product": { "name": "hotline", "vendor_name": "hotline", "version": env!("CARGO_PKG_VERSION") },
            "uid": record.event_id,
            "event_code": record.action,
            "sequence": record.seq,
            "log_name": origin,
            "correlation_uid": record.request_id,
        },
        "severity_id": match record.severity {
            Severity::Low => 2,
            Severity::Medium => 3,
            Severity::High => 4,
            Severity::Critical => 5,
        },
        "status_id": if record.outcome == Outcome::Allowed { 1 } else { 2 },
        "status_detail": record.outcome,
        "time": time_ms(record),
        "type_uid": class as u32 * 100 + activity,
        "unmapped": {
            "compliance": record.compliance,
            "detailsHash": record.details_hash,
            "eventType": record.event_type,
            "hash": record.hash,
            "source": record.source,
        },
    });
    for (name, value) in class.own_fields(record, &user) {
        event[name] = value;
    }
    event.to_string()
}

/// The schema's numbers; the thousands are the category.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    DetectionFinding = 2004,
    AccountChange = 3001,
    Authentication = 3002,
    EntityManagement = 3004,
    ApiActivity = 6003,
    DatastoreActivity = 6005,
}

impl Class {
    fn of(record: &Record) -> Self {
        let object = record.action.split('.').next().unwrap_or_default();
        match record.event_type {
            EventType::Login => Self::Authentication,
            EventType::Access => Self::ApiActivity,
            EventType::DataAccess => Self::DatastoreActivity,
            EventType::SystemChange if matches!(object, "user" | "people" | "token") => Self::AccountChange,
            EventType::SystemChange => Self::EntityManagement,
            EventType::ThreatDetected => Self::DetectionFinding,
        }
    }

    fn activity(self, action: &str) -> u32 {
        let verb = action.rsplit('.').next().unwrap_or_default();
        match (self, verb) {
            (Self::Authentication, "login") | (Self::DatastoreActivity, "read" | "list") => 1,
            (Self::Authentication, "logout") => 2,
            (Self::EntityManagement | Self::AccountChange | Self::ApiActivity, "create") => 1,
            (Self::EntityManagement | Self::ApiActivity, "update") => 3,
            (Self::EntityManagement | Self::ApiActivity, "delete") => 4,
            (Self::ApiActivity, "read") => 2,
            (Self::DetectionFinding, _) => 1,
            _ => OTHER,
        }
    }

    /// What the class asks for beyond what all have.
    fn own_fields(self, record: &Record, user: &Value) -> Vec<(&'static str, Value)> {
        let from = || ("src_endpoint", json!({ "name": record.source }));
        match self {
            Self::Authentication => vec![("user", user.clone())],
            Self::AccountChange => vec![("user", json!({ "uid": record.subject }))],
            Self::EntityManagement => {
                let kind = record.action.split('.').next().unwrap_or_default();
                vec![("entity", json!({ "uid": record.subject, "type": kind }))]
            }
            Self::ApiActivity => vec![("api", json!({ "operation": record.action })), from()],
            Self::DatastoreActivity => {
                let table = json!({ "name": record.action.split('.').next(), "uid": record.subject });
                vec![("table", table), from()]
            }
            Self::DetectionFinding => {
                vec![("finding_info", json!({ "title": record.action, "uid": record.event_id }))]
            }
        }
    }
}

const OTHER: u32 = 99;
const SCHEMA_VERSION: &str = "1.4.0";
