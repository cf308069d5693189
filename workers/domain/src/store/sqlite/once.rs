//! Idempotency keys: looked up and kept in the transaction of the effect they guard.
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::Id;
use crate::store::{Inserted, OnceRow, StoreError};

/// What an earlier request with this key made; `None` when this is the first.
pub(super) fn earlier(db: &Connection, once: Option<&OnceRow>) -> Result<Option<Inserted>, StoreError> {
    let Some(once) = once else { return Ok(None) };
    let forget = "DELETE FROM once WHERE scope IN (SELECT scope FROM once WHERE at_ms < ?1 LIMIT 16)";
    db.prepare_cached(forget)?.execute([once.forget_before_ms])?;
    // Only some of the old ones are deleted at a time; one that is left counts no more all the same.
    let sql = "SELECT digest, made FROM once WHERE scope = ?1 AND at_ms >= ?2";
    let found = db
        .prepare_cached(sql)?
        .query_row(params![once.scope, once.forget_before_ms], |row| {
            Ok((row.get::<_, [u8; 32]>(0)?, row.get::<_, Id>(1)?.0))
        })
        .optional()?;
    Ok(found.map(|(digest, id)| if digest == once.digest { Inserted::Before { id } } else { Inserted::OtherRequest }))
}

pub(super) fn keep(db: &Connection, once: Option<&OnceRow>, made: Uuid) -> Result<(), StoreError> {
    let Some(once) = once else { return Ok(()) };
    let sql = "INSERT OR REPLACE INTO once VALUES (?1, ?2, ?3, ?4)";
    db.prepare_cached(sql)?.execute(params![once.scope, once.digest, made.as_bytes(), once.at_ms])?;
    Ok(())
}
