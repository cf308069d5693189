//! A thread of the scribe's that publishes what is durable: tiles, and signed heads over them.
//!
//! It is behind the log by a moment and never in its way. Files that cannot be written are tried again; a log that
//! contradicts what was published is told to everybody who looks, and nothing more is signed.
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hotline::audit::{PublishError, Publisher};
use hotline::sys;
use hotline::telemetry::names;

/// The thread, from the side of who writes the log.
pub struct Herald {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    /// The log is on disk up to here.
    durable_seq: AtomicU64,
    /// Everything up to here is read, and under a signed head; 0 before the first time that this was so.
    settled_seq: AtomicU64,
    is_over: AtomicBool,
}

impl Herald {
    /// `open` finds out where the published log ends; it may read a lot, so the thread does it.
    pub fn start(
        open: impl FnMut() -> Result<Publisher, PublishError> + Send + 'static,
        every: Duration,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread = thread::Builder::new().name("herald".to_owned()).spawn(move || {
            if let Err(error) = sys::run_nicely(NICENESS) {
                tracing::warn!(%error, "the herald runs at the scribe's priority");
            }
            theirs.live(open, every);
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// The log is on disk up to this record.
    pub fn is_durable(&self, seq: u64) {
        self.shared.durable_seq.store(seq, Ordering::Release);
    }

    /// Up to here nothing is read from the log again.
    pub fn settled(&self) -> u64 {
        self.shared.settled_seq.load(Ordering::Acquire)
    }
}

/// Publishes what is left, and gives the files up: somebody else may be waiting for them.
impl Drop for Herald {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn live(&self, mut open: impl FnMut() -> Result<Publisher, PublishError>, every: Duration) {
        let mut publisher = None;
        loop {
            // What became durable before the end was said is published at the end.
            let is_last = self.is_over.load(Ordering::Acquire);
            match self.round(&mut publisher, &mut open) {
                Ok(()) => {}
                Err(error) if error.is_final() => {
                    metrics::counter!(names::AUDIT_PUBLISH_FAILURES).increment(1);
                    tracing::error!(%error, "the audit log is written and no longer published");
                    // What contradicts itself is evidence: nobody is to build on what was read of it.
                    self.settled_seq.store(0, Ordering::Release);
                    return;
                }
                Err(error) => {
                    metrics::counter!(names::AUDIT_PUBLISH_FAILURES).increment(1);
                    tracing::warn!(%error, "could not publish the audit log; trying again");
                }
            }
            if is_last {
                return;
            }
            thread::park_timeout(every);
        }
    }

    fn round(
        &self,
        publisher: &mut Option<Publisher>,
        open: &mut impl FnMut() -> Result<Publisher, PublishError>,
    ) -> Result<(), PublishError> {
        let publisher = match publisher {
            Some(publisher) => publisher,
            none => none.insert(open()?),
        };
        loop {
            let durable_seq = self.durable_seq.load(Ordering::Acquire);
            let has_all = publisher.follow(durable_seq)?;
            publisher.publish()?;
            metrics::gauge!(names::AUDIT_TREE_SIZE).set(publisher.published() as f64);
            let behind = durable_seq.saturating_sub(publisher.published());
            metrics::gauge!(names::AUDIT_UNPUBLISHED_RECORDS).set(behind as f64);
            // Who is far behind at the end goes on in the next life.
            if has_all {
                self.settled_seq.store(publisher.published(), Ordering::Release);
            }
            if has_all || self.is_over.load(Ordering::Acquire) {
                return Ok(());
            }
        }
    }
}

const NICENESS: i32 = 10;
