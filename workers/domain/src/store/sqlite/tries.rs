//! Tries to log in: counted in the transaction that looks, so that no guess slips in between.
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};

use super::Sqlite;
use crate::store::{StoreError, SuccessWhen, Tries, TriesKeep, TriesRow};

#[async_trait]
impl Tries for Sqlite {
    async fn tries(&self, name: [u8; 32], place: [u8; 32]) -> Result<TriesRow, StoreError> {
        self.readers.read(move |db| read(db, name, place)).await
    }

    async fn note_failure(&self, name: [u8; 32], place: [u8; 32], at_ms: i64) -> Result<(), StoreError> {
        let sql = "INSERT INTO tries VALUES (?1, ?2, 1, ?3, 0) ON CONFLICT (name, place) DO UPDATE SET
                 failures = failures + 1, failed_at_ms = max(failed_at_ms, excluded.failed_at_ms)";
        self.writer
            .write(move |db| {
                let mut count = db.prepare_cached(sql)?;
                count.execute(params![name, place, at_ms])?;
                count.execute(params![name, ANYWHERE, at_ms])?;
                Ok(())
            })
            .await
    }

    async fn note_success(
        &self,
        name: [u8; 32],
        place: [u8; 32],
        at_ms: i64,
        allowed: SuccessWhen,
    ) -> Result<bool, StoreError> {
        let known = "INSERT INTO tries VALUES (?1, ?2, 0, 0, ?3) ON CONFLICT (name, place) DO UPDATE SET
                 failures = 0, succeeded_at_ms = excluded.succeeded_at_ms";
        self.writer
            .write(move |db| {
                let tries = read(db, name, place)?;
                let is_known = tries.succeeded_here_at_ms >= allowed.known_since_ms.max(1);
                if tries.failures >= allowed.failures_max && !is_known && !allowed.vouched {
                    return Ok(false);
                }
                db.prepare_cached(known)?.execute(params![name, place, at_ms])?;
                db.prepare_cached("DELETE FROM tries WHERE name = ?1 AND place = ?2")?
                    .execute(params![name, ANYWHERE])?;
                Ok(true)
            })
            .await
    }

    async fn purge_tries(&self, keep: TriesKeep) -> Result<u64, StoreError> {
        let sql = "DELETE FROM tries WHERE failed_at_ms < CASE WHEN place = ?1 THEN ?2 ELSE ?3 END
             AND succeeded_at_ms < ?4";
        self.writer
            .write(move |db| {
                let bound =
                    params![ANYWHERE, keep.names_since_ms, keep.failed_since_ms, keep.succeeded_since_ms.max(1)];
                Ok(db.prepare_cached(sql)?.execute(bound)? as u64)
            })
            .await
    }
}

fn read(db: &Connection, name: [u8; 32], place: [u8; 32]) -> Result<TriesRow, StoreError> {
    let sql = "SELECT failures, failed_at_ms, succeeded_at_ms FROM tries WHERE name = ?1 AND place = ?2";
    let mut find = db.prepare_cached(sql)?;
    let here: Option<(u32, i64, i64)> =
        find.query_row(params![name, place], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()?;
    let failures: Option<u32> = find.query_row(params![name, ANYWHERE], |row| row.get(0)).optional()?;
    let (failures_here, failed_here_at_ms, succeeded_here_at_ms) = here.unwrap_or_default();
    Ok(TriesRow { failures_here, failed_here_at_ms, succeeded_here_at_ms, failures: failures.unwrap_or(0) })
}

/// Place of the row that counts a name's failures wherever they come from.
const ANYWHERE: &[u8] = b"";
