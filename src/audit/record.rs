//! One line of the log: an event with its place in the chain.
//!
//! A line is RFC 8785 canonical JSON (sorted keys, shortest escapes, integers below 2^53), so any
//! program can recompute its hash: SHA-256 of `hotline-audit-v2`, a zero byte, and the record without
//! `hash` and `details`. `prevHash` is inside, so a record speaks for all before it.
//!
//! Only the digest of the sealed details is part of what is proven. The record without them, its *entry*, is what
//! the transparency log holds and auditors are shown; details that are erased one day take no proof along.
use std::borrow::Cow;

use aws_lc_rs::digest;
use data_encoding::HEXLOWER;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::event::{Event, EventType, Outcome, Severity};
use super::keys::Sealer;

/// A record as it stands in the log. The fields are in the order of their names: that is what makes
/// the line canonical.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Record {
    pub action: String,
    pub actor: String,
    pub compliance: Compliance,
    /// Sealed, base64; empty if there were none, or they were erased.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub details: String,
    /// SHA-256 of `details`; empty if there were none.
    pub details_hash: String,
    /// Follows from the source and its number: a record sent twice has one id.
    pub event_id: String,
    pub event_type: EventType,
    pub format: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hash: String,
    pub outcome: Outcome,
    pub prev_hash: String,
    pub request_id: String,
    pub seq: u64,
    pub severity: Severity,
    pub source: String,
    pub source_number: u64,
    pub subject: String,
    /// RFC 3339, milliseconds, UTC.
    pub timestamp: String,
}

/// What the record can vouch for; computed, never assumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compliance {
    /// Health information is in the details.
    pub hipaa: bool,
    /// The chain was whole when this was written and the details are sealed.
    pub simtron: bool,
    /// Money or books are affected.
    pub sox: bool,
}

/// Where an event comes from: a process in one of its lives, and the event's number there.
#[derive(Clone, Copy)]
pub struct Origin<'a> {
    pub source: &'a str,
    pub number: u64,
}

impl Record {
    /// Gives an event its place: after `prev_hash`, with its details sealed and its hash computed.
    pub fn link(event: &Event, origin: Origin<'_>, seq: u64, prev_hash: &str, sealer: &Sealer, intact: bool) -> Self {
        let details = if event.details.is_empty() {
            String::new()
        } else {
            sealer.seal(seq, origin.source, origin.number, event.details.as_bytes())
        };
        let mut record = Self {
            action: event.action.clone(),
            actor: event.actor.clone(),
            compliance: Compliance { hipaa: event.contains_phi, simtron: intact, sox: event.affects_financials },
            details: String::new(),
            details_hash: hash_of_details(&details),
            event_id: event_id(origin),
            event_type: event.event_type,
            format: FORMAT,
            hash: String::new(),
            outcome: event.outcome,
            prev_hash: prev_hash.to_owned(),
            request_id: event.request_id.clone(),
            seq,
            severity: event.severity,
            source: origin.source.to_owned(),
            source_number: origin.number,
            subject: event.subject.clone(),
            timestamp: rfc3339(event.at_ms),
        };
        record.hash = hash_of_content(&record.canonical());
        record.details = details;
        record
    }

    /// The line without its line feed.
    pub fn canonical(&self) -> String {
        serde_json::to_string(self).expect("strings and integers are always JSON")
    }

    /// What the transparency log holds: the record without its details.
    pub fn entry(&self) -> String {
        self.without_details(self.hash.clone()).canonical()
    }

    /// The number and the entry of a line that we wrote, without reading all of it; `None` if it is none of ours.
    ///
    /// In canonical form a quotation mark within a text stands behind a backslash, so these names are the members'.
    pub fn entry_of(line: &str) -> Option<(u64, Cow<'_, str>)> {
        const DETAILS: &str = ",\"details\":\"";
        const SEQ: &str = ",\"seq\":";
        let after = &line[line.rfind(SEQ)? + SEQ.len()..];
        let seq = after[..after.find(',')?].parse().ok()?;
        let Some(from) = line.find(DETAILS) else { return Some((seq, Cow::Borrowed(line))) };
        let length = line[from + DETAILS.len()..].find('"')?;
        let rest = &line[from + DETAILS.len() + length + 1..];
        Some((seq, Cow::Owned([&line[..from], rest].concat())))
    }

    /// The hash that the other fields give.
    pub fn computed_hash(&self) -> String {
        hash_of_content(&self.without_details(String::new()).canonical())
    }

    /// The details are those that were recorded, or were erased.
    pub fn has_its_details(&self) -> bool {
        self.details.is_empty() || self.details_hash == hash_of_details(&self.details)
    }

    pub fn is_erased(&self) -> bool {
        self.details.is_empty() && !self.details_hash.is_empty()
    }

    fn without_details(&self, hash: String) -> Self {
        Self { details: String::new(), hash, ..self.clone() }
    }
}

fn hash_of_content(content: &str) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(b"hotline-audit-v2\0");
    context.update(content.as_bytes());
    HEXLOWER.encode(context.finish().as_ref())
}

fn hash_of_details(details: &str) -> String {
    if details.is_empty() {
        return String::new();
    }
    HEXLOWER.encode(digest::digest(&digest::SHA256, details.as_bytes()).as_ref())
}

/// An id in the form of a UUID (version 8: its maker's own recipe).
fn event_id(origin: Origin<'_>) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(b"hotline-audit-event-v1\0");
    context.update(origin.source.as_bytes());
    context.update(&[0]);
    context.update(&origin.number.to_le_bytes());
    let mut id: [u8; 16] = context.finish().as_ref()[..16].try_into().expect("a digest of 32 bytes has 16");
    id[6] = id[6] & 0x0f | 0x80;
    id[8] = id[8] & 0x3f | 0x80;
    let hex = HEXLOWER.encode(&id);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// When the record says that it happened; `None` if it does not say.
pub(super) fn at_ms_of(timestamp: &str) -> Option<i64> {
    timestamp.parse::<Timestamp>().ok().map(Timestamp::as_millisecond)
}

pub(super) fn rfc3339(at_ms: i64) -> String {
    let at = Timestamp::from_millisecond(at_ms).unwrap_or(Timestamp::UNIX_EPOCH);
    at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// Version of the line's fields.
pub const FORMAT: u32 = 2;

/// `prevHash` of the first record.
pub const NO_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

#[cfg(test)]
mod tests {
    use super::super::testing::{SOURCE, event, keys};
    use super::*;
    use proptest::prelude::*;

    fn record(change: impl FnOnce(&mut Event)) -> Record {
        let mut event = event("case.read");
        event.details = String::new();
        change(&mut event);
        Record::link(&event, Origin { source: SOURCE, number: 9 }, 1, NO_HASH, &keys().sealer().unwrap(), true)
    }

    /// The hash was computed by hand with another program; it never changes for format 2.
    #[test]
    fn lines_of_format_2_stay_what_they_are() {
        let line = record(|event| event.subject = "caf\u{e9}\u{1}\"\\/\n".to_owned()).canonical();
        let (before, after) = (LINE.split_once("@HASH@").unwrap().0, LINE.split_once("@HASH@").unwrap().1);
        assert_eq!(line, format!("{before}{HASH}{after}"));
    }

    #[test]
    fn keys_are_in_canonical_order() {
        let line = record(|_| ()).canonical();
        let places: Vec<_> = KEYS.iter().map(|key| line.find(&format!("\"{key}\":")).unwrap()).collect();
        assert!(KEYS.is_sorted() && places.is_sorted());
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value.as_object().unwrap().len(), KEYS.len(), "a field is missing from this test");
    }

    #[test]
    fn an_entry_is_the_record_without_its_details_and_outlives_them() {
        let mut record = record(|event| event.details = r#"{"name":"Maria"}"#.to_owned());
        let (line, entry) = (record.canonical(), record.entry());
        assert!(line.contains("\"details\":\"") && !entry.contains("\"details\":"), "{entry}");
        let told: serde_json::Value = serde_json::from_str(&entry).unwrap();
        assert_eq!(told["detailsHash"], hash_of_details(&record.details));
        assert!(record.has_its_details() && !record.is_erased());
        let sealed = std::mem::take(&mut record.details);
        assert!(record.has_its_details() && record.is_erased());
        assert_eq!((record.entry(), record.computed_hash()), (entry, record.hash.clone()));
        record.details = sealed.replacen('A', "B", 1);
        assert!(!record.has_its_details());
    }

    #[test]
    fn compliance_is_what_the_event_and_the_log_say() {
        let plain = record(|_| ()).compliance;
        assert_eq!(plain, Compliance { hipaa: false, simtron: true, sox: false });
        let marked = record(|event| (event.contains_phi, event.affects_financials) = (true, true)).compliance;
        assert_eq!(marked, Compliance { hipaa: true, simtron: true, sox: true });
    }

    proptest! {
        #[test]
        fn an_entry_is_found_in_a_line_as_in_its_record(action: String, subject: String, details: bool) {
            let tricky = |text: String| format!("{text},\"details\":\"x\",\"seq\":9,\"");
            let record = record(|event| {
                (event.action, event.subject, event.request_id) = (tricky(action), tricky(subject), tricky(String::new()));
                event.details = if details { "{}".to_owned() } else { String::new() };
            });
            let line = record.canonical();
            prop_assert_eq!(Record::entry_of(&line), Some((record.seq, Cow::Owned(record.entry()))));
            for cut in (0..line.len()).filter(|at| line.is_char_boundary(*at)) {
                let _ = Record::entry_of(&line[..cut]);
            }
        }
    }

    #[test]
    fn ids_follow_from_the_source_and_its_number() {
        let id = |source, number| event_id(Origin { source, number });
        assert_eq!(id("a", 1), id("a", 1));
        assert_ne!(id("a", 1), id("a", 2));
        assert_ne!(id("a", 1), id("b", 1));
        assert_eq!(id("a", 1).as_bytes()[14], b'8');
    }

    const KEYS: [&str; 17] = [
        "action",
        "actor",
        "compliance",
        "detailsHash",
        "eventId",
        "eventType",
        "format",
        "hash",
        "outcome",
        "prevHash",
        "requestId",
        "seq",
        "severity",
        "source",
        "sourceNumber",
        "subject",
        "timestamp",
    ];
    const LINE: &str = r#"{"action":"case.read","actor":"4f7a","compliance":{"hipaa":false,"simtron":true,"sox":false},"detailsHash":"","eventId":"c33d960a-1e45-8caa-b778-6bfc0ac43a49","eventType":"DATA_ACCESS","format":2,"hash":"@HASH@","outcome":"allowed","prevHash":"0000000000000000000000000000000000000000000000000000000000000000","requestId":"r-1","seq":1,"severity":"LOW","source":"api-0@00000000000000aa.1","sourceNumber":9,"subject":"café\u0001\"\\/\n","timestamp":"2023-11-14T22:13:20.123Z"}"#;
    const HASH: &str = "1c5d2eba347bc16dedf0b5e349473b6331a30fb7001ba8b26b28f6ab7ed2ac77";
}
