//! What the supervisor has a worker do because it has neither log nor store itself: put its acts on record, and tell
//! what is sealed under which key.
use hotline::audit::Event;
use hotline::wire::{Duty, DutyOutcome};

use crate::app::Shared;

/// The outcome; what was wrong is fit to be shown.
pub(crate) async fn perform(app: &Shared, duty: Duty) -> Result<DutyOutcome, String> {
    match duty {
        Duty::Record(event) => record(app, *event).await,
        Duty::CountSealed => {
            let counts = app.domain.sealed.counts().await;
            counts.map(DutyOutcome::Sealed).map_err(|error| format!("could not look at what is sealed: {error}"))
        }
    }
}

/// Answers when the record is on disk.
async fn record(app: &Shared, event: Event) -> Result<DutyOutcome, String> {
    let recorded = async { app.audit.durable(app.audit.record(event)?).await };
    match recorded.await {
        Ok(()) => Ok(DutyOutcome::Recorded),
        Err(error) => Err(format!("the act could not be put on record: {error}")),
    }
}
