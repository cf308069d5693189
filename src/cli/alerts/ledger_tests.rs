//! Alerts come once, again until somebody answers for them, and to more people when nobody does.
use hotline::config::{Config, LoadFrom};
use proptest::prelude::*;

use super::*;

fn terms() -> Terms {
    let alerts = Config::load(LoadFrom::text("")).unwrap().alerts;
    Terms { ways: vec![Way::Webhook, Way::MailEscalation], ..Terms::of(&alerts) }
}

fn record(seq: u64, severity: Severity, action: &str, subject: &str) -> Record {
    serde_json::from_value(serde_json::json!({
        "action": action, "actor": "a", "compliance": { "hipaa": false, "simtron": true, "sox": false },
        "detailsHash": "", "eventId": format!("e{seq}"), "eventType": "SYSTEM_CHANGE", "format": 2, "hash": "h",
        "outcome": "allowed", "prevHash": "p", "requestId": "", "seq": seq, "severity": severity, "source": "s",
        "sourceNumber": seq, "subject": subject, "timestamp": "2026-01-01T00:00:00.000Z",
    }))
    .unwrap()
}

const MINUTE: i64 = 60_000;

#[test]
fn what_is_severe_is_sent_again_until_it_is_acknowledged() {
    let (mut ledger, terms) = (Ledger::default(), terms());
    ledger.take(&record(1, Severity::High, "case.read", ""), &terms, 0);
    ledger.take(&record(2, Severity::Critical, "keys.destroy", "case:1"), &terms, 0);
    assert_eq!(ledger.due(&terms, 0), [(2, Way::Webhook)]);
    ledger.tried(2, Way::Webhook, true, &terms, 0);
    assert_eq!(ledger.due(&terms, 15 * MINUTE - 1), []);
    assert_eq!(ledger.due(&terms, 15 * MINUTE), [(2, Way::Webhook)]);
    assert_eq!(ledger.due(&terms, 30 * MINUTE), [(2, Way::Webhook), (2, Way::MailEscalation)]);
    ledger.take(&record(3, Severity::Low, ACKNOWLEDGE, "2"), &terms, 31 * MINUTE);
    assert_eq!((ledger.due(&terms, i64::MAX / 2), ledger.seq), (vec![], 3));
}

#[test]
fn what_is_alike_is_one_alert_for_a_while() {
    let (mut ledger, terms) = (Ledger::default(), terms());
    for (seq, at_ms) in [(1, 0), (2, MINUTE), (3, 5 * MINUTE)] {
        ledger.take(&record(seq, Severity::Critical, "case.break_glass", "case"), &terms, at_ms);
    }
    ledger.take(&record(4, Severity::Critical, "keys.destroy", "case:1"), &terms, 5 * MINUTE);
    let records: Vec<_> = ledger.open.iter().map(|(seq, alert)| (*seq, alert.records)).collect();
    assert_eq!(records, [(1, 2), (3, 1), (4, 1)]);
    // By the second of its records.
    ledger.take(&record(5, Severity::Low, ACKNOWLEDGE, "2"), &terms, 6 * MINUTE);
    assert_eq!(ledger.open.keys().collect::<Vec<_>>(), [&3, &4]);
    ledger.take(&record(6, Severity::Low, ACKNOWLEDGE, "2"), &terms, 6 * MINUTE);
    ledger.take(&record(7, Severity::Low, ACKNOWLEDGE, "nonsense"), &terms, 6 * MINUTE);
    assert_eq!(ledger.open.len(), 2, "what is no open alert closes none");
}

#[test]
fn a_receiver_that_is_away_is_tried_less_and_less_but_for_ever() {
    let (mut ledger, terms) = (Ledger::default(), terms());
    ledger.take(&record(1, Severity::Critical, "keys.destroy", ""), &terms, 0);
    let (mut now_ms, mut waits) = (0, Vec::new());
    for _ in 0..70 {
        ledger.tried(1, Way::Webhook, false, &terms, now_ms);
        let due_at_ms = (0..).find(|wait_ms| !ledger.due(&terms, now_ms + wait_ms * 1_000).is_empty()).unwrap();
        waits.push(due_at_ms);
        now_ms += due_at_ms * 1_000;
    }
    assert_eq!(waits[..9], [1, 2, 4, 8, 16, 32, 64, 128, 256]);
    assert!(waits[9..].iter().all(|wait| *wait <= 300), "{waits:?}");
}

#[test]
fn what_finds_no_place_is_counted() {
    let (mut ledger, terms) = (Ledger::default(), terms());
    for seq in 1..=1_003 {
        ledger.take(&record(seq, Severity::Critical, &format!("a{seq}"), ""), &terms, 0);
    }
    assert_eq!((ledger.open.len(), ledger.overflow), (1_000, 3));
}

proptest! {
    /// Whatever comes in whatever order: each severe record is under exactly one alert, open or acknowledged.
    #[test]
    fn no_alert_is_lost(steps in prop::collection::vec((0u8..3, 0u64..40, 0i64..400_000), 1..60)) {
        let (mut ledger, terms) = (Ledger::default(), terms());
        let (mut now_ms, mut severe, mut closed) = (0, 0, 0);
        for (seq, (kind, which, later_ms)) in (1..).zip(steps) {
            now_ms += later_ms;
            let before: u64 = ledger.open.values().map(|alert| alert.records).sum();
            match kind {
                0 => ledger.take(&record(seq, Severity::Low, ACKNOWLEDGE, &which.to_string()), &terms, now_ms),
                _ => {
                    severe += 1;
                    ledger.take(&record(seq, Severity::Critical, &format!("a{}", which % 3), ""), &terms, now_ms);
                }
            }
            let after: u64 = ledger.open.values().map(|alert| alert.records).sum();
            closed += (before + u64::from(kind != 0)).checked_sub(after).unwrap();
            prop_assert_eq!(after + closed, severe);
            let again: Ledger = serde_json::from_str(&serde_json::to_string(&ledger).unwrap()).unwrap();
            prop_assert_eq!(&again, &ledger);
        }
    }
}
