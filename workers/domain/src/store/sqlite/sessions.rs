//! Sessions, always read with their user: rights are looked up, never remembered in a token.
use async_trait::async_trait;
use rusqlite::{OptionalExtension, params};
use uuid::Uuid;

use super::people::{user_at, user_columns};
use super::{Id, Sqlite};
use crate::store::{SessionRow, Sessions, StoreError, UserRow};

#[async_trait]
impl Sessions for Sqlite {
    async fn insert_session(&self, session: SessionRow) -> Result<(), StoreError> {
        let sql = "INSERT INTO sessions VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        self.writer
            .write(move |db| {
                db.prepare_cached(sql)?.execute(params![
                    session.id.as_bytes(),
                    session.user.as_bytes(),
                    session.created_at_ms,
                    session.expires_at_ms,
                    session.last_seen_ms,
                    session.automation,
                    session.revoked_at_ms,
                ])?;
                Ok(())
            })
            .await
    }

    async fn session(&self, id: Uuid) -> Result<Option<(SessionRow, UserRow)>, StoreError> {
        let sql = concat!(
            "SELECT sessions.id, user, sessions.created_at_ms, expires_at_ms, last_seen_ms, automation, revoked_at_ms, ",
            user_columns!(),
            " FROM sessions JOIN users ON users.id = sessions.user WHERE sessions.id = ?1"
        );
        self.readers
            .read(move |db| {
                let found = db.prepare_cached(sql)?.query_row([id.as_bytes()], |row| {
                    let session = SessionRow {
                        id: row.get::<_, Id>(0)?.0,
                        user: row.get::<_, Id>(1)?.0,
                        created_at_ms: row.get(2)?,
                        expires_at_ms: row.get(3)?,
                        last_seen_ms: row.get(4)?,
                        automation: row.get(5)?,
                        revoked_at_ms: row.get(6)?,
                    };
                    Ok((session, user_at(row, 7)?))
                });
                Ok(found.optional()?)
            })
            .await
    }

    async fn revoke_session(&self, id: Uuid, at_ms: i64) -> Result<bool, StoreError> {
        let sql = "UPDATE sessions SET revoked_at_ms = ?2 WHERE id = ?1 AND revoked_at_ms IS NULL";
        self.writer.write(move |db| Ok(db.prepare_cached(sql)?.execute(params![id.as_bytes(), at_ms])? == 1)).await
    }

    async fn revoke_sessions_of(&self, user: Uuid, at_ms: i64) -> Result<Vec<Uuid>, StoreError> {
        let sql = "UPDATE sessions SET revoked_at_ms = ?2 WHERE user = ?1 AND revoked_at_ms IS NULL
             AND expires_at_ms > ?2 RETURNING id";
        self.writer
            .write(move |db| {
                let mut statement = db.prepare_cached(sql)?;
                let ended = statement.query_map(params![user.as_bytes(), at_ms], |row| Ok(row.get::<_, Id>(0)?.0))?;
                Ok(ended.collect::<Result<_, _>>()?)
            })
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
