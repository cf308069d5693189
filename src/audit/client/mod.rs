//! How a worker writes to the log: events go in, tickets come out, and a ticket tells when its record
//! is on disk.
//!
//! A thread of its own keeps the connection to the scribe, connects again for ever, and sends again
//! what was not acknowledged; numbers let the scribe drop what it has already. When the log has been
//! out of reach for `wait_ms_max`, new events are refused: what cannot be recorded does not happen.
mod connection;
mod durable;
mod sender;
mod state;

use std::path::Path;
use std::sync::Arc;
use std::task::Waker;
use std::thread;
use std::time::{Duration, Instant};

use super::Event;
use crate::config;
use crate::telemetry::names;
use durable::{Durable, block_on};
use sender::Sender;
use state::Shared;

/// A worker's way to the log. Clones share one connection; it closes with the last of them.
#[derive(Clone)]
pub struct AuditClient {
    shared: Arc<Shared>,
    _alive: Arc<Alive>,
}

/// An event's number. Its record is durable once the scribe has acknowledged that number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

/// Why an event is not in the log, or not known to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    #[error("could not record: {0} records wait already")]
    Full(u32),
    #[error("could not record: the log has been out of reach for too long")]
    OutOfReach,
    #[error("could not record: the {0} is too long")]
    TooLong(&'static str),
    #[error("could not tell in time whether the record is on disk")]
    Late,
}

impl AuditClient {
    /// Begins to connect to `<run_dir>/scribe.sock`. `source` names this process in this life of it
    /// and is used by no other.
    ///
    /// # Panics
    /// If the process cannot have one more thread and one more descriptor; workers call this as they
    /// start.
    pub fn connect(run_dir: &Path, source: String, config: &config::Audit) -> Self {
        let shared = Arc::new(Shared::new(config).expect("a starting process can have a descriptor"));
        let sender = Sender::new(Arc::clone(&shared), run_dir.join("scribe.sock"), source);
        thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || sender.run())
            .expect("a starting process can have a thread");
        Self { _alive: Arc::new(Alive(Arc::clone(&shared))), shared }
    }

    /// Takes an event for the log. Does not wait; [`Self::durable`] does.
    pub fn record(&self, event: Event) -> Result<Ticket, AuditError> {
        let taken = self.shared.take(event, Instant::now());
        if taken.is_err() {
            metrics::counter!(names::AUDIT_REFUSED).increment(1);
        }
        taken
    }

    /// Waits until the record is on disk, for at most `wait_ms_max`. A late record may still be
    /// written: it then tells of an act that was answered with an error.
    pub async fn durable(&self, ticket: Ticket) -> Result<(), AuditError> {
        Durable::new(Arc::clone(&self.shared), ticket.0).await
    }

    /// The same for a thread.
    pub fn durable_blocking(&self, ticket: Ticket) -> Result<(), AuditError> {
        block_on(Durable::new(Arc::clone(&self.shared), ticket.0))
    }

    /// Whether events are being written: connected, no failure reported, nothing stuck.
    pub fn healthy(&self) -> bool {
        self.shared.lock().is_healthy(Instant::now())
    }

    /// Waits until all events so far are on disk; false if they are not in time.
    pub fn flush_blocking(&self, within: Duration) -> bool {
        let last = self.shared.lock().last_number();
        let until = Instant::now() + within;
        block_on(Durable::until(Arc::clone(&self.shared), last, until)).is_ok()
    }
}

/// Tells the thread when nobody is left to record anything.
struct Alive(Arc<Shared>);

impl Drop for Alive {
    fn drop(&mut self) {
        let waiting = self.0.lock().stop();
        waiting.into_iter().for_each(Waker::wake);
        self.0.wake_sender();
    }
}

#[cfg(test)]
mod tests;
