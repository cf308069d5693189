//! Records in the forms that other systems read. Details stay sealed: what is exported is what anybody may be shown.
mod cef;
mod ocsf;
mod syslog;

use jiff::Timestamp;

use super::record::Record;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The entry as it is in the transparency log.
    Entry,
    /// Open Cybersecurity Schema Framework, JSON.
    Ocsf,
    /// Common Event Format.
    Cef,
    /// RFC 5424.
    Syslog,
}

impl Format {
    /// One record, without the end of its line.
    pub fn render(self, record: &Record, origin: &str) -> String {
        match self {
            Self::Entry => record.entry(),
            Self::Ocsf => ocsf::render(record, origin),
            Self::Cef => cef::render(record),
            Self::Syslog => syslog::render(record, origin),
        }
    }
}

fn time_ms(record: &Record) -> i64 {
    record.timestamp.parse::<Timestamp>().map_or(0, Timestamp::as_millisecond)
}

#[cfg(test)]
mod tests;
