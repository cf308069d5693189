//! A person who is forgotten is forgotten everywhere, for good, wherever it was cut off, and nobody else is.
use std::fs;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;
use zeroize::Zeroizing;

use super::*;
use crate::Domain;
use crate::audio::Container;
use crate::calls::tests::result;
use crate::calls::{Accepted, Caller, NewCall};
use crate::cases::{Case, CaseChange, CaseError, ListQuery, NewCase, Opened};
use crate::once::Once;
use crate::policy::{Actor, Role};
use crate::testing::{self, administrator, block_on, config, domain, vault, vault_with};

pub(super) fn attorney(domain: &Domain) -> Actor {
    Actor::example(administrator(domain).id, Role::Attorney)
}

fn new_case() -> NewCase {
    serde_json::from_value(serde_json::json!({
        "title": "Deposit kept", "callerName": "Zenobia Quackenbush", "narrative": "The xylophone was impounded.",
        "issues": ["HO-01"],
    }))
    .unwrap()
}

fn open_case(domain: &Domain, actor: &Actor) -> Case {
    match block_on(domain.cases.create(Uuid::now_v7(), actor, new_case(), None)).unwrap() {
        Opened::Done(case) => *case,
        _ => panic!(),
    }
}

fn place_call(domain: &Domain, actor: &Actor) -> Uuid {
    let caller = Caller { name: Some("Zenobia".to_owned()), phone: None, language: None };
    let audio = Zeroizing::new(b"OggS the xylophone".to_vec());
    let once = Some(Once::new(&vault(), actor.who.user, "POST /voice/process", "key", [1; 32]));
    let new = NewCall { audio, container: Container::Ogg, consented: true, caller, jurisdiction: None, once };
    match block_on(domain.calls.accept(Uuid::now_v7(), actor, new)).unwrap() {
        Accepted::Done(id) => id,
        _ => panic!(),
    }
}

/// A call that has become a case.
pub(super) fn finished_call(domain: &Domain, actor: &Actor) -> (Uuid, Case) {
    let call = place_call(domain, actor);
    let held = block_on(domain.calls.lease("background-0@1.1")).unwrap().unwrap();
    let case = block_on(domain.calls.finish(&held, &result(), Uuid::now_v7())).unwrap();
    (call, case.unwrap())
}

fn erase(domain: &Domain, case: &Case) -> Erased {
    let subject = block_on(domain.subjects.of_case(&case.case_number)).unwrap().unwrap();
    block_on(domain.subjects.erase(subject, "uid:0")).unwrap()
}

fn keys_in(domain: &Domain) -> SubjectKeys {
    SubjectKeys::new(Arc::clone(&domain.subjects.store), vault())
}

pub(super) fn recordings(folder: &TempDir) -> usize {
    let folders = fs::read_dir(folder.path().join("blobs")).unwrap();
    folders.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap()).count()
}

pub(super) fn is_gone<T>(found: Result<T, StoreError>) -> bool {
    matches!(found, Err(StoreError::Erased))
}

/// Anywhere in the files of a folder.
pub(super) fn lies_in(folder: &Path, needle: &[u8]) -> bool {
    let files = fs::read_dir(folder).unwrap().map(|file| fs::read(file.unwrap().path()).unwrap());
    files.into_iter().any(|bytes| bytes.windows(needle.len()).any(|window| window == needle))
}

#[test]
fn a_forgotten_person_is_gone_from_every_row_and_file_and_nobody_else_is() {
    let (domain, folder) = domain();
    let lawyer = attorney(&domain);
    let (call, case) = finished_call(&domain, &lawyer);
    let other = open_case(&domain, &lawyer);
    let change = CaseChange { title: Some("changed".to_owned()), ..CaseChange::default() };
    block_on(domain.cases.update(&lawyer, &case.case_number, 1, change)).unwrap();
    let subject = block_on(domain.subjects.of_case(&case.case_number)).unwrap().unwrap();
    let keys = || block_on(domain.subjects.store.subjects(vec![subject])).unwrap().remove(0).keys;
    let wrapped = keys().unwrap();
    assert!(lies_in(&folder.path().join("store"), &wrapped.case_key_sealed));
    assert_eq!(recordings(&folder), 1);

    assert_eq!(erase(&domain, &case), Erased::Done { cases: vec![case.id], calls: vec![call] });
    assert!(is_gone(block_on(domain.cases.find(&lawyer, &case.case_number))));
    assert!(is_gone(block_on(domain.calls.find(&lawyer, call))));
    assert!(is_gone(block_on(domain.calls.recording(call))));
    assert_eq!(recordings(&folder), 0);
    assert!(keys().is_none());
    for wrapped in [&wrapped.case_key_sealed, &wrapped.call_key_sealed] {
        assert!(!lies_in(&folder.path().join("store"), wrapped), "a destroyed key lies in a file");
    }
    let database = rusqlite::Connection::open(folder.path().join("store/hotline.db")).unwrap();
    let left: i64 = database
        .query_row(
            "SELECT (SELECT sum(length(document_sealed) + length(issues)) FROM cases WHERE erased_at_ms IS NOT NULL)
                  + (SELECT sum(length(document_sealed) + length(issues)) FROM case_versions WHERE erased_at_ms IS NOT NULL)
                  + (SELECT sum(length(caller_sealed) + coalesce(length(transcript_sealed), 0)) FROM calls)
                  + (SELECT count(*) FROM once)",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(left, 0);

    let page = block_on(domain.cases.list(&lawyer, ListQuery::default())).unwrap().cases;
    let listed = |id: Uuid| page.iter().find(|case| case.id == id).unwrap();
    assert!(listed(case.id).erased && listed(case.id).title.is_empty() && listed(case.id).caller_name.is_none());
    assert_eq!(listed(case.id).case_number, case.case_number);
    assert!(!listed(other.id).erased && listed(other.id).title == "Deposit kept");
    assert_eq!(
        block_on(domain.cases.find(&lawyer, &other.case_number)).unwrap().found().unwrap().title,
        "Deposit kept"
    );
    // Whoever may not see it does not hear that it was there.
    let stranger = Actor::example(Uuid::new_v4(), Role::Caller);
    assert!(block_on(domain.cases.find(&stranger, &case.case_number)).unwrap().found().is_none());
}

#[test]
fn nothing_comes_to_a_forgotten_person_any_more_and_forgetting_twice_does_no_harm() {
    let (domain, _folder) = domain();
    let lawyer = attorney(&domain);
    let (_, case) = finished_call(&domain, &lawyer);
    let first = erase(&domain, &case);
    assert_eq!(erase(&domain, &case), first);
    let change = CaseChange { title: Some("again".to_owned()), ..CaseChange::default() };
    let changed = block_on(domain.cases.update(&lawyer, &case.case_number, 1, change));
    assert!(matches!(changed, Err(CaseError::Store(StoreError::Erased))));
    let subject = block_on(domain.subjects.of_case(&case.case_number)).unwrap().unwrap();
    assert!(is_gone(block_on(keys_in(&domain).of(subject))), "no new keys for a forgotten subject");
}

/// Somebody read the case before and writes it after: the store refuses, whatever keys the writer holds.
#[test]
fn a_write_that_was_under_way_when_its_subject_was_forgotten_is_refused() {
    let (domain, _folder) = domain();
    let lawyer = attorney(&domain);
    let case = open_case(&domain, &lawyer);
    let row = block_on(domain.subjects.store.case(CaseKey::Id(case.id))).unwrap().unwrap();
    let keys = block_on(keys_in(&domain).of(row.subject)).unwrap();
    erase(&domain, &case);
    let mut later = case.clone();
    later.version = 2;
    let row = crate::cases::to_row(&keys, &later, 1, 2).unwrap();
    assert!(is_gone(block_on(domain.subjects.store.update_case(row))));
}

#[test]
fn a_call_that_is_being_worked_on_ends_without_a_case() {
    let (domain, folder) = domain();
    let lawyer = attorney(&domain);
    let call = place_call(&domain, &lawyer);
    let held = block_on(domain.calls.lease("background-0@1.1")).unwrap().unwrap();
    block_on(domain.subjects.erase(held.call.subject, "uid:0")).unwrap();
    assert!(block_on(domain.calls.finish(&held, &result(), Uuid::now_v7())).unwrap().is_none());
    assert!(!block_on(domain.calls.renew(&held.lease)).unwrap());
    assert!(block_on(domain.calls.lease("background-0@1.1")).unwrap().is_none(), "nobody takes it up again");
    assert!(is_gone(block_on(domain.calls.find(&lawyer, call))));
    assert!(block_on(domain.cases.list(&lawyer, ListQuery::default())).unwrap().cases.is_empty());
    assert_eq!(recordings(&folder), 0);
}

/// What a copy of the database from before can do, and what ends that.
#[test]
fn an_older_database_brings_nobody_back() {
    let folder = TempDir::with_prefix("hotline-domain-").unwrap();
    let domain = testing::open(&config(&folder), vault_with(&[1]));
    let lawyer = attorney(&domain);
    let (call, case) = finished_call(&domain, &lawyer);
    let other = open_case(&domain, &lawyer);
    assert!(block_on(domain.ping()).is_ok());
    let backup = backup_of(&folder);
    erase(&domain, &case);
    drop(domain);

    // Restored under the service: erased again before anybody is served.
    restore(&backup, &folder);
    let domain = testing::open(&config(&folder), vault_with(&[1]));
    assert!(is_gone(block_on(domain.cases.find(&lawyer, &case.case_number))));
    assert!(is_gone(block_on(domain.calls.find(&lawyer, call))));
    assert!(block_on(domain.cases.find(&lawyer, &other.case_number)).unwrap().found().is_some());
    drop(domain);

    // In the hands of somebody who has the data keys of then, the copy opens: it holds the wrapped keys.
    let elsewhere = elsewhere_with(&backup);
    let thief = testing::open(&config(&elsewhere), vault_with(&[1]));
    assert!(
        block_on(thief.cases.find(&lawyer, &case.case_number)).unwrap().found().is_some(),
        "as ARCHITECTURE.md says"
    );
    // Not with those of today, once the data keys have changed and the former ones are destroyed.
    let elsewhere = elsewhere_with(&backup);
    let keyring_of_today = testing::open(&config(&elsewhere), vault_with(&[2]));
    let found = block_on(keyring_of_today.cases.find(&lawyer, &case.case_number));
    assert!(matches!(found, Err(StoreError::Sealed(hotline::vault::VaultError::NoVersion { version: 1, .. }))));
}

#[test]
fn a_list_that_was_lost_is_made_again_from_the_database() {
    let (domain, folder) = domain();
    let lawyer = attorney(&domain);
    let case = open_case(&domain, &lawyer);
    erase(&domain, &case);
    drop(domain);
    let list = folder.path().join("store/erased");
    let text = fs::read(&list).unwrap();
    fs::remove_file(&list).unwrap();
    testing::open(&config(&folder), vault());
    assert_eq!(fs::read(&list).unwrap(), text);
}

fn backup_of(folder: &TempDir) -> TempDir {
    let backup = tempfile::tempdir().unwrap();
    let from = rusqlite::Connection::open(folder.path().join("store/hotline.db")).unwrap();
    from.execute("VACUUM INTO ?1", [backup.path().join("hotline.db").to_str().unwrap()]).unwrap();
    backup
}

fn restore(backup: &TempDir, folder: &TempDir) {
    let store = folder.path().join("store");
    for log in ["hotline.db-wal", "hotline.db-shm"] {
        let _ = fs::remove_file(store.join(log));
    }
    fs::copy(backup.path().join("hotline.db"), store.join("hotline.db")).unwrap();
}

/// A state folder without the list of erasures.
fn elsewhere_with(backup: &TempDir) -> TempDir {
    let folder = TempDir::with_prefix("hotline-domain-").unwrap();
    fs::create_dir(folder.path().join("store")).unwrap();
    restore(backup, &folder);
    folder
}

#[test]
fn what_one_subject_has_opens_in_no_row_of_another() {
    let (domain, folder) = domain();
    let lawyer = attorney(&domain);
    let (ana, ben) = (open_case(&domain, &lawyer), open_case(&domain, &lawyer));
    let database = rusqlite::Connection::open(folder.path().join("store/hotline.db")).unwrap();
    let opens = || [&ana, &ben].map(|case| block_on(domain.cases.find(&lawyer, &case.case_number)).is_ok());
    for (what, swap, put_back) in [
        (
            "Ana's document in Ben's case",
            "UPDATE cases SET document_sealed = (SELECT document_sealed FROM cases WHERE id = ?1) WHERE id = ?2",
            "UPDATE cases SET document_sealed = (SELECT document_sealed FROM case_versions v WHERE v.id = ?2 AND ?1 = ?1)
             WHERE id = ?2",
        ),
        (
            "Ben's case as one of Ana's",
            "UPDATE cases SET subject = (SELECT subject FROM cases WHERE id = ?1) WHERE id = ?2",
            "UPDATE cases SET subject = (SELECT subject FROM case_versions v WHERE v.id = ?2 AND ?1 = ?1) WHERE id = ?2",
        ),
        (
            "Ana's key as Ben's",
            "UPDATE subject_keys SET case_key_sealed = (SELECT k.case_key_sealed FROM subject_keys k
                 WHERE k.id = (SELECT subject FROM cases WHERE id = ?1))
             WHERE id = (SELECT subject FROM cases WHERE id = ?2)",
            "SELECT ?1, ?2",
        ),
    ] {
        assert_eq!(opens(), [true, true], "before: {what}");
        let both = rusqlite::params![ana.id.as_bytes(), ben.id.as_bytes()];
        assert_eq!(database.execute(swap, both).unwrap(), 1);
        assert_eq!(opens(), [true, false], "{what}");
        let _ = database.prepare(put_back).unwrap().query(both).unwrap().next();
    }
}

#[test]
fn what_is_held_is_not_erased_and_reasons_of_guards_go_with_the_rest() {
    let (domain, folder) = domain();
    let lawyer = attorney(&domain);
    let case = open_case(&domain, &lawyer);
    let hold = serde_json::json!({ "kind": "hold", "reason": "preservation order 7" });
    let by = lawyer.who.user;
    let place = |new| block_on(domain.cases.place_guard(Uuid::now_v7(), case.id, new, by)).unwrap();
    let hold = place(serde_json::from_value(hold).unwrap());
    let Erased::Held { reason } = erase(&domain, &case) else { panic!("it was erased") };
    assert!(reason.contains(&case.case_number) && reason.contains("hold"), "{reason}");
    assert!(block_on(domain.cases.find(&lawyer, &case.case_number)).unwrap().found().is_some());
    assert!(block_on(domain.cases.end_guard(case.id, hold.id, by)).unwrap());
    assert!(matches!(erase(&domain, &case), Erased::Done { .. }));
    assert!(is_gone(block_on(domain.cases.find(&lawyer, &case.case_number))));
    let kept = block_on(domain.cases.guards(case.id)).unwrap();
    assert_eq!((kept.len(), kept[0].reason.as_str()), (1, ""));
    assert!(!lies_in(&folder.path().join("store"), b"preservation order"));
    let later = serde_json::from_value(serde_json::json!({ "kind": "hold", "reason": "preservation order 8" }));
    assert!(is_gone(block_on(domain.cases.place_guard(Uuid::now_v7(), case.id, later.unwrap(), by))));
}
