//! Sessions, always read with their user: rights are looked up, never remembered in a token.
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::people::{user_at, user_columns};
use super::{Id, Sqlite};
use crate::store::{SessionRow, Sessions, StoreError, UserRow};

/// The columns of a session, in the order of `session_at`.
macro_rules! session_columns {
    () => {
        "sessions.id, sessions.user, sessions.created_at_ms, expires_at_ms, last_seen_ms, automation, revoked_at_ms,
         factors, proven_at_ms"
    };
}

#[async_trait]
impl Sessions for Sqlite {
    async fn insert_session(&self, session: SessionRow, epoch: u32) -> Result<bool, StoreError> {
        let sql = "INSERT INTO sessions (id, user, created_at_ms, expires_at_ms, last_seen_ms, automation,
                 revoked_at_ms, factors, proven_at_ms)
             SELECT ?1, id, ?3, ?4, ?5, ?6, ?7, ?8, ?9 FROM users
             WHERE id = ?2 AND epoch = ?10 AND disabled_at_ms IS NULL";
        self.writer
            .write(move |db| {
                let inserted = db.prepare_cached(sql)?.execute(params![
                    session.id.as_bytes(),
                    session.user.as_bytes(),
                    session.created_at_ms,
                    session.expires_at_ms,
                    session.last_seen_ms,
                    session.automation,
                    session.revoked_at_ms,
                    session.factors,
                    session.proven_at_ms,
                    epoch,
                ])?;
                Ok(inserted == 1)
            })
            .await
    }

    async fn session(&self, id: Uuid) -> Result<Option<(SessionRow, UserRow)>, StoreError> {
        let sql = concat!(
            "SELECT ",
            session_columns!(),
            ", ",
            user_columns!(),
            " FROM sessions JOIN users ON users.id = sessions.user WHERE sessions.id = ?1"
        );
        self.readers
            .read(move |db| {
                let found = db
                    .prepare_cached(sql)?
                    .query_row([id.as_bytes()], |row| Ok((session_at(row)?, user_at(row, SESSION_COLUMNS)?)));
                Ok(found.optional()?)
            })
            .await
    }

    async fn revoke_session(&self, id: Uuid, at_ms: i64) -> Result<bool, StoreError> {
        let sql = "UPDATE sessions SET revoked_at_ms = ?2 WHERE id = ?1 AND revoked_at_ms IS NULL";
        self.writer.write(move |db| Ok(db.prepare_cached(sql)?.execute(params![id.as_bytes(), at_ms])? == 1)).await
    }

    async fn revoke_sessions_of(&self, user: Uuid, but: Option<Uuid>, at_ms: i64) -> Result<Vec<Uuid>, StoreError> {
        self.writer.write(move |db| revoke_sessions_of(db, user, but, at_ms)).await
    }

    async fn sessions_of(&self, user: Uuid, now_ms: i64) -> Result<Vec<SessionRow>, StoreError> {
        self.readers.read(move |db| sessions_of(db, user, now_ms)).await
    }

    async fn prove_session(&self, id: Uuid, factors: u8, at_ms: i64) -> Result<(), StoreError> {
        let sql = "UPDATE sessions SET proven_at_ms = max(proven_at_ms, ?3), factors = max(factors, ?2) WHERE id = ?1";
        self.writer
            .write(move |db| Ok(db.prepare_cached(sql)?.execute(params![id.as_bytes(), factors, at_ms]).map(drop)?))
            .await
    }

    async fn touch_session(&self, id: Uuid, seen_ms: i64) -> Result<(), StoreError> {
        let sql = "UPDATE sessions SET last_seen_ms = max(last_seen_ms, ?2) WHERE id = ?1";
        self.writer
            .write(move |db| Ok(db.prepare_cached(sql)?.execute(params![id.as_bytes(), seen_ms]).map(drop)?))
            .await
    }

    async fn purge_sessions(&self, ended_before_ms: i64) -> Result<u64, StoreError> {
        let sql = "DELETE FROM sessions WHERE expires_at_ms < ?1 OR revoked_at_ms < ?1";
        self.writer.write(move |db| Ok(db.prepare_cached(sql)?.execute([ended_before_ms])? as u64)).await
    }
}

pub(super) fn revoke_sessions_of(
    db: &Connection,
    user: Uuid,
    but: Option<Uuid>,
    at_ms: i64,
) -> Result<Vec<Uuid>, StoreError> {
    let sql = "UPDATE sessions SET revoked_at_ms = ?2 WHERE user = ?1 AND revoked_at_ms IS NULL
         AND expires_at_ms > ?2 AND id <> ?3 RETURNING id";
    let but = but.unwrap_or(Uuid::nil());
    let mut statement = db.prepare_cached(sql)?;
    let bound = params![user.as_bytes(), at_ms, but.as_bytes()];
    let ended = statement.query_map(bound, |row| Ok(row.get::<_, Id>(0)?.0))?;
    Ok(ended.collect::<Result<_, _>>()?)
}

/// Newest first.
pub(super) fn sessions_of(db: &Connection, user: Uuid, now_ms: i64) -> Result<Vec<SessionRow>, StoreError> {
    let sql = concat!(
        "SELECT ",
        session_columns!(),
        " FROM sessions WHERE user = ?1 AND revoked_at_ms IS NULL AND expires_at_ms > ?2
          ORDER BY created_at_ms DESC, id"
    );
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map(params![user.as_bytes(), now_ms], session_at)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn session_at(row: &Row<'_>) -> rusqlite::Result<SessionRow> {
    Ok(SessionRow {
        id: row.get::<_, Id>(0)?.0,
        user: row.get::<_, Id>(1)?.0,
        created_at_ms: row.get(2)?,
        expires_at_ms: row.get(3)?,
        last_seen_ms: row.get(4)?,
        automation: row.get(5)?,
        revoked_at_ms: row.get(6)?,
        factors: row.get(7)?,
        proven_at_ms: row.get(8)?,
    })
}

const SESSION_COLUMNS: usize = 9;
