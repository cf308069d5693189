//! A store that an earlier build left is brought forward with everything in it.
use rusqlite::{Connection, params};
use tempfile::TempDir;
use uuid::Uuid;

use super::super::migrate;
use super::open;
use crate::store::{Dropped, Factors, People, SessionRow, Sessions, TotpRow, UserChange};
use crate::testing::block_on;

/// One user with a session, as the second schema had them.
fn left_behind(folder: &TempDir) -> (Uuid, Uuid) {
    let db = Connection::open(folder.path().join("hotline.db")).unwrap();
    migrate::to_step(&db, 2).unwrap();
    let (user, session) = (Uuid::now_v7(), Uuid::new_v4());
    let insert = "INSERT INTO users VALUES (?1, ?2, x'01', 'admin,attorney', '$argon2id$', 1, 3, 7)";
    db.execute(insert, params![user.as_bytes(), [9u8; 32]]).unwrap();
    let insert = "INSERT INTO sessions VALUES (?1, ?2, 1, 9000000000000, 1, 0, NULL)";
    db.execute(insert, params![session.as_bytes(), user.as_bytes()]).unwrap();
    (user, session)
}

#[test]
fn people_and_sessions_of_an_earlier_schema_go_on() {
    let folder = TempDir::new().unwrap();
    let (user, session) = left_behind(&folder);
    let store = open(&folder);
    let (row, person) = block_on(store.session(session)).unwrap().unwrap();
    assert_eq!((row.factors, row.proven_at_ms, row.automation), (1, 0, false), "nothing was shown lately");
    assert_eq!((person.id, person.epoch, person.disabled_at_ms), (user, 3, None));
    assert!(person.password_stands_alone && person.must_change_password && !person.has_factor);
    assert_eq!(person.password_at_ms, 0, "when it was given is not known, so it does not lapse");

    let totp = TotpRow { user, secret_sealed: vec![1], last_step: 0, created_at_ms: 1, confirmed_at_ms: None };
    assert!(block_on(store.put_totp(totp)).unwrap());
    let ended = block_on(store.confirm_totp(user, 5, vec![[1; 32]], Uuid::nil(), 8)).unwrap();
    assert_eq!(ended, Some(vec![session]));
    let moved = block_on(store.user(user)).unwrap().unwrap();
    assert!(moved.has_factor && moved.epoch == 4);
    let outdated = SessionRow { id: Uuid::new_v4(), ..row };
    assert!(!block_on(store.insert_session(outdated, 3)).unwrap(), "proven before the factor was there");
    let change = UserChange { drop: Dropped::App, at_ms: 9, ..UserChange::default() };
    block_on(store.change_user(user, change)).unwrap();
    assert_eq!(block_on(store.recovery_codes_left(user)).unwrap(), 0);
    assert!(!block_on(store.use_recovery_code(user, [1; 32])).unwrap());
}
