//! The same keys come back, for their owner alone; what is wrong is named; nothing is ever made in place of what is lost.
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::vault::testing::Ring;

fn error(ring: &Ring) -> String {
    let opened = ring.open().and_then(|keyring| keyring.data_keys());
    opened.err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn the_same_keys_come_back_and_nobody_else_can_read_them() {
    let ring = Ring::new();
    let made = ring.open().unwrap().data_keys().unwrap();
    let opened = ring.open().unwrap().data_keys().unwrap();
    let mut seen = std::collections::HashSet::new();
    for class in KeyClass::ALL {
        assert_eq!(made.of(class)[0].bytes, opened.of(class)[0].bytes);
        assert!(seen.insert(opened.of(class)[0].bytes), "two classes share a key");
    }
    for (name, mode) in [("keys", 0o700), ("keys/kek-0001.key", 0o600), ("keys/keyring.json", 0o600)] {
        let found = fs::metadata(ring.state.path().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{name}");
    }
}

#[test]
fn an_exposed_short_or_other_key_is_named() {
    let ring = Ring::new();
    let kek = ring.state.path().join("keys/kek-0001.key");
    fs::set_permissions(&kek, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(error(&ring).contains("640"), "{}", error(&ring));
    fs::set_permissions(&kek, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&kek, [1; 31]).unwrap();
    assert!(error(&ring).contains("31 bytes"));
    fs::write(&kek, [1; 32]).unwrap();
    assert!(error(&ring).contains("are wrapped by"));
}

#[test]
fn a_key_in_another_keys_place_does_not_unwrap() {
    let ring = Ring::new();
    let mut keyring = ring.open().unwrap();
    let case = keyring.stored.keys[&KeyClass::Case][0].wrapped.clone();
    keyring.stored.keys.get_mut(&KeyClass::Call).unwrap()[0].wrapped = case;
    keyring.write().unwrap();
    drop(keyring);
    assert!(error(&ring).contains("could not unwrap"));
}

#[test]
fn reading_commands_make_no_keys() {
    let ring = Ring::nothing();
    assert!(Keyring::open(ring.state.path(), &ring.settings).is_err());
    assert_eq!(fs::read_dir(ring.state.path()).unwrap().count(), 0);
}

#[test]
fn one_process_changes_keys_at_a_time_and_anybody_may_look() {
    let ring = Ring::new();
    let changing = ring.open().unwrap();
    assert!(matches!(ring.open(), Err(KeyringError::InUse { .. })));
    Keyring::open(ring.state.path(), &ring.settings).unwrap().data_keys().unwrap();
    drop(changing);
    ring.open().unwrap();
}

#[test]
fn a_lost_key_is_never_replaced_by_a_new_one() {
    let ring = Ring::new();
    let (kek, keyring) = (ring.state.path().join("keys/kek-0001.key"), ring.path());
    let away = ring.state.path().join("away");
    fs::rename(&kek, &away).unwrap();
    assert!(error(&ring).contains("could not read the key"), "{}", error(&ring));
    assert!(!kek.exists(), "nothing was written");
    fs::rename(&away, &kek).unwrap();
    fs::create_dir(ring.state.path().join("store")).unwrap();
    fs::write(ring.state.path().join("store/hotline.db"), "data").unwrap();
    fs::remove_file(&keyring).unwrap();
    assert!(matches!(ring.open(), Err(KeyringError::Lost { .. })));
    fs::remove_file(&kek).unwrap();
    assert!(matches!(ring.open(), Err(KeyringError::Lost { .. })));
}

/// Written by the first release: one file key, one version of each class.
#[test]
fn a_keyring_of_the_first_format_is_taken_over() {
    let ring = Ring::new();
    let before = ring.open().unwrap().data_keys().unwrap();
    let now: serde_json::Value = serde_json::from_str(&ring.text()).unwrap();
    let mut keys = now["keys"].clone();
    for versions in keys.as_object_mut().unwrap().values_mut() {
        let one = versions[0].clone();
        *versions = serde_json::json!([{ "version": 1, "wrapped": one["wrapped"] }]);
    }
    let first = serde_json::json!({ "format": 1, "kek": now["keks"][0]["kek"]["id"], "keys": keys });
    ring.put(&first.to_string());
    let after = ring.open().unwrap().data_keys().unwrap();
    assert!(KeyClass::ALL.into_iter().all(|class| before.of(class)[0].bytes == after.of(class)[0].bytes));
    ring.open().unwrap().rotate_kek(1).unwrap();
    assert!(ring.text().contains("\"format\": 2"));
    ring.put(&first.to_string().replace("\"format\":1", "\"format\":3"));
    assert!(error(&ring).contains("its format is 3, this program knows 2"), "{}", error(&ring));
}
