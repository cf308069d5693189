//! The topic `alerts`: severe records of the audit log, as they are published, whoever wrote them.
//!
//! Each worker follows the published log itself while somebody here listens, so an alert needs neither a worker that
//! saw it happen nor the way through the supervisor.
use std::time::Duration;

use hotline::audit::{FollowError, Record, published_from, published_size};
use hotline::tlog::Store;
use hotline::wire::LiveEvent;
use serde_json::json;

use crate::app::Shared;

pub(super) const TOPIC: &str = "alerts";

/// Follows the log for as long as the worker lives.
pub(crate) async fn tell_alerts(app: Shared) {
    let mut next = None;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if !app.hub.hears(TOPIC) {
            next = None;
            continue;
        }
        let store = Store::new(app.config.paths.tlog_dir());
        match tokio::task::spawn_blocking(move || read(&store, next)).await {
            Ok(Ok((records, then))) => {
                next = Some(then);
                records.iter().filter_map(|record| told(&app, record)).for_each(|event| {
                    app.hub.deliver(&event);
                });
            }
            Ok(Err(error)) => tracing::warn!(%error, "could not look for alerts in the published log"),
            Err(error) => tracing::error!(%error, "the look for alerts was cut off"),
        }
    }
}

/// The records since the last look, and where the next one begins. Who begins to listen hears of what comes.
fn read(store: &Store, next: Option<u64>) -> Result<(Vec<Record>, u64), FollowError> {
    let Some(mut next) = next else { return Ok((Vec::new(), published_size(store)? + 1)) };
    let mut records = Vec::new();
    while records.len() < RECORDS_AT_ONCE {
        let more = published_from(store, next)?;
        let Some(last) = more.last() else { break };
        next = last.seq + 1;
        records.extend(more);
    }
    Ok((records, next))
}

/// What it is and where it stands; whom it concerns is for those who may read the record.
fn told(app: &Shared, record: &Record) -> Option<LiveEvent> {
    let payload = if record.action == "alert.acknowledge" {
        json!({ "event": "alert.acknowledged", "seq": record.subject.parse::<u64>().ok()? })
    } else if record.severity >= app.config.alerts.severity_min {
        json!({
            "event": "alert", "seq": record.seq, "eventId": record.event_id, "eventType": record.event_type,
            "severity": record.severity, "action": record.action, "outcome": record.outcome,
            "timestamp": record.timestamp,
        })
    } else {
        return None;
    };
    Some(LiveEvent { topic: TOPIC.to_owned(), payload: payload.to_string() })
}

const LOOK_EVERY: Duration = Duration::from_millis(500);
const RECORDS_AT_ONCE: usize = 16_384;
