//! Reads: a few threads with a read-only connection each, so that no query holds up the event loop.
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use crossbeam::channel::{Sender, TrySendError, bounded};
use hotline::telemetry::names;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::StoreError;

/// Hands reads to whichever thread is free.
#[derive(Clone)]
pub(super) struct Readers {
    queue: Sender<Read>,
}

type Read = Box<dyn FnOnce(&Connection) + Send>;

impl Readers {
    pub(super) fn start(connections: Vec<Connection>) -> std::io::Result<Self> {
        let (queue, reads) = bounded::<Read>(QUEUE_READS_MAX);
        for (number, connection) in connections.into_iter().enumerate() {
            let reads = reads.clone();
            let thread = thread::Builder::new().name(format!("store-read-{number}"));
            thread.spawn(move || {
                for read in &reads {
                    // Whoever waits for a read that panicked hears that it was dropped.
                    let _ = catch_unwind(AssertUnwindSafe(|| read(&connection)));
                }
            })?;
        }
        Ok(Self { queue })
    }

    pub(super) async fn read<T, F>(&self, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job: Read = Box::new(move |connection| {
            let _ = answer.send(read(connection)); // nobody waits any more: nothing is lost
        });
        match self.queue.try_send(job) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                metrics::counter!(names::STORE_REFUSED).increment(1);
                return Err(StoreError::Busy);
            }
            Err(TrySendError::Disconnected(_)) => return Err(StoreError::Failed("the readers are gone".to_owned())),
        }
        answered.await.unwrap_or_else(|_| Err(StoreError::Failed("a reader dropped a read".to_owned())))
    }
}

/// Reads of one process that may wait.
const QUEUE_READS_MAX: usize = 4_096;
