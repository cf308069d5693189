//! Users.
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::{Id, Sqlite};
use crate::store::{People, StoreError, UserRow};

/// The columns of a user, in the order of `user_at`.
macro_rules! user_columns {
    () => {
        "users.id, users.name_index, users.name_sealed, users.roles, users.password_hash,
         users.must_change_password, users.epoch, users.created_at_ms"
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
    })
}

fn any_user(db: &Connection) -> Result<bool, StoreError> {
    Ok(db.query_row("SELECT EXISTS (SELECT 1 FROM users)", [], |row| row.get(0))?)
}

fn insert(db: &Connection, user: &UserRow) -> Result<bool, StoreError> {
    let sql = "INSERT INTO users VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (name_index) DO NOTHING";
    let inserted = db.prepare_cached(sql)?.execute(params![
        user.id.as_bytes(),
        user.name_index,
        user.name_sealed,
        user.roles,
        user.password_hash,
        user.must_change_password,
        user.epoch,
        user.created_at_ms,
    ])?;
    Ok(inserted == 1)
}
