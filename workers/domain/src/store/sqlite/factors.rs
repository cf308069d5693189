//! Second factors. What works once is taken in the same statement that looks whether it is there.
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::sessions::revoke_sessions_of;
use super::{Id, Sqlite};
use crate::store::{Factors, StoreError, TotpRow};

#[async_trait]
impl Factors for Sqlite {
    async fn put_totp(&self, totp: TotpRow) -> Result<bool, StoreError> {
        let sql = "INSERT INTO totp VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (user) DO UPDATE SET
                 secret_sealed = excluded.secret_sealed, last_step = excluded.last_step,
                 created_at_ms = excluded.created_at_ms
             WHERE confirmed_at_ms IS NULL";
        self.writer
            .write(move |db| {
                let put = db.prepare_cached(sql)?.execute(params![
                    totp.user.as_bytes(),
                    totp.secret_sealed,
                    totp.last_step,
                    totp.created_at_ms,
                    totp.confirmed_at_ms,
                ])?;
                Ok(put == 1)
            })
            .await
    }

    async fn totp(&self, user: Uuid) -> Result<Option<TotpRow>, StoreError> {
        let sql = "SELECT user, secret_sealed, last_step, created_at_ms, confirmed_at_ms FROM totp WHERE user = ?1";
        self.readers
            .read(move |db| {
                let found = db.prepare_cached(sql)?.query_row([user.as_bytes()], |row| {
                    Ok(TotpRow {
                        user: row.get::<_, Id>(0)?.0,
                        secret_sealed: row.get(1)?,
                        last_step: row.get(2)?,
                        created_at_ms: row.get(3)?,
                        confirmed_at_ms: row.get(4)?,
                    })
                });
                Ok(found.optional()?)
            })
            .await
    }

    async fn confirm_totp(
        &self,
        user: Uuid,
        step: i64,
        codes: Vec<[u8; 32]>,
        session: Uuid,
        at_ms: i64,
    ) -> Result<Option<Vec<Uuid>>, StoreError> {
        let confirm = "UPDATE totp SET confirmed_at_ms = ?3, last_step = ?2
             WHERE user = ?1 AND confirmed_at_ms IS NULL AND last_step < ?2";
        self.writer
            .write(move |db| {
                if db.prepare_cached(confirm)?.execute(params![user.as_bytes(), step, at_ms])? == 0 {
                    return Ok(None);
                }
                put_codes(db, user, &codes)?;
                db.prepare_cached("UPDATE users SET epoch = epoch + 1 WHERE id = ?1")?.execute([user.as_bytes()])?;
                db.prepare_cached("UPDATE sessions SET factors = 2, proven_at_ms = ?2 WHERE id = ?1")?
                    .execute(params![session.as_bytes(), at_ms])?;
                revoke_sessions_of(db, user, Some(session), at_ms).map(Some)
            })
            .await
    }

    async fn use_totp_step(&self, user: Uuid, step: i64) -> Result<bool, StoreError> {
        let sql = "UPDATE totp SET last_step = ?2
             WHERE user = ?1 AND last_step < ?2 AND confirmed_at_ms IS NOT NULL";
        self.writer.write(move |db| Ok(db.prepare_cached(sql)?.execute(params![user.as_bytes(), step])? == 1)).await
    }

    async fn use_recovery_code(&self, user: Uuid, digest: [u8; 32]) -> Result<bool, StoreError> {
        let sql = "DELETE FROM recovery_codes WHERE user = ?1 AND digest = ?2";
        self.writer.write(move |db| Ok(db.prepare_cached(sql)?.execute(params![user.as_bytes(), digest])? == 1)).await
    }

    async fn put_recovery_codes(&self, user: Uuid, digests: Vec<[u8; 32]>) -> Result<(), StoreError> {
        self.writer.write(move |db| put_codes(db, user, &digests)).await
    }

    async fn recovery_codes_left(&self, user: Uuid) -> Result<u32, StoreError> {
        let sql = "SELECT count(*) FROM recovery_codes WHERE user = ?1";
        self.readers.read(move |db| Ok(db.prepare_cached(sql)?.query_row([user.as_bytes()], |row| row.get(0))?)).await
    }
}

pub(super) fn put_codes(db: &Connection, user: Uuid, digests: &[[u8; 32]]) -> Result<(), StoreError> {
    db.prepare_cached("DELETE FROM recovery_codes WHERE user = ?1")?.execute([user.as_bytes()])?;
    let mut insert = db.prepare_cached("INSERT INTO recovery_codes VALUES (?1, ?2)")?;
    for digest in digests {
        insert.execute(params![user.as_bytes(), digest])?;
    }
    Ok(())
}
