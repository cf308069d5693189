//! RFC 5424: facility 13 (log audit), the record's fields as structured data.
use super::super::event::Severity;
use super::super::record::Record;

pub(super) fn render(record: &Record, origin: &str) -> String {
    let level = match record.severity {
        Severity::Low => 6,
        Severity::Medium => 5,
        Severity::High => 4,
        Severity::Critical => 2,
    };
    let priority = FACILITY * 8 + level;
    let host = name(origin.split('/').next().unwrap_or_default(), 255);
    let seq = record.seq.to_string();
    let fields = [
        ("seq", seq.as_str()),
        ("eventId", &record.event_id),
        ("eventType", record.event_type.name()),
        ("action", &record.action),
        ("outcome", record.outcome.name()),
        ("actor", &record.actor),
        ("subject", &record.subject),
        ("requestId", &record.request_id),
        ("source", &record.source),
        ("hash", &record.hash),
    ];
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}=\"{}\"", value_of(value))).collect();
    let (time, message) = (&record.timestamp, name(&record.action, 32));
    format!("<{priority}>1 {time} {host} hotline-audit - {message} [{ID} {}]", fields.join(" "))
}

/// A header field: visible ASCII of a bounded length, `-` for nothing.
fn name(text: &str, length_max: usize) -> String {
    let name: String = text.chars().filter(char::is_ascii_graphic).take(length_max).collect();
    if name.is_empty() { "-".to_owned() } else { name }
}

fn value_of(text: &str) -> String {
    let mut value = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(letter, '"' | '\\' | ']') {
            value.push('\\');
        }
        value.push(if letter.is_control() { ' ' } else { letter });
    }
    value
}

const FACILITY: u8 = 13;
/// RFC 5612 keeps this number for names that nobody has registered.
const ID: &str = "hotline@32473";
