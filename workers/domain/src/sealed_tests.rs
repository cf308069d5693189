//! Everything that was sealed under an old key is sealed under the new one in the end, wherever a walk was cut off.
use tempfile::TempDir;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::*;
use crate::Domain;
use crate::audio::Container;
use crate::calls::{Accepted, Caller, NewCall};
use crate::cases::Opened;
use crate::policy::{Actor, Role};
use crate::testing::{administrator, block_on, config, vault_with};

fn open(folder: &TempDir, versions: &[u16]) -> Domain {
    Domain::open(&config(folder), vault_with(versions)).unwrap()
}

/// A person, cases with a past, calls with recordings: how many values are sealed.
fn fill(domain: &Domain) -> (Actor, Vec<Uuid>, u64) {
    let person = administrator(domain);
    assert!(block_on(domain.people.enrol_totp(&person)).unwrap().is_some());
    let actor = Actor { user: person.id, permissions: Role::Attorney.permissions() };
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
        let audio = Zeroizing::new(b"OggS the xylophone was impounded".to_vec());
        let new = NewCall { audio, container: Container::Ogg, consented: true, caller, jurisdiction: None, once: None };
        let accepted = block_on(domain.calls.accept(Uuid::now_v7(), &actor, new)).unwrap();
        assert!(matches!(accepted, Accepted::Done(_)));
    }
    // Present versions are kept with the past ones; a call has its caller and its recording.
    (actor, cases, 1 + 1 + 70 + 71 + 5 + 5)
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
        assert!(block_on(domain.cases.find(&actor, &case.to_string())).unwrap().is_some());
    }
    assert!(block_on(domain.people.find("admin")).unwrap().is_some());
    let held = block_on(domain.calls.lease("background-0@1.1")).unwrap().unwrap();
    assert_eq!(&**domain.calls.recording(held.call.call_id).unwrap(), b"OggS the xylophone was impounded");
}

#[test]
fn what_does_not_open_is_left_and_counted() {
    let folder = TempDir::with_prefix("hotline-domain-").unwrap();
    let (_, _, sealed) = fill(&open(&folder, &[1]));
    let database = folder.path().join("store/hotline.db");
    let spoil = "UPDATE cases SET document_sealed = CAST(substr(document_sealed, 1, 20) || zeroblob(40) AS BLOB)
                 WHERE id = (SELECT min(id) FROM cases)";
    rusqlite::Connection::open(database).unwrap().execute(spoil, []).unwrap();
    let domain = open(&folder, &[2, 1]);
    let (resealed, refused) = walk_through(&domain);
    assert!(resealed == sealed - 1 && refused == 1, "{resealed} {refused}");
    assert_eq!(versions(&domain), BTreeMap::from([(1, 1), (2, sealed - 1)]), "its key is still needed");
}
