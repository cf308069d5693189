//! The one door for writes of a process: a thread that commits many at once.
//!
//! Each write runs in a savepoint of its own, so one that fails takes nobody along; all of a batch share
//! one transaction and so one fsync, and nobody hears of success before it. Between processes a fair
//! lock is held around the transaction: SQLite's own busy handler lets one process starve another.
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::thread;
use std::time::Instant;

use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};
use hotline::sys::OfdLock;
use hotline::telemetry::names;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::StoreError;

/// Hands writes to the thread.
#[derive(Clone)]
pub(super) struct Writer {
    queue: Sender<Write>,
}

/// Runs the write, and gives what tells the caller once the transaction has ended.
type Write = Box<dyn FnOnce(&Connection) -> Tell + Send>;
type Tell = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

impl Writer {
    pub(super) fn start(
        connection: Connection,
        lock: OfdLock,
        batch_max: u32,
        queue_max: u32,
    ) -> std::io::Result<Self> {
        let (queue, writes) = bounded(queue_max as usize);
        let batch_max = batch_max as usize;
        thread::Builder::new()
            .name("store-write".to_owned())
            .spawn(move || run(&connection, &lock, &writes, batch_max))?;
        Ok(Self { queue })
    }

    /// Runs `write` in a transaction; returns after it is durable.
    pub(super) async fn write<T, F>(&self, write: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job: Write = Box::new(move |connection| {
            let result = in_savepoint(connection, write);
            Box::new(move |committed| {
                // The caller may have given up waiting; its write stands all the same.
                let _ = answer.send(committed.and(result));
            })
        });
        match self.queue.try_send(job) {
            Ok(()) => metrics::gauge!(names::STORE_QUEUE_WRITES).set(self.queue.len() as f64),
            Err(TrySendError::Full(_)) => {
                metrics::counter!(names::STORE_REFUSED).increment(1);
                return Err(StoreError::Busy);
            }
            Err(TrySendError::Disconnected(_)) => return Err(StoreError::Failed("the writer is gone".to_owned())),
        }
        answered.await.unwrap_or_else(|_| Err(StoreError::Failed("the writer dropped a write".to_owned())))
    }
}

/// The lock file beside the database.
pub(super) fn lock_beside(database: &Path) -> std::io::Result<OfdLock> {
    use std::os::unix::fs::OpenOptionsExt;
    let path = database.with_extension("db.lock");
    Ok(OfdLock::new(File::options().create(true).append(true).mode(0o600).open(path)?))
}

fn run(connection: &Connection, lock: &OfdLock, writes: &Receiver<Write>, batch_max: usize) {
    while let Ok(first) = writes.recv() {
        let (outcome, tells) = commit_batch(connection, lock, first, writes, batch_max);
        for tell in tells {
            tell(outcome.clone().map_err(StoreError::Failed));
        }
        metrics::gauge!(names::STORE_QUEUE_WRITES).set(writes.len() as f64);
    }
}

fn commit_batch(
    connection: &Connection,
    lock: &OfdLock,
    first: Write,
    writes: &Receiver<Write>,
    batch_max: usize,
) -> (Result<(), String>, Vec<Tell>) {
    let guard = match lock.lock() {
        Ok(guard) => guard,
        Err(error) => {
            // Nothing has run: tell everybody by running against a failed transaction.
            let tells = vec![first(connection)];
            return (Err(format!("could not lock the store: {error}")), tells);
        }
    };
    let begun = Instant::now();
    let started = connection.execute_batch("BEGIN IMMEDIATE");
    let mut tells = vec![first(connection)];
    // What gathered while waiting for the lock goes along.
    tells.extend(writes.try_iter().take(batch_max.saturating_sub(1)).map(|write| write(connection)));
    let committed = started.and_then(|()| connection.execute_batch("COMMIT"));
    drop(guard);
    metrics::histogram!(names::STORE_BATCH_WRITES).record(tells.len() as f64);
    metrics::histogram!(names::STORE_COMMIT_SECONDS).record(begun.elapsed().as_secs_f64());
    if let Err(error) = &committed {
        tracing::error!(%error, writes = tells.len(), "could not commit");
        if !connection.is_autocommit() {
            let _ = connection.execute_batch("ROLLBACK");
        }
    }
    (committed.map_err(|error| error.to_string()), tells)
}

fn in_savepoint<T>(
    connection: &Connection,
    write: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    if connection.is_autocommit() {
        return Err(StoreError::Failed("no transaction could be begun".to_owned()));
    }
    connection.execute_batch("SAVEPOINT one")?;
    // What a panicking write did is undone with its savepoint; the door stays open for the others.
    let result = catch_unwind(AssertUnwindSafe(|| write(connection)))
        .unwrap_or_else(|_| Err(StoreError::Failed("a write panicked".to_owned())));
    if result.is_err() {
        connection.execute_batch("ROLLBACK TO one")?;
    }
    connection.execute_batch("RELEASE one")?;
    result
}
