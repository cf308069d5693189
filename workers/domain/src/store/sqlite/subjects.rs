//! Subjects: their wrapped keys, and their end. What is destroyed is overwritten (`secure_delete`).
use std::collections::BTreeSet;

use async_trait::async_trait;
use hotline::audit::kept_until_ms;
use hotline::lifecycle::clock;
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::{Id, Sqlite};
use crate::store::{Decide, Erased, ErasedWhen, Erasure, StoreError, SubjectRow, Subjects, WrappedKeys};
use crate::subjects::ErasedList;

#[async_trait]
impl Subjects for Sqlite {
    async fn subjects(&self, ids: Vec<Uuid>) -> Result<Vec<SubjectRow>, StoreError> {
        self.readers.read(move |db| among(db, &ids)).await
    }

    async fn make_subjects(&self, rows: Vec<SubjectRow>) -> Result<Vec<SubjectRow>, StoreError> {
        self.writer
            .write(move |db| {
                rows.iter().try_for_each(|row| insert(db, Some(row)))?;
                among(db, &rows.iter().map(|row| row.id).collect::<Vec<_>>())
            })
            .await
    }

    async fn erase_subject(&self, erasure: Erasure, when: ErasedWhen, decide: Decide) -> Result<Erased, StoreError> {
        self.writer
            .write(move |db| {
                if let Some(reason) = may_not_be_erased(db, erasure.subject, when)? {
                    return Ok(Erased::Held { reason });
                }
                decide(&erasure)?;
                erase(db, &erasure)?;
                let of_subject = |sql: &str| ids(db, sql, &erasure.subject);
                Ok(Erased::Done {
                    cases: of_subject("SELECT id FROM cases WHERE subject = ?1")?,
                    calls: of_subject("SELECT id FROM calls WHERE subject = ?1")?,
                })
            })
            .await
    }

    async fn erased_calls(&self) -> Result<Vec<Uuid>, StoreError> {
        self.readers
            .read(|db| {
                let mut statement = db.prepare_cached("SELECT id FROM calls WHERE erased_at_ms IS NOT NULL")?;
                let calls = statement.query_map([], |row| Ok(row.get::<_, Id>(0)?.0))?;
                Ok(calls.collect::<Result<_, _>>()?)
            })
            .await
    }

    async fn subjects_of_calls(&self, calls: Vec<Uuid>) -> Result<Vec<(Uuid, Uuid)>, StoreError> {
        self.readers
            .read(move |db| {
                let sql = "SELECT id, subject FROM calls WHERE id = ?1 AND erased_at_ms IS NULL";
                let mut statement = db.prepare_cached(sql)?;
                let mut found = |call: &Uuid| {
                    let pair = |row: &Row<'_>| Ok((row.get::<_, Id>(0)?.0, row.get::<_, Id>(1)?.0));
                    statement.query_row([call.as_bytes()], pair).optional()
                };
                Ok(calls.iter().filter_map(|call| found(call).transpose()).collect::<Result<_, _>>()?)
            })
            .await
    }

    async fn empty_write_log(&self) -> Result<bool, StoreError> {
        // A connection that only reads may do it, outside of any transaction.
        self.readers
            .read(|db| Ok(db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0))? == 0))
            .await
    }
}

/// The one place that says whether anything stands against forgetting a subject, and what. It is asked under the lock of
/// all writers, so nothing can come to stand against it between the question and the deed.
fn may_not_be_erased(db: &Connection, subject: Uuid, when: ErasedWhen) -> Result<Option<String>, StoreError> {
    let sql = "SELECT cases.number FROM cases JOIN case_guards ON case_guards.\"case\" = cases.id
         WHERE cases.subject = ?1 AND case_guards.kind = 'hold' AND case_guards.ended_at_ms IS NULL";
    let held: Option<String> = db.prepare_cached(sql)?.query_row([subject.as_bytes()], |row| row.get(0)).optional()?;
    if let Some(number) = held {
        return Ok(Some(format!("case {number} is under a legal hold")));
    }
    match when {
        ErasedWhen::Wanted => Ok(None),
        ErasedWhen::KeptFor { years, now_ms } => must_be_kept(db, subject, years, now_ms),
    }
}

/// What is archived is not changed any more, so its last change was its archiving.
fn must_be_kept(db: &Connection, subject: Uuid, years: u16, now_ms: i64) -> Result<Option<String>, StoreError> {
    let mut statement = db.prepare_cached("SELECT number, state, updated_at_ms FROM cases WHERE subject = ?1")?;
    let mut rows = statement.query([subject.as_bytes()])?;
    while let Some(row) = rows.next()? {
        let (number, state, archived_at_ms): (String, String, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        if state != "archived" {
            return Ok(Some(format!("case {number} is not archived")));
        }
        match kept_until_ms(archived_at_ms, years) {
            Some(until_ms) if until_ms <= now_ms => {}
            Some(until_ms) => return Ok(Some(format!("case {number} is kept until {}", clock::rfc3339(until_ms)))),
            None => return Ok(Some(format!("case {number} is kept for good"))),
        }
    }
    Ok(None)
}

/// A new one; one that is there stays as it is.
pub(super) fn insert(db: &Connection, subject: Option<&SubjectRow>) -> Result<(), StoreError> {
    let Some(SubjectRow { id, made_at_ms, keys: Some(keys) }) = subject else { return Ok(()) };
    let sql = "INSERT INTO subject_keys (id, case_key_sealed, call_key_sealed, made_at_ms) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (id) DO NOTHING";
    db.prepare_cached(sql)?.execute(params![id.as_bytes(), keys.case_key_sealed, keys.call_key_sealed, made_at_ms])?;
    Ok(())
}

/// Nothing more comes to a subject that was erased.
pub(super) fn must_live(db: &Connection, subject: Uuid) -> Result<(), StoreError> {
    let sql = "SELECT 1 FROM subject_keys WHERE id = ?1 AND destroyed_at_ms IS NOT NULL";
    if db.prepare_cached(sql)?.exists([subject.as_bytes()])? { Err(StoreError::Erased) } else { Ok(()) }
}

/// Brings the database and the list of erasures to what both of them know. The caller holds the write lock.
pub(super) fn agree(db: &Connection, list: &ErasedList) -> Result<(), StoreError> {
    let sql = "SELECT id, destroyed_at_ms, destroyed_by FROM subject_keys WHERE destroyed_at_ms IS NOT NULL";
    let mut statement = db.prepare(sql)?;
    let destroyed = statement.query_map([], |row| {
        let by = row.get::<_, Option<String>>(2)?.unwrap_or_default();
        Ok(Erasure { subject: row.get::<_, Id>(0)?.0, at_ms: row.get(1)?, by })
    })?;
    let destroyed: Vec<Erasure> = destroyed.collect::<Result<_, _>>()?;
    let (here, listed) = (subjects_of(&destroyed), list.read()?);
    let there = subjects_of(&listed);
    for erasure in destroyed.iter().filter(|erasure| !there.contains(&erasure.subject)) {
        list.add(erasure)?;
    }
    let missing: Vec<&Erasure> = listed.iter().filter(|erasure| !here.contains(&erasure.subject)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    tracing::warn!(subjects = missing.len(), "the database has subjects that were erased; erasing them again");
    let step = db.unchecked_transaction()?;
    missing.into_iter().try_for_each(|erasure| erase(&step, erasure))?;
    step.commit()?;
    Ok(())
}

fn subjects_of(erasures: &[Erasure]) -> BTreeSet<Uuid> {
    erasures.iter().map(|erasure| erasure.subject).collect()
}

/// What is left are ids, times, states and who of the staff did what.
fn erase(db: &Connection, erasure: &Erasure) -> Result<(), StoreError> {
    let Erasure { subject, at_ms, by } = erasure;
    let sql = "INSERT INTO subject_keys (id, made_at_ms, destroyed_at_ms, destroyed_by) VALUES (?1, ?2, ?2, ?3)
         ON CONFLICT (id) DO UPDATE SET case_key_sealed = NULL, call_key_sealed = NULL,
             destroyed_at_ms = coalesce(destroyed_at_ms, excluded.destroyed_at_ms),
             destroyed_by = coalesce(destroyed_by, excluded.destroyed_by)";
    db.prepare_cached(sql)?.execute(params![subject.as_bytes(), at_ms, by])?;
    for sql in OF_SUBJECT {
        db.prepare_cached(sql)?.execute(params![subject.as_bytes(), at_ms])?;
    }
    for sql in AROUND_SUBJECT {
        db.prepare_cached(sql)?.execute([subject.as_bytes()])?;
    }
    Ok(())
}

const OF_SUBJECT: [&str; 4] = [
    "UPDATE cases SET document_sealed = x'', issues = '', erased_at_ms = ?2
     WHERE subject = ?1 AND erased_at_ms IS NULL",
    "UPDATE case_versions SET document_sealed = x'', issues = '', erased_at_ms = ?2
     WHERE subject = ?1 AND erased_at_ms IS NULL",
    "UPDATE calls SET caller_sealed = x'', transcript_sealed = NULL, analysis_sealed = NULL,
         recommendations_sealed = NULL, audio_sha256 = zeroblob(32), jurisdiction = '', erased_at_ms = ?2,
         error = CASE WHEN state IN ('ready', 'failed', 'declined') THEN error ELSE 'erased' END,
         state = CASE WHEN state IN ('ready', 'failed', 'declined') THEN state ELSE 'failed' END
     WHERE subject = ?1 AND erased_at_ms IS NULL",
    "UPDATE evidence SET document_sealed = x'', sha256 = zeroblob(32), sha512 = zeroblob(64), erased_at_ms = ?2
     WHERE subject = ?1 AND erased_at_ms IS NULL",
];

/// Whoever works on a call of theirs has lost it; digests of what was sent in would let somebody try guesses.
const AROUND_SUBJECT: [&str; 4] = [
    "UPDATE custody SET note_sealed = x'', digest = zeroblob(32) WHERE subject = ?1",
    "UPDATE case_guards SET reason_sealed = x'' WHERE subject = ?1",
    "UPDATE jobs SET state = 'done', lease_until_ms = NULL, last_error = 'erased'
     WHERE state <> 'done' AND call IN (SELECT id FROM calls WHERE subject = ?1)",
    "DELETE FROM once WHERE made IN (SELECT id FROM calls WHERE subject = ?1 UNION SELECT id FROM cases WHERE subject = ?1
         UNION SELECT id FROM evidence WHERE subject = ?1)",
];

fn among(db: &Connection, ids: &[Uuid]) -> Result<Vec<SubjectRow>, StoreError> {
    let sql = "SELECT id, made_at_ms, case_key_sealed, call_key_sealed FROM subject_keys WHERE id = ?1";
    let mut statement = db.prepare_cached(sql)?;
    let mut found = |id: &Uuid| statement.query_row([id.as_bytes()], subject_at).optional();
    Ok(ids.iter().filter_map(|id| found(id).transpose()).collect::<Result<_, _>>()?)
}

fn subject_at(row: &Row<'_>) -> rusqlite::Result<SubjectRow> {
    let keys = match (row.get(2)?, row.get(3)?) {
        (Some(case_key_sealed), Some(call_key_sealed)) => Some(WrappedKeys { case_key_sealed, call_key_sealed }),
        _ => None,
    };
    Ok(SubjectRow { id: row.get::<_, Id>(0)?.0, made_at_ms: row.get(1)?, keys })
}

fn ids(db: &Connection, sql: &str, subject: &Uuid) -> Result<Vec<Uuid>, StoreError> {
    let mut statement = db.prepare_cached(sql)?;
    let found = statement.query_map([subject.as_bytes()], |row| Ok(row.get::<_, Id>(0)?.0))?;
    Ok(found.collect::<Result<_, _>>()?)
}
