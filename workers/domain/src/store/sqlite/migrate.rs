//! Brings the schema forward, one numbered step at a time, by whichever process comes first.
use aws_lc_rs::digest::{SHA256, digest};
use rusqlite::{Connection, OptionalExtension};

use super::StoreError;

/// Runs what is missing. The caller holds the write lock.
pub(super) fn to_newest(db: &Connection) -> Result<(), StoreError> {
    run(db, MIGRATIONS)
}

/// As an earlier build would have left it.
#[cfg(test)]
pub(super) fn to_step(db: &Connection, number: usize) -> Result<(), StoreError> {
    run(db, &MIGRATIONS[..number])
}

fn run(db: &Connection, migrations: &[(&str, &str)]) -> Result<(), StoreError> {
    db.execute_batch(
        "CREATE TABLE IF NOT EXISTS migrations (
             number INTEGER PRIMARY KEY, name TEXT NOT NULL, sha256 BLOB NOT NULL
         ) STRICT;",
    )?;
    let newest: i64 = db.query_row("SELECT coalesce(max(number), 0) FROM migrations", [], |row| row.get(0))?;
    if newest > migrations.len() as i64 {
        return Err(StoreError::Malformed { what: "a newer schema (written by a newer build)" });
    }
    for (number, (name, sql)) in (1i64..).zip(migrations) {
        let sum = digest(&SHA256, sql.as_bytes());
        let known: Option<Vec<u8>> =
            db.query_row("SELECT sha256 FROM migrations WHERE number = ?1", [number], |row| row.get(0)).optional()?;
        match known {
            Some(known) if known == sum.as_ref() => {}
            Some(_) => return Err(StoreError::Malformed { what: "a migration that was changed after it ran" }),
            None => {
                let step = db.unchecked_transaction()?;
                step.execute_batch(sql)?;
                step.execute("INSERT INTO migrations VALUES (?1, ?2, ?3)", (number, name, sum.as_ref()))?;
                step.commit()?;
            }
        }
    }
    Ok(())
}

const MIGRATIONS: &[(&str, &str)] = &[
    ("first", include_str!("migrations/0001-first.sql")),
    ("changes", include_str!("migrations/0002-changes.sql")),
    ("people", include_str!("migrations/0003-people.sql")),
    ("guards", include_str!("migrations/0004-guards.sql")),
    ("passkeys", include_str!("migrations/0005-passkeys.sql")),
    ("subject-keys", include_str!("migrations/0006-subject-keys.sql")),
    ("orders", include_str!("migrations/0007-orders.sql")),
    ("evidence", include_str!("migrations/0008-evidence.sql")),
];
