//! Common Event Format: a head between bars, then `key=value` pairs; each half escapes its own separators.
use super::super::event::Severity;
use super::super::record::Record;
use super::time_ms;

pub(super) fn render(record: &Record) -> String {
    let action = head(&record.action);
    let severity = match record.severity {
        Severity::Low => 2,
        Severity::Medium => 5,
        Severity::High => 8,
        Severity::Critical => 10,
    };
    let (seq, time_ms) = (record.seq.to_string(), time_ms(record).to_string());
    let pairs = [
        ("rt", time_ms.as_str()),
        ("externalId", &record.event_id),
        ("act", &record.action),
        ("outcome", record.outcome.name()),
        ("suid", &record.actor),
        ("duid", &record.subject),
        ("dproc", &record.source),
        ("cn1", &seq),
        ("cn1Label", "seq"),
        ("cs1", &record.request_id),
        ("cs1Label", "requestId"),
        ("cs2", &record.hash),
        ("cs2Label", "hash"),
    ];
    let pairs: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}={}", escaped(value))).collect();
    let version = env!("CARGO_PKG_VERSION");
    format!("CEF:0|hotline|hotline-audit|{version}|{action}|{action}|{severity}|{}", pairs.join(" "))
}

fn head(text: &str) -> String {
    on_one_line(text).replace('\\', "\\\\").replace('|', "\\|")
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('=', "\\=").replace('\n', "\\n").replace('\r', "\\r")
}

fn on_one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}
