//! Everything that was sealed under an old key is sealed under the new one in the end, wherever a walk was cut off.
use std::io::Read as _;

use tempfile::TempDir;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::*;
use crate::Domain;
use crate::audio::Container;
use crate::calls::{Accepted, Caller, NewCall};
use crate::cases::Opened;
use crate::people::{Added, NewPasskey, challenge_use};
use crate::policy::{Actor, Role};
use crate::testing::{administrator, block_on, config, vault_with};

fn open(folder: &TempDir, versions: &[u16]) -> Domain {
    crate::testing::open(&config(folder), vault_with(versions))
}

/// A person with an app and a passkey, cases with a past, calls with recordings: how many values are sealed.
fn fill(domain: &Domain) -> (Actor, Vec<Uuid>, u64) {
    let person = administrator(domain);
    assert!(block_on(domain.people.enrol_totp(&person)).unwrap().is_some());
    let key = NewPasskey { name: "key", credential_id: b"id", credential: "{}".to_owned(), sign_count: 1 };
    let challenge = challenge_use(Uuid::new_v4(), 9_000_000_000);
    let added = block_on(domain.people.add_passkey(&person, key, Uuid::nil(), challenge)).unwrap();
    assert!(matches!(added, Added::Done { .. }));
    let actor = Actor::example(person.id, Role::Attorney);
    let mut cases = Vec::new();
    for number in 0..70 {
        let new = serde_json::from_value(serde_json::json!({ "title": format!("case {number}") })).unwrap();
        let Opened::Done(case) = block_on(domain.cases.create(Uuid::now_v7(), &actor, new, None)).unwrap() else {
            panic!()
        };
        cases.push(case.id);
    }
    let change = serde_json::from_value(serde_json::json!({ "title": "changed" })).unwrap();
    block_on(domain.cases.update(&actor, &cases[0].to_string(), 1, change)).unwrap();
    for _ in 0..5 {
        let caller = Caller { name: Some("Zenobia".to_owned()), phone: None, language: None };
        let audio = Zeroizing::new(AUDIO.to_vec());
        let new = NewCall { audio, container: Container::Ogg, consented: true, caller, jurisdiction: None, once: None };
        let accepted = block_on(domain.calls.accept(Uuid::now_v7(), &actor, new)).unwrap();
        assert!(matches!(accepted, Accepted::Done(_)));
    }
    // The person's name, the app's secret and the passkey; the two keys of each subject. The rest is under those.
    (actor, cases, 1 + 1 + 1 + 2 * (70 + 5))
}

fn versions(domain: &Domain) -> BTreeMap<u16, u64> {
    let mut versions = BTreeMap::new();
    for count in block_on(domain.sealed.counts()).unwrap() {
        *versions.entry(count.version).or_default() += count.count;
    }
    versions
}

fn walk_through(domain: &Domain) -> (u64, u64) {
    let (mut walk, mut resealed, mut refused) = (Walk::default(), 0, 0);
    loop {
        let stepped = block_on(domain.sealed.step(&mut walk)).unwrap();
        (resealed, refused) = (resealed + stepped.resealed, refused + stepped.refused);
        if stepped.is_over {
            return (resealed, refused);
        }
    }
}

#[test]
fn a_walk_leaves_nothing_under_the_former_key_and_everything_readable() {
    let folder = TempDir::with_prefix("hotline-domain-").unwrap();
    let (actor, cases, sealed) = fill(&open(&folder, &[1]));
    let domain = open(&folder, &[2, 1]);
    assert_eq!(versions(&domain), BTreeMap::from([(1, sealed)]));
    // Some steps, and then the process is gone with all it knew.
    let mut cut_off = Walk::default();
    for _ in 0..3 {
        block_on(domain.sealed.step(&mut cut_off)).unwrap();
    }
    let left = versions(&domain);
    assert!(left[&1] > 0 && left[&2] > 0, "{left:?}");
    assert_eq!(walk_through(&domain), (left[&1], 0), "what was done is not done again");
    assert_eq!(versions(&domain), BTreeMap::from([(2, sealed)]));
    assert_eq!(walk_through(&domain), (0, 0));
    // Without the former key.
    let domain = open(&folder, &[2]);
    for case in cases {
        assert!(block_on(domain.cases.find(&actor, &case.to_string())).unwrap().found().is_some());
    }
    assert!(block_on(domain.people.find("admin")).unwrap().is_some());
    let held = block_on(domain.calls.lease("background-0@1.1")).unwrap().unwrap();
    assert_eq!(heard(&domain, held.call.call_id), AUDIO);
}

/// As everything lay before there were keys for subjects: under the data keys themselves.
fn as_before(domain: &Domain, folder: &TempDir, vault: &Vault) -> u64 {
    let mut values = 0;
    for column in COLUMNS.iter().filter(|column| column.cells.subject.is_some()) {
        let found = block_on(domain.sealed.store.sealed_otherwise(column.cells, Head::default(), None, 1_000)).unwrap();
        let anew = found.into_iter().map(|cell| {
            let keys = block_on(domain.sealed.keys.of(cell.subject.unwrap())).unwrap();
            let (row, (table, name)) = (cell.id.to_string(), column.place);
            let place = Aad { table, row: &row, column: name, version: cell.version };
            let key = if column.class == KeyClass::Call { keys.call } else { keys.case };
            let plain = key.open(&place, &cell.sealed).unwrap();
            let sealed = vault.seal(column.class, &place, &plain).unwrap();
            (cell, sealed)
        });
        values += block_on(domain.sealed.store.reseal(column.cells, anew.collect())).unwrap();
    }
    let database = rusqlite::Connection::open(folder.path().join("store/hotline.db")).unwrap();
    database.execute("DELETE FROM subject_keys", []).unwrap();
    database.execute("UPDATE calls SET subject = id", []).unwrap();
    for file in std::fs::read_dir(folder.path().join("blobs")).unwrap() {
        for file in std::fs::read_dir(file.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let row = path.file_name().unwrap().to_str().unwrap();
            let place = Aad { table: "calls", row, column: "audio", version: 1 };
            std::fs::write(&path, vault.seal(KeyClass::Call, &place, AUDIO).unwrap()).unwrap();
            values += 1;
        }
    }
    values
}

#[test]
fn what_is_older_than_the_keys_of_subjects_stays_readable_and_is_moved_under_them() {
    let folder = TempDir::with_prefix("hotline-domain-").unwrap();
    let domain = open(&folder, &[1]);
    let (actor, cases, _) = fill(&domain);
    let values = as_before(&domain, &folder, &vault_with(&[1]));
    assert_eq!(values, 70 + 71 + 5 + 5);
    let domain = open(&folder, &[2, 1]);
    assert_eq!(versions(&domain), BTreeMap::from([(1, values + 3)]), "and what is of the staff");
    let read = |domain: &Domain| {
        assert_eq!(
            block_on(domain.cases.find(&actor, &cases[0].to_string())).unwrap().found().unwrap().title,
            "changed"
        );
        let held = block_on(domain.calls.lease("background-0@1.1")).unwrap().unwrap();
        assert_eq!(held.call.caller.name.as_deref(), Some("Zenobia"));
        assert_eq!(heard(domain, held.call.call_id), AUDIO);
    };
    read(&domain);
    let change = serde_json::from_value(serde_json::json!({ "title": "changed again" })).unwrap();
    block_on(domain.cases.update(&actor, &cases[1].to_string(), 1, change)).unwrap();
    // The change has one of them moved already, and has added a version.
    assert_eq!(walk_through(&domain), (values + 3 - 1, 0));
    assert_eq!(versions(&domain), BTreeMap::from([(2, 3 + 2 * (70 + 5))]), "two keys of each, for all that is said");
    assert_eq!(walk_through(&domain), (0, 0));
    let domain = open(&folder, &[2]);
    read(&domain);
    assert_eq!(
        block_on(domain.cases.find(&actor, &cases[1].to_string())).unwrap().found().unwrap().title,
        "changed again"
    );
}

fn heard(domain: &Domain, call: Uuid) -> Vec<u8> {
    let mut audio = Vec::new();
    block_on(domain.calls.recording(call)).unwrap().read_to_end(&mut audio).unwrap();
    audio
}

const AUDIO: &[u8] = b"OggS the xylophone was impounded";

#[test]
fn what_does_not_open_is_left_and_counted() {
    let folder = TempDir::with_prefix("hotline-domain-").unwrap();
    let (_, _, sealed) = fill(&open(&folder, &[1]));
    let database = folder.path().join("store/hotline.db");
    let spoil = "UPDATE subject_keys SET case_key_sealed = CAST(substr(case_key_sealed, 1, 20) || zeroblob(40) AS BLOB)
                 WHERE id = (SELECT min(id) FROM subject_keys)";
    rusqlite::Connection::open(database).unwrap().execute(spoil, []).unwrap();
    let domain = open(&folder, &[2, 1]);
    let (resealed, refused) = walk_through(&domain);
    assert!(resealed == sealed - 1 && refused == 1, "{resealed} {refused}");
    assert_eq!(versions(&domain), BTreeMap::from([(1, 1), (2, sealed - 1)]), "its key is still needed");
}
