//! The embedded store: one SQLite file in WAL mode, every commit on disk before anybody hears of it.
mod calls;
mod cases;
mod evidence;
mod factors;
mod guards;
mod jobs;
mod migrate;
mod once;
mod passkeys;
mod people;
mod readers;
mod sealed;
mod sessions;
mod subjects;
#[cfg(test)]
mod tests;
mod tries;
mod writer;

use std::path::Path;

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ValueRef};
use rusqlite::{Connection, OpenFlags};
use uuid::Uuid;

use super::StoreError;
use crate::subjects::ErasedList;
use hotline::config;
use readers::Readers;
use writer::Writer;

/// A process's view of the database. Cheap to clone.
#[derive(Clone)]
pub struct Sqlite {
    writer: Writer,
    readers: Readers,
}

impl Sqlite {
    /// Opens the file, makes it if it is missing, and brings it to the newest schema. Blocks.
    pub fn open(file: &Path, settings: &config::Store) -> Result<Self, StoreError> {
        Self::open_without(file, settings, None)
    }

    /// As `open`, without those who are on the list: a database may be older than its erasures. And the list has those
    /// who are erased in the database.
    pub fn open_without(
        file: &Path,
        settings: &config::Store,
        erased: Option<&ErasedList>,
    ) -> Result<Self, StoreError> {
        let lock = writer::lock_beside(file)?;
        let (connection, readers) = {
            // Switching a new file to WAL does not wait for others as everything later does.
            let _alone = lock.lock()?;
            make_for_us_alone(file)?;
            let connection = connect(file, false)?;
            migrate::to_newest(&connection)?;
            if let Some(erased) = erased {
                subjects::agree(&connection, erased)?;
            }
            let readers = (0..settings.readers).map(|_| connect(file, true)).collect::<Result<Vec<_>, _>>()?;
            (connection, readers)
        };
        let writer = Writer::start(connection, lock, settings.batch_writes_max, settings.queue_writes_max)?;
        Ok(Self { writer, readers: Readers::start(readers)? })
    }

    /// Whether it answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.readers.read(|db| Ok(db.query_row("SELECT 1", [], |_| Ok(()))?)).await
    }
}

fn connect(file: &Path, read_only: bool) -> Result<Connection, StoreError> {
    // Readers need write access to the WAL's index; `query_only` keeps them from everything else.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // Nothing temporary: savepoints would spill to files in /tmp, which this process cannot reach.
    connection.execute_batch(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = ON;
         PRAGMA trusted_schema = OFF;
         PRAGMA temp_store = MEMORY;
         PRAGMA secure_delete = ON;
         PRAGMA cell_size_check = ON;",
    )?;
    if read_only {
        connection.execute_batch("PRAGMA query_only = ON;")?;
    }
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// SQLite gives its other files the mode of the database; so the database is made before it.
///
/// A file that is there is not touched: closing any descriptor of it drops the locks that all connections
/// of this process hold on it, and the next one to leave elsewhere would delete the WAL under us.
fn make_for_us_alone(file: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    match std::fs::File::options().create_new(true).write(true).mode(0o600).open(file) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// A UUID as its 16 bytes.
struct Id(Uuid);

impl FromSql for Id {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let bytes = value.as_blob()?;
        Uuid::from_slice(bytes).map(Self).map_err(|_| FromSqlError::InvalidType)
    }
}

/// Only a reader that recovers a WAL after a crash, or a checkpoint, makes anybody wait here; writers
/// wait in the fair lock.
const BUSY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);
