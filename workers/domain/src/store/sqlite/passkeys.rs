//! Passkeys. A challenge is taken in the transaction of whatever it was answered with, so it is good once.
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::factors::put_codes;
use super::people::has_factor;
use super::sessions::revoke_sessions_of;
use super::{Id, Sqlite};
use crate::store::{
    ChallengeUse, PasskeyAdded, PasskeyAddition, PasskeyRow, PasskeyShown, PasskeyTaken, Passkeys, StoreError,
};

/// The columns of a passkey, in the order of `passkey_at`.
macro_rules! passkey_columns {
    () => {
        "id, user, credential_index, passkey_sealed, sign_count, created_at_ms, used_at_ms, suspended_at_ms"
    };
}

#[async_trait]
impl Passkeys for Sqlite {
    async fn add_passkey(&self, new: PasskeyAddition) -> Result<PasskeyAdded, StoreError> {
        self.writer.write(move |db| add(db, &new)).await
    }

    async fn passkeys_of(&self, user: Uuid) -> Result<Vec<PasskeyRow>, StoreError> {
        let sql = concat!("SELECT ", passkey_columns!(), " FROM passkeys WHERE user = ?1 ORDER BY id");
        self.readers
            .read(move |db| {
                let mut statement = db.prepare_cached(sql)?;
                let rows = statement.query_map([user.as_bytes()], passkey_at)?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .await
    }

    async fn passkey(&self, credential_index: [u8; 32]) -> Result<Option<PasskeyRow>, StoreError> {
        let sql = concat!("SELECT ", passkey_columns!(), " FROM passkeys WHERE credential_index = ?1");
        self.readers
            .read(move |db| Ok(db.prepare_cached(sql)?.query_row([credential_index], passkey_at).optional()?))
            .await
    }

    async fn take_passkey(&self, shown: PasskeyShown) -> Result<PasskeyTaken, StoreError> {
        self.writer.write(move |db| take(db, &shown)).await
    }

    async fn suspend_passkey(&self, id: Uuid, challenge: ChallengeUse) -> Result<bool, StoreError> {
        self.writer
            .write(move |db| {
                if !take_challenge(db, challenge)? {
                    return Ok(false);
                }
                suspend(db, id, challenge.at_ms)?;
                Ok(true)
            })
            .await
    }
}

fn add(db: &Connection, new: &PasskeyAddition) -> Result<PasskeyAdded, StoreError> {
    let PasskeyAddition { row, challenge, .. } = new;
    let user = row.user.as_bytes();
    if !take_challenge(db, *challenge)? {
        return Ok(PasskeyAdded::Replayed);
    }
    let epoch = "SELECT epoch FROM users WHERE id = ?1 AND disabled_at_ms IS NULL";
    let epoch: Option<u32> = db.prepare_cached(epoch)?.query_row([user], |row| row.get(0)).optional()?;
    if epoch != Some(new.at_epoch) {
        return Ok(PasskeyAdded::Moved);
    }
    let count = "SELECT count(*) FROM passkeys WHERE user = ?1";
    let count: u32 = db.prepare_cached(count)?.query_row([user], |row| row.get(0))?;
    if count >= new.passkeys_max {
        return Ok(PasskeyAdded::TooMany);
    }
    let is_first_factor = !has_factor(db, row.user)?;
    let insert = "INSERT INTO passkeys (id, user, credential_index, passkey_sealed, sign_count, created_at_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (credential_index) DO NOTHING";
    let inserted = db.prepare_cached(insert)?.execute(params![
        row.id.as_bytes(),
        user,
        row.credential_index,
        row.passkey_sealed,
        row.sign_count,
        row.created_at_ms,
    ])?;
    if inserted == 0 {
        return Ok(PasskeyAdded::Known);
    }
    if is_first_factor {
        put_codes(db, row.user, &new.recovery_codes)?;
    }
    db.prepare_cached("UPDATE users SET epoch = epoch + 1 WHERE id = ?1")?.execute([user])?;
    db.prepare_cached("UPDATE sessions SET factors = 2, proven_at_ms = ?2 WHERE id = ?1")?
        .execute(params![new.session.as_bytes(), challenge.at_ms])?;
    let ended = revoke_sessions_of(db, row.user, Some(new.session), challenge.at_ms)?;
    Ok(PasskeyAdded::Done { is_first_factor, ended })
}

fn take(db: &Connection, shown: &PasskeyShown) -> Result<PasskeyTaken, StoreError> {
    if !take_challenge(db, shown.challenge)? {
        return Ok(PasskeyTaken::Replayed);
    }
    let counted = "SELECT sign_count FROM passkeys WHERE id = ?1 AND suspended_at_ms IS NULL";
    let counted = db.prepare_cached(counted)?.query_row([shown.id.as_bytes()], |row| row.get::<_, u32>(0));
    let Some(counted) = counted.optional()? else { return Ok(PasskeyTaken::Gone) };
    let does_not_count = counted == 0 && shown.sign_count == 0;
    if shown.sign_count <= counted && !does_not_count {
        suspend(db, shown.id, shown.challenge.at_ms)?;
        return Ok(PasskeyTaken::Cloned);
    }
    let sql = "UPDATE passkeys SET passkey_sealed = ?2, sign_count = ?3, used_at_ms = ?4 WHERE id = ?1";
    db.prepare_cached(sql)?.execute(params![
        shown.id.as_bytes(),
        shown.passkey_sealed,
        shown.sign_count,
        shown.challenge.at_ms,
    ])?;
    Ok(PasskeyTaken::Done)
}

/// The first time only. Forgets those that have lapsed along the way.
fn take_challenge(db: &Connection, challenge: ChallengeUse) -> Result<bool, StoreError> {
    db.prepare_cached("DELETE FROM used_challenges WHERE until_ms < ?1")?.execute([challenge.at_ms])?;
    let sql = "INSERT INTO used_challenges VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    Ok(db.prepare_cached(sql)?.execute(params![challenge.id.as_bytes(), challenge.until_ms])? == 1)
}

fn suspend(db: &Connection, id: Uuid, at_ms: i64) -> Result<(), StoreError> {
    let sql = "UPDATE passkeys SET suspended_at_ms = ?2 WHERE id = ?1 AND suspended_at_ms IS NULL";
    db.prepare_cached(sql)?.execute(params![id.as_bytes(), at_ms])?;
    Ok(())
}

fn passkey_at(row: &Row<'_>) -> rusqlite::Result<PasskeyRow> {
    Ok(PasskeyRow {
        id: row.get::<_, Id>(0)?.0,
        user: row.get::<_, Id>(1)?.0,
        credential_index: row.get(2)?,
        passkey_sealed: row.get(3)?,
        sign_count: row.get(4)?,
        created_at_ms: row.get(5)?,
        used_at_ms: row.get(6)?,
        suspended_at_ms: row.get(7)?,
    })
}
