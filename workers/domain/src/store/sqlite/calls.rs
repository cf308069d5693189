//! Calls: received with their job, ended with their case, each in one transaction.
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::{Id, Sqlite, cases, jobs, once, subjects};
use crate::store::{
    CallFailure, CallProgress, CallRow, CallState, Calls, CaseRow, Finished, Inserted, JobRow, Lease, OnceRow,
    StoreError, SubjectRow,
};

#[async_trait]
impl Calls for Sqlite {
    async fn insert_call(
        &self,
        call: CallRow,
        subject: Option<SubjectRow>,
        job: JobRow,
        once: Option<OnceRow>,
        jobs_max: u32,
    ) -> Result<Inserted, StoreError> {
        self.writer
            .write(move |db| {
                if let Some(earlier) = once::earlier(db, once.as_ref())? {
                    return Ok(earlier);
                }
                let waiting: u32 = db
                    .prepare_cached("SELECT count(*) FROM jobs WHERE state IN ('ready', 'leased')")?
                    .query_row([], |row| row.get(0))?;
                if waiting >= jobs_max {
                    return Ok(Inserted::QueueFull);
                }
                subjects::insert(db, subject.as_ref())?;
                insert(db, &call)?;
                jobs::insert(db, &job)?;
                once::keep(db, once.as_ref(), call.id)?;
                Ok(Inserted::Done)
            })
            .await
    }

    async fn call(&self, id: Uuid) -> Result<Option<CallRow>, StoreError> {
        let sql = "SELECT calls.id, calls.state, progress_percent, error, calls.created_by, calls.created_at_ms,
                calls.updated_at_ms, jurisdiction, container, audio_bytes, audio_sha256, caller_sealed,
                transcript_sealed, analysis_sealed, recommendations_sealed, \"case\", cases.number, cases.classification,
                calls.subject, calls.erased_at_ms,
                (SELECT call_key_sealed FROM subject_keys WHERE subject_keys.id = calls.subject)
             FROM calls LEFT JOIN cases ON cases.id = calls.\"case\" WHERE calls.id = ?1";
        self.readers.read(move |db| Ok(db.prepare_cached(sql)?.query_row([id.as_bytes()], call_at).optional()?)).await
    }

    async fn calls_among(&self, ids: Vec<Uuid>) -> Result<Vec<Uuid>, StoreError> {
        self.readers
            .read(move |db| {
                let mut exists = db.prepare_cached("SELECT 1 FROM calls WHERE id = ?1 AND erased_at_ms IS NULL")?;
                let mut found = Vec::with_capacity(ids.len());
                for id in ids {
                    if exists.exists([id.as_bytes()])? {
                        found.push(id);
                    }
                }
                Ok(found)
            })
            .await
    }

    async fn move_call(&self, id: Uuid, from: &'static [CallState], to: CallProgress) -> Result<bool, StoreError> {
        self.writer.write(move |db| move_on(db, id, from, to)).await
    }

    async fn finish_call(&self, held: Lease, call: CallRow, case: CaseRow) -> Result<Finished, StoreError> {
        self.writer
            .write(move |db| {
                if !jobs::is_held(db, &held)? {
                    return Ok(Finished::Gone);
                }
                if !cases::insert(db, &case)? {
                    return Ok(Finished::NumberTaken);
                }
                jobs::end(db, &held, "done", None)?;
                let sql = "UPDATE calls SET state = 'ready', progress_percent = 100, error = NULL, updated_at_ms = ?2,
                        transcript_sealed = ?3, analysis_sealed = ?4, recommendations_sealed = ?5, \"case\" = ?6
                     WHERE id = ?1";
                db.prepare_cached(sql)?.execute(params![
                    call.id.as_bytes(),
                    call.updated_at_ms,
                    call.transcript_sealed,
                    call.analysis_sealed,
                    call.recommendations_sealed,
                    case.id.as_bytes(),
                ])?;
                Ok(Finished::Done)
            })
            .await
    }

    async fn fail_call(&self, held: Lease, call: CallFailure) -> Result<bool, StoreError> {
        self.writer
            .write(move |db| {
                let end = if call.is_dead { "dead" } else { "done" };
                if !jobs::end(db, &held, end, Some(&call.error))? {
                    return Ok(false);
                }
                let sql = "UPDATE calls SET state = 'failed', error = ?2, updated_at_ms = ?3 WHERE id = ?1";
                db.prepare_cached(sql)?.execute(params![call.id.as_bytes(), call.error, call.at_ms])?;
                Ok(true)
            })
            .await
    }
}

fn move_on(db: &Connection, id: Uuid, from: &[CallState], to: CallProgress) -> Result<bool, StoreError> {
    let current: Option<String> = db
        .prepare_cached("SELECT state FROM calls WHERE id = ?1")?
        .query_row([id.as_bytes()], |row| row.get(0))
        .optional()?;
    if !current.is_some_and(|current| from.iter().any(|state| state.name() == current)) {
        return Ok(false);
    }
    let sql = "UPDATE calls SET state = ?2, progress_percent = ?3, updated_at_ms = ?4 WHERE id = ?1";
    db.prepare_cached(sql)?.execute(params![id.as_bytes(), to.state.name(), to.progress_percent, to.at_ms])?;
    Ok(true)
}

fn insert(db: &Connection, call: &CallRow) -> Result<(), StoreError> {
    subjects::must_live(db, call.subject)?;
    let sql = "INSERT INTO calls (id, state, progress_percent, error, created_by, created_at_ms, updated_at_ms,
             jurisdiction, container, audio_bytes, audio_sha256, caller_sealed, transcript_sealed, analysis_sealed,
             recommendations_sealed, \"case\", subject)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)";
    db.prepare_cached(sql)?.execute(params![
        call.id.as_bytes(),
        call.state.name(),
        call.progress_percent,
        call.error,
        call.created_by.as_bytes(),
        call.created_at_ms,
        call.updated_at_ms,
        call.jurisdiction,
        call.container,
        call.audio_bytes.cast_signed(),
        call.audio_sha256,
        call.caller_sealed,
        call.transcript_sealed,
        call.analysis_sealed,
        call.recommendations_sealed,
        call.case.as_ref().map(Uuid::as_bytes),
        call.subject.as_bytes(),
    ])?;
    Ok(())
}

fn call_at(row: &Row<'_>) -> rusqlite::Result<CallRow> {
    let state: String = row.get(1)?;
    let unknown = || rusqlite::Error::InvalidColumnType(1, "state".to_owned(), rusqlite::types::Type::Text);
    Ok(CallRow {
        id: row.get::<_, Id>(0)?.0,
        state: CallState::parse(&state).ok_or_else(unknown)?,
        progress_percent: row.get(2)?,
        error: row.get(3)?,
        created_by: row.get::<_, Id>(4)?.0,
        created_at_ms: row.get(5)?,
        updated_at_ms: row.get(6)?,
        jurisdiction: row.get(7)?,
        container: row.get(8)?,
        audio_bytes: row.get::<_, i64>(9)?.cast_unsigned(),
        audio_sha256: row.get(10)?,
        caller_sealed: row.get(11)?,
        transcript_sealed: row.get(12)?,
        analysis_sealed: row.get(13)?,
        recommendations_sealed: row.get(14)?,
        case: row.get::<_, Option<Id>>(15)?.map(|id| id.0),
        case_number: row.get(16)?,
        case_classification: row.get(17)?,
        subject: row.get::<_, Id>(18)?.0,
        erased_at_ms: row.get(19)?,
        subject_key: row.get(20)?,
    })
}
