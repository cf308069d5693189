//! What stands around cases. Nothing is ever taken out: what ended says since when and by whom.
use async_trait::async_trait;
use rusqlite::{Connection, Row, params};
use uuid::Uuid;

use super::{Id, Sqlite, subjects};
use crate::store::{GuardRow, Guards, StoreError};

/// In the order of `guard_at`.
macro_rules! guard_columns {
    () => {
        "id, \"case\", kind, user, what, reason_sealed, made_by, made_at_ms, until_ms, ended_at_ms, ended_by, subject"
    };
}

#[async_trait]
impl Guards for Sqlite {
    async fn insert_guard(&self, guard: GuardRow) -> Result<(), StoreError> {
        self.writer
            .write(move |db| {
                subjects::must_live(db, guard.subject)?;
                let sql = concat!(
                    "INSERT INTO case_guards (",
                    guard_columns!(),
                    ")
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)"
                );
                db.prepare_cached(sql)?.execute(params![
                    guard.id.as_bytes(),
                    guard.case.as_bytes(),
                    guard.kind,
                    guard.user.as_ref().map(Uuid::as_bytes),
                    guard.what,
                    guard.reason_sealed,
                    guard.made_by.as_bytes(),
                    guard.made_at_ms,
                    guard.until_ms,
                    guard.ended_at_ms,
                    guard.ended_by.as_ref().map(Uuid::as_bytes),
                    guard.subject.as_bytes(),
                ])?;
                Ok(())
            })
            .await
    }

    async fn guards(&self, case: Uuid) -> Result<Vec<GuardRow>, StoreError> {
        let sql = concat!("SELECT ", guard_columns!(), " FROM case_guards WHERE \"case\" = ?1 ORDER BY id");
        self.readers
            .read(move |db| {
                let mut statement = db.prepare_cached(sql)?;
                let rows = statement.query_map([case.as_bytes()], guard_at)?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .await
    }

    async fn end_guard(&self, case: Uuid, id: Uuid, by: Uuid, at_ms: i64) -> Result<bool, StoreError> {
        let sql = "UPDATE case_guards SET ended_at_ms = ?3, ended_by = ?4
             WHERE id = ?1 AND \"case\" = ?2 AND ended_at_ms IS NULL";
        self.writer
            .write(move |db| {
                let values = params![id.as_bytes(), case.as_bytes(), at_ms, by.as_bytes()];
                Ok(db.prepare_cached(sql)?.execute(values)? == 1)
            })
            .await
    }
}

/// Those around a case that have not ended.
pub(super) fn standing(db: &Connection, case: Uuid) -> Result<Vec<GuardRow>, StoreError> {
    let sql = concat!(
        "SELECT ",
        guard_columns!(),
        " FROM case_guards WHERE \"case\" = ?1 AND ended_at_ms IS NULL ORDER BY id"
    );
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map([case.as_bytes()], guard_at)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn guard_at(row: &Row<'_>) -> rusqlite::Result<GuardRow> {
    let optional = |at: usize| Ok::<_, rusqlite::Error>(row.get::<_, Option<Id>>(at)?.map(|id| id.0));
    Ok(GuardRow {
        id: row.get::<_, Id>(0)?.0,
        case: row.get::<_, Id>(1)?.0,
        kind: row.get(2)?,
        user: optional(3)?,
        what: row.get(4)?,
        reason_sealed: row.get(5)?,
        made_by: row.get::<_, Id>(6)?.0,
        made_at_ms: row.get(7)?,
        until_ms: row.get(8)?,
        ended_at_ms: row.get(9)?,
        ended_by: optional(10)?,
        subject: row.get::<_, Id>(11)?.0,
    })
}
