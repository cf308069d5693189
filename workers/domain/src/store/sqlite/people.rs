//! Users.
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::sessions::{revoke_sessions_of, sessions_of};
use super::{Id, Sqlite};
use crate::policy::Role;
use crate::store::{Changed, Dropped, People, StoreError, UserChange, UserRow};

/// The columns of a user, in the order of `user_at`. Who only has a passkey that was suspended is still asked for a
/// second factor: a copy of a passkey must not be what opens the account to the password alone.
macro_rules! user_columns {
    () => {
        "users.id, users.name_index, users.name_sealed, users.roles, users.password_hash,
         users.must_change_password, users.epoch, users.created_at_ms, users.disabled_at_ms,
         users.password_at_ms, users.password_stands_alone, users.clearance,
         (EXISTS (SELECT 1 FROM totp WHERE totp.user = users.id AND totp.confirmed_at_ms IS NOT NULL)
          OR EXISTS (SELECT 1 FROM passkeys WHERE passkeys.user = users.id))"
    };
}
pub(super) use user_columns;

#[async_trait]
impl People for Sqlite {
    async fn insert_first_user(&self, user: UserRow) -> Result<bool, StoreError> {
        self.writer.write(move |db| if any_user(db)? { Ok(false) } else { insert(db, &user) }).await
    }

    async fn insert_user(&self, user: UserRow) -> Result<bool, StoreError> {
        self.writer.write(move |db| insert(db, &user)).await
    }

    async fn user_by_name(&self, name_index: [u8; 32]) -> Result<Option<UserRow>, StoreError> {
        let sql = concat!("SELECT ", user_columns!(), " FROM users WHERE name_index = ?1");
        self.readers
            .read(move |db| Ok(db.prepare_cached(sql)?.query_row([name_index], |row| user_at(row, 0)).optional()?))
            .await
    }

    async fn user(&self, id: Uuid) -> Result<Option<UserRow>, StoreError> {
        let sql = concat!("SELECT ", user_columns!(), " FROM users WHERE id = ?1");
        self.readers
            .read(move |db| Ok(db.prepare_cached(sql)?.query_row([id.as_bytes()], |row| user_at(row, 0)).optional()?))
            .await
    }

    async fn has_users(&self) -> Result<bool, StoreError> {
        self.readers.read(any_user).await
    }

    async fn users(&self, after: Option<Uuid>, limit: u32) -> Result<Vec<UserRow>, StoreError> {
        let sql = concat!("SELECT ", user_columns!(), " FROM users WHERE id > ?1 ORDER BY id LIMIT ?2");
        self.readers
            .read(move |db| {
                let mut statement = db.prepare_cached(sql)?;
                let after = after.unwrap_or(Uuid::nil());
                let rows = statement.query_map(params![after.as_bytes(), limit], |row| user_at(row, 0))?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .await
    }

    async fn change_user(&self, id: Uuid, to: UserChange) -> Result<Changed, StoreError> {
        self.writer.write(move |db| change(db, id, &to)).await
    }
}

pub(super) fn user_at(row: &Row<'_>, first: usize) -> rusqlite::Result<UserRow> {
    Ok(UserRow {
        id: row.get::<_, Id>(first)?.0,
        name_index: row.get(first + 1)?,
        name_sealed: row.get(first + 2)?,
        roles: row.get(first + 3)?,
        password_hash: row.get(first + 4)?,
        must_change_password: row.get(first + 5)?,
        epoch: row.get(first + 6)?,
        created_at_ms: row.get(first + 7)?,
        disabled_at_ms: row.get(first + 8)?,
        password_at_ms: row.get(first + 9)?,
        password_stands_alone: row.get(first + 10)?,
        clearance: row.get(first + 11)?,
        has_factor: row.get(first + 12)?,
    })
}

fn any_user(db: &Connection) -> Result<bool, StoreError> {
    Ok(db.query_row("SELECT EXISTS (SELECT 1 FROM users)", [], |row| row.get(0))?)
}

fn insert(db: &Connection, user: &UserRow) -> Result<bool, StoreError> {
    let sql = "INSERT INTO users (id, name_index, name_sealed, roles, password_hash, must_change_password, epoch,
             created_at_ms, password_at_ms, password_stands_alone, clearance)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT (name_index) DO NOTHING";
    let inserted = db.prepare_cached(sql)?.execute(params![
        user.id.as_bytes(),
        user.name_index,
        user.name_sealed,
        user.roles,
        user.password_hash,
        user.must_change_password,
        user.epoch,
        user.created_at_ms,
        user.password_at_ms,
        user.password_stands_alone,
        user.clearance,
    ])?;
    Ok(inserted == 1)
}

fn change(db: &Connection, id: Uuid, change: &UserChange) -> Result<Changed, StoreError> {
    let sql = concat!("SELECT ", user_columns!(), " FROM users WHERE id = ?1");
    let found = db.prepare_cached(sql)?.query_row([id.as_bytes()], |row| user_at(row, 0)).optional()?;
    let Some(user) = found else { return Ok(Changed::NotFound) };
    if change.at_epoch.is_some_and(|epoch| epoch != user.epoch) {
        return Ok(Changed::Moved);
    }
    let roles = change.roles.as_ref().unwrap_or(&user.roles);
    let disabled_at_ms = match change.disabled {
        None => user.disabled_at_ms,
        Some(disabled) => disabled.then_some(user.disabled_at_ms.unwrap_or(change.at_ms)),
    };
    let ceases = administers(&user.roles, user.disabled_at_ms) && !administers(roles, disabled_at_ms);
    if ceases && !others_administer(db, id)? {
        return Ok(Changed::LastAdministrator);
    }
    let password = change.password.as_ref();
    let stands_alone = password.map_or(user.password_stands_alone, |new| new.stands_alone);
    drop_factors(db, id, change.drop)?;
    let has_lost_all = change.drop != Dropped::Nothing && !has_factor(db, id)?;
    let must_change =
        password.map_or(user.must_change_password, |new| new.must_change) || (has_lost_all && !stands_alone);
    let update = "UPDATE users SET roles = ?2, disabled_at_ms = ?3, password_hash = ?4, must_change_password = ?5,
             password_stands_alone = ?6, password_at_ms = ?7, clearance = ?8, epoch = epoch + 1 WHERE id = ?1";
    db.prepare_cached(update)?.execute(params![
        id.as_bytes(),
        roles,
        disabled_at_ms,
        password.map_or(&user.password_hash, |new| &new.hash),
        must_change,
        stands_alone,
        password.map_or(user.password_at_ms, |_| change.at_ms),
        change.clearance.as_ref().unwrap_or(&user.clearance),
    ])?;
    if has_lost_all {
        db.prepare_cached("DELETE FROM recovery_codes WHERE user = ?1")?.execute([id.as_bytes()])?;
    }
    let ended = match change.end_sessions {
        true => revoke_sessions_of(db, id, change.keep_session, change.at_ms)?,
        false => Vec::new(),
    };
    let living = sessions_of(db, id, change.at_ms)?.into_iter().map(|session| session.id).collect();
    Ok(Changed::Done { ended, living })
}

fn drop_factors(db: &Connection, user: Uuid, what: Dropped) -> Result<(), StoreError> {
    if matches!(what, Dropped::App | Dropped::All) {
        db.prepare_cached("DELETE FROM totp WHERE user = ?1")?.execute([user.as_bytes()])?;
    }
    match what {
        Dropped::All => db.prepare_cached("DELETE FROM passkeys WHERE user = ?1")?.execute([user.as_bytes()])?,
        Dropped::Passkey(id) => db
            .prepare_cached("DELETE FROM passkeys WHERE user = ?1 AND id = ?2")?
            .execute([user.as_bytes(), id.as_bytes()])?,
        Dropped::App | Dropped::Nothing => 0,
    };
    Ok(())
}

pub(super) fn has_factor(db: &Connection, user: Uuid) -> Result<bool, StoreError> {
    let sql = concat!("SELECT ", user_columns!(), " FROM users WHERE id = ?1");
    let user = db.prepare_cached(sql)?.query_row([user.as_bytes()], |row| user_at(row, 0)).optional()?;
    Ok(user.is_some_and(|user| user.has_factor))
}

fn administers(roles: &str, disabled_at_ms: Option<i64>) -> bool {
    disabled_at_ms.is_none() && roles.split(',').any(|role| role == Role::Admin.name())
}

fn others_administer(db: &Connection, but: Uuid) -> Result<bool, StoreError> {
    let mut statement = db.prepare_cached("SELECT roles, disabled_at_ms FROM users WHERE id <> ?1")?;
    let mut rows = statement.query([but.as_bytes()])?;
    while let Some(row) = rows.next()? {
        if administers(&row.get::<_, String>(0)?, row.get(1)?) {
            return Ok(true);
        }
    }
    Ok(false)
}
