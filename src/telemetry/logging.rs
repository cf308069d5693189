//! The log: one line an event on standard error, JSON by default, each naming the process it is from.
//!
//! All processes share one standard error, so a line is written by one system call and says whose it
//! is: the slot for a worker, `supervisor` for the supervisor.
use std::io::{self, Write};
use std::sync::Arc;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::{LogFormat, Telemetry};

/// Starts logging for this process. A filter that cannot be read falls back to `info`, said in the log.
pub fn start(telemetry: &Telemetry, process: &str) {
    let (filter, complaint) = match EnvFilter::try_new(&telemetry.log_level) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
    };
    let named = Named::new(process, telemetry.log_format);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(named).with_target(false);
    // A second start (tests) keeps the first.
    let _ = match telemetry.log_format {
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(true).try_init(),
        LogFormat::Text => builder.with_ansi(false).try_init(),
    };
    if let Some(error) = complaint {
        tracing::warn!(%error, "telemetry.log_level could not be read; logging at info");
    }
}

/// Makes writers that put the process's name in front of a line.
struct Named {
    prefix: Arc<str>,
    format: LogFormat,
}

/// Writes one line.
struct Line<W> {
    prefix: Arc<str>,
    format: LogFormat,
    to: W,
}

impl Named {
    fn new(process: &str, format: LogFormat) -> Self {
        let prefix = match format {
            // Names of slots need no escaping.
            LogFormat::Json => format!("{{\"process\":\"{process}\","),
            LogFormat::Text => format!("{process:<12} "),
        };
        Self { prefix: prefix.into(), format }
    }
}

impl<'a> MakeWriter<'a> for Named {
    type Writer = Line<io::Stderr>;

    fn make_writer(&'a self) -> Self::Writer {
        Line { prefix: Arc::clone(&self.prefix), format: self.format, to: io::stderr() }
    }
}

impl<W: Write> Write for Line<W> {
    /// Takes a whole event, as the formatter gives it.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let rest = match self.format {
            LogFormat::Json => event.strip_prefix(b"{").unwrap_or(event),
            LogFormat::Text => event,
        };
        self.to.write_all(&[self.prefix.as_bytes(), rest].concat())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(format: LogFormat, event: &str) -> String {
        let Named { prefix, format } = Named::new("api-0", format);
        let mut line = Line { prefix, format, to: Vec::new() };
        line.write_all(event.as_bytes()).unwrap();
        String::from_utf8(line.to).unwrap()
    }

    #[test]
    fn every_line_names_its_process() {
        let json: serde_json::Value = serde_json::from_str(&line(LogFormat::Json, "{\"level\":\"INFO\"}\n")).unwrap();
        assert_eq!((json["process"].as_str(), json["level"].as_str()), (Some("api-0"), Some("INFO")));
        assert_eq!(line(LogFormat::Text, "INFO served\n"), "api-0        INFO served\n");
    }
}
