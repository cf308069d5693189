//! What the tests of this room have in common.
use std::path::Path;

use super::{AuditKeys, Batch, Event, EventType, LogWriter, Outcome, Severity};
use crate::wire::KeyBytes;

pub(super) const SOURCE: &str = "api-0@00000000000000aa.1";

pub(super) fn keys() -> AuditKeys {
    AuditKeys::new(vec![KeyBytes { version: 1, bytes: [7; 32] }]).unwrap()
}

pub(super) fn event(action: &str) -> Event {
    Event {
        event_type: EventType::DataAccess,
        severity: Severity::Low,
        outcome: Outcome::Allowed,
        at_ms: 1_700_000_000_123,
        action: action.to_owned(),
        actor: "4f7a".to_owned(),
        subject: "case/17".to_owned(),
        request_id: "r-1".to_owned(),
        details: r#"{"words":"landlord"}"#.to_owned(),
        contains_phi: false,
        affects_financials: false,
    }
}

pub(super) fn batch(source: &str, first_number: u64, count: usize) -> Batch {
    let events = (0..count).map(|_| event("case.read")).collect();
    Batch { source: source.to_owned(), first_number, events }
}

pub(super) fn open(folder: &Path) -> LogWriter {
    LogWriter::open(folder, keys(), 1 << 20).unwrap().0
}
