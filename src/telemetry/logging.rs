//! The log: one line an event on standard error, JSON by default, named by slot.
use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, Telemetry};

/// Starts logging for this process. A filter that cannot be read falls back to `info`, said in the log.
pub fn start(telemetry: &Telemetry, process: &str) {
    let (filter, complaint) = match EnvFilter::try_new(&telemetry.log_level) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // A second start (tests) keeps the first.
    let _ = match telemetry.log_format {
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(true).try_init(),
        LogFormat::Text => builder.with_ansi(false).try_init(),
    };
    if let Some(error) = complaint {
        tracing::warn!(process, %error, "telemetry.log_level could not be read; logging at info");
    }
}
