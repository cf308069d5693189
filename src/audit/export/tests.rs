//! Whatever stands in a record, another system reads one event of it, and the right one.
use proptest::prelude::*;
use serde_json::Value;

use super::super::testing::{SOURCE, event, keys};
use super::super::{Event, EventType, NO_HASH, Origin, Outcome, Severity};
use super::*;

const ORIGIN: &str = "hotline.example.org/audit";

fn record(change: impl FnOnce(&mut Event)) -> Record {
    let mut event = event("case.read");
    change(&mut event);
    Record::link(&event, Origin { source: SOURCE, number: 9 }, 17, NO_HASH, &keys().sealer().unwrap(), true)
}

fn ocsf(record: &Record) -> Value {
    serde_json::from_str(&Format::Ocsf.render(record, ORIGIN)).unwrap()
}

#[test]
fn a_syslog_line_is_what_the_standard_says() {
    let record = record(|event| {
        event.subject = "a\"b]c\\d\ne".to_owned();
        event.severity = Severity::Critical;
    });
    let line = Format::Syslog.render(&record, ORIGIN);
    let start =
        "<106>1 2023-11-14T22:13:20.123Z hotline.example.org hotline-audit - case.read [hotline@32473 seq=\"17\" ";
    assert!(line.starts_with(start), "{line}");
    assert!(line.contains(r#" subject="a\"b\]c\\d e" "#), "{line}");
    assert!(line.ends_with(&format!("hash=\"{}\"]", record.hash)), "{line}");
}

#[test]
fn a_cef_line_keeps_its_separators() {
    let record = record(|event| {
        event.action = "case|read\\".to_owned();
        event.subject = "a=b\\c\nd|e".to_owned();
    });
    let line = Format::Cef.render(&record, ORIGIN);
    assert!(line.starts_with("CEF:0|hotline|hotline-audit|"), "{line}");
    assert!(line.contains(r"|case\|read\\|case\|read\\|2|rt=1700000000123 "), "{line}");
    assert!(line.contains(r" duid=a\=b\\c\nd|e "), "{line}");
}

#[test]
fn each_kind_of_act_has_its_class_with_what_the_class_asks_for() {
    let rows = [
        (EventType::Login, "auth.login", 3002, 1, "user"),
        (EventType::Login, "auth.logout", 3002, 2, "user"),
        (EventType::Access, "api.read", 6003, 2, "api"),
        (EventType::DataAccess, "case.read", 6005, 1, "table"),
        (EventType::SystemChange, "case.update", 3004, 3, "entity"),
        (EventType::SystemChange, "user.create", 3001, 1, "user"),
        (EventType::ThreatDetected, "audit.broken", 2004, 1, "finding_info"),
        (EventType::SystemChange, "service.reload", 3004, 99, "entity"),
    ];
    for (event_type, action, class, activity, field) in rows {
        let event = ocsf(&record(|event| (event.event_type, event.action) = (event_type, action.to_owned())));
        assert_eq!(event["class_uid"], class, "{action}");
        assert_eq!(event["category_uid"], class / 1_000);
        assert_eq!((&event["activity_id"], &event["type_uid"]), (&activity.into(), &(class * 100 + activity).into()));
        assert!(event[field].is_object(), "{action} {event}");
        for required in ["time", "severity_id", "metadata", "actor"] {
            assert!(!event[required].is_null(), "{required}");
        }
    }
    let denied = ocsf(&record(|event| event.outcome = Outcome::Denied));
    assert_eq!((&denied["status_id"], &denied["status_detail"]), (&2.into(), &"denied".into()));
}

proptest! {
    #[test]
    fn no_record_becomes_two_events_or_tells_its_details(action in "\\PC{0,20}", subject: String, actor: String) {
        let record = record(|event| (event.action, event.subject, event.actor) = (action, subject, actor));
        for format in [Format::Entry, Format::Ocsf, Format::Cef, Format::Syslog] {
            let line = format.render(&record, ORIGIN);
            prop_assert!(!line.contains(['\n', '\r']), "{line:?}");
            prop_assert!(!line.contains(&record.details) && !line.contains("landlord"));
        }
        prop_assert_eq!(&ocsf(&record)["actor"]["user"]["uid"], &record.actor);
    }
}
