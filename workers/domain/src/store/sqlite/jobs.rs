//! The durable queue: a job is ready, leased, done or dead, and a lease that ran out makes it ready again.
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Id, Sqlite};
use crate::store::{JobCounts, JobRow, Jobs, Lease, StoreError};

#[async_trait]
impl Jobs for Sqlite {
    async fn lease_job(&self, owner: String, now_ms: i64, lease_ms: i64) -> Result<Option<JobRow>, StoreError> {
        // Looked up outside the write lock first: an empty queue costs nobody anything.
        if !self.readers.read(move |db| Ok(due(db, now_ms)?.is_some())).await? {
            return Ok(None);
        }
        self.writer
            .write(move |db| {
                let Some(mut job) = due(db, now_ms)? else { return Ok(None) };
                job.attempts += 1;
                let sql = "UPDATE jobs SET state = 'leased', attempts = ?2, lease_owner = ?3, lease_until_ms = ?4
                     WHERE id = ?1";
                let until_ms = now_ms + lease_ms;
                db.prepare_cached(sql)?.execute(params![job.id.as_bytes(), job.attempts, owner, until_ms])?;
                Ok(Some(job))
            })
            .await
    }

    async fn renew_lease(&self, held: Lease, until_ms: i64) -> Result<bool, StoreError> {
        let sql = "UPDATE jobs SET lease_until_ms = ?4
             WHERE id = ?1 AND state = 'leased' AND lease_owner = ?2 AND attempts = ?3";
        self.writer
            .write(move |db| {
                let values = params![held.job.as_bytes(), held.owner, held.attempt, until_ms];
                Ok(db.prepare_cached(sql)?.execute(values)? == 1)
            })
            .await
    }

    async fn release_job(&self, held: Lease, run_after_ms: i64, error: Option<String>) -> Result<bool, StoreError> {
        let sql = "UPDATE jobs SET state = 'ready', run_after_ms = ?4, last_error = ?5, lease_owner = NULL,
                lease_until_ms = NULL, attempts = attempts - (?5 IS NULL)
             WHERE id = ?1 AND state = 'leased' AND lease_owner = ?2 AND attempts = ?3";
        self.writer
            .write(move |db| {
                let values = params![held.job.as_bytes(), held.owner, held.attempt, run_after_ms, error];
                Ok(db.prepare_cached(sql)?.execute(values)? == 1)
            })
            .await
    }

    async fn take_back_jobs(&self, slot: String, owner: String, now_ms: i64) -> Result<u64, StoreError> {
        let sql = "UPDATE jobs SET lease_until_ms = ?3 WHERE state = 'leased' AND lease_until_ms > ?3
             AND lease_owner <> ?2 AND substr(lease_owner, 1, length(?1)) = ?1";
        let slot = format!("{slot}@");
        self.writer.write(move |db| Ok(db.prepare_cached(sql)?.execute(params![slot, owner, now_ms])? as u64)).await
    }

    async fn job_counts(&self) -> Result<JobCounts, StoreError> {
        let sql = "SELECT coalesce(sum(state = 'ready'), 0), coalesce(sum(state = 'leased'), 0),
                (SELECT count(*) FROM jobs WHERE state = 'dead'), min(run_after_ms) FILTER (WHERE state = 'ready')
             FROM jobs WHERE state IN ('ready', 'leased')";
        self.readers
            .read(move |db| {
                let count = |row: &Row<'_>, at| row.get::<_, i64>(at).map(i64::cast_unsigned);
                Ok(db.prepare_cached(sql)?.query_row([], |row| {
                    let [ready, leased, dead] = [count(row, 0)?, count(row, 1)?, count(row, 2)?];
                    Ok(JobCounts { ready, leased, dead, due_since_ms: row.get(3)? })
                })?)
            })
            .await
    }
}

/// The most pressing job that waits, or whose lease ran out.
fn due(db: &Connection, now_ms: i64) -> Result<Option<JobRow>, StoreError> {
    let sql = "SELECT id, call, priority, attempts, run_after_ms, created_at_ms FROM jobs
         WHERE (state = 'ready' AND run_after_ms <= ?1) OR (state = 'leased' AND lease_until_ms <= ?1)
         ORDER BY priority DESC, run_after_ms LIMIT 1";
    Ok(db.prepare_cached(sql)?.query_row([now_ms], job_at).optional()?)
}

pub(super) fn insert(db: &Connection, job: &JobRow) -> Result<(), StoreError> {
    let sql = "INSERT INTO jobs VALUES (?1, ?2, 'ready', ?3, ?4, ?5, NULL, NULL, NULL, ?6)";
    db.prepare_cached(sql)?.execute(params![
        job.id.as_bytes(),
        job.call.as_bytes(),
        job.priority,
        job.attempts,
        job.run_after_ms,
        job.created_at_ms,
    ])?;
    Ok(())
}

/// Ends a job that is still held; false if it is not.
pub(super) fn end(db: &Connection, held: &Lease, state: &str, error: Option<&str>) -> Result<bool, StoreError> {
    let sql = "UPDATE jobs SET state = ?4, last_error = ?5, lease_until_ms = NULL
         WHERE id = ?1 AND state = 'leased' AND lease_owner = ?2 AND attempts = ?3";
    let values = params![held.job.as_bytes(), held.owner, held.attempt, state, error];
    Ok(db.prepare_cached(sql)?.execute(values)? == 1)
}

pub(super) fn is_held(db: &Connection, held: &Lease) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM jobs WHERE id = ?1 AND state = 'leased' AND lease_owner = ?2 AND attempts = ?3";
    Ok(db.prepare_cached(sql)?.exists(params![held.job.as_bytes(), held.owner, held.attempt])?)
}

fn job_at(row: &Row<'_>) -> rusqlite::Result<JobRow> {
    Ok(JobRow {
        id: row.get::<_, Id>(0)?.0,
        call: row.get::<_, Id>(1)?.0,
        priority: row.get(2)?,
        attempts: row.get(3)?,
        run_after_ms: row.get(4)?,
        created_at_ms: row.get(5)?,
    })
}
