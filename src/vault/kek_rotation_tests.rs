//! A rotation changes what wraps and nothing else, wherever it is cut off; and it is due by the clock.
use super::*;
use crate::config::Provider;
use crate::vault::testing::Ring;
use crate::vault::{DataKeys, KeyClass};

fn same(before: &DataKeys, after: &DataKeys) -> bool {
    let bytes = |keys: &DataKeys, class| keys.of(class).iter().map(|key| (key.version, key.bytes)).collect::<Vec<_>>();
    KeyClass::ALL.into_iter().all(|class| !before.of(class).is_empty() && bytes(before, class) == bytes(after, class))
}

fn states(ring: &Ring) -> Vec<(u32, KeyState)> {
    ring.open().unwrap().listing().keks.iter().map(|kek| (kek.version, kek.state)).collect()
}

#[test]
fn a_new_key_wraps_the_same_data_keys_and_the_former_one_is_gone() {
    let ring = Ring::new();
    let before = ring.open().unwrap().data_keys().unwrap();
    let copy = ring.text();
    assert_eq!(ring.open().unwrap().rotate_kek(5).unwrap(), 2);
    assert!(same(&before, &ring.open().unwrap().data_keys().unwrap()));
    assert_eq!(ring.kek_files(), ["kek-0002.key"]);
    assert_eq!(states(&ring), [(1, KeyState::Destroyed), (2, KeyState::Active)]);
    ring.put(&copy);
    assert!(ring.open().unwrap().data_keys().is_err(), "what the former key wrapped does not open any more");
}

#[test]
fn wherever_it_is_cut_off_the_keyring_opens_and_the_next_one_finishes() {
    for cut in [Step::Made, Step::Rewrapped, Step::Destroyed, Step::Noted] {
        let ring = Ring::new();
        let before = ring.open().unwrap().data_keys().unwrap();
        let mut seen = Vec::new();
        let cut_off = ring.open().unwrap().rotate_kek_stepwise(5, &mut |step| {
            seen.push(step);
            if step == cut { Err(KeyringError::NotNow { said: "power cut".to_owned() }) } else { Ok(()) }
        });
        assert!(cut_off.is_err() && seen.last() == Some(&cut));
        // Who only reads finds the keys …
        let read = Keyring::open(ring.state.path(), &ring.settings).unwrap();
        assert!(same(&before, &read.data_keys().unwrap()), "{cut:?}");
        // … and who may change them leaves one key over the keys, or the one that a next rotation takes up.
        assert!(same(&before, &ring.open().unwrap().data_keys().unwrap()), "{cut:?}");
        let left = if cut == Step::Made { &["kek-0001.key", "kek-0002.key"][..] } else { &["kek-0002.key"] };
        assert_eq!(ring.kek_files(), left, "{cut:?}");
        ring.open().unwrap().rotate_kek(6).unwrap();
        assert!(same(&before, &ring.open().unwrap().data_keys().unwrap()), "{cut:?}");
        assert_eq!(ring.kek_files().len(), 1, "{cut:?}");
    }
}

#[test]
fn forty_days_leave_one_key_and_a_short_file() {
    let ring = Ring::new();
    let before = ring.open().unwrap().data_keys().unwrap();
    let mut keyring = ring.open().unwrap();
    let mut rotations = 0;
    for hour in 0..24 * 40 {
        let now_ms = hour * 3_600_000;
        if keyring.listing().kek_is_due(86_400, now_ms) {
            keyring.rotate_kek(now_ms).unwrap();
            rotations += 1;
        }
    }
    assert_eq!(rotations, 39, "a day apart, the first a day after it was made");
    drop(keyring);
    assert!(same(&before, &ring.open().unwrap().data_keys().unwrap()));
    assert_eq!(ring.kek_files(), ["kek-0040.key"]);
    assert_eq!(states(&ring).len(), 1 + DESTROYED_NAMED_MAX);
}

#[test]
fn a_credential_is_replaced_by_its_owner() {
    use std::os::unix::fs::PermissionsExt;
    let mut ring = Ring::nothing();
    let credentials = tempfile::tempdir().unwrap();
    let put = |name: &str, byte: u8| {
        let path = credentials.path().join(name);
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, [byte; 32]).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
    };
    ring.settings.provider = Provider::Credential;
    assert!(ring.open().is_err_and(|error| error.to_string().contains("LoadCredentialEncrypted=")));
    ring.credentials = Some(credentials.path().to_owned());
    put("hotline.kek", 1);
    let before = ring.open().unwrap().data_keys().unwrap();
    assert!(ring.kek_files().is_empty(), "no key lies beside the data");
    assert!(!ring.open().unwrap().listing().kek_is_due(1, u64::MAX));
    assert!(ring.open().unwrap().rotate_kek(1).is_err_and(|error| error.to_string().contains(".former")));
    put("hotline.kek", 2);
    assert!(ring.open().is_err_and(|error| error.to_string().contains("the key at hand")));
    put("hotline.kek.former", 1);
    assert!(same(&before, &ring.open().unwrap().data_keys().unwrap()));
    std::fs::remove_file(credentials.path().join("hotline.kek.former")).unwrap();
    assert!(same(&before, &ring.open().unwrap().data_keys().unwrap()), "the former one is needed once");
}

#[test]
fn a_keyring_moves_to_another_provider_with_its_data_keys() {
    use std::os::unix::fs::PermissionsExt;
    let mut ring = Ring::new();
    let before = ring.open().unwrap().data_keys().unwrap();
    let credentials = tempfile::tempdir().unwrap();
    let path = credentials.path().join("hotline.kek");
    std::fs::write(&path, [9; 32]).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
    (ring.settings.provider, ring.credentials) = (Provider::Credential, Some(credentials.path().to_owned()));
    assert!(same(&before, &ring.open().unwrap().data_keys().unwrap()));
    assert!(ring.kek_files().is_empty(), "the file is destroyed once nothing needs it");
    ring.settings.provider = Provider::File;
    assert!(same(&before, &ring.open().unwrap().data_keys().unwrap()));
    assert_eq!(ring.kek_files(), ["kek-0003.key"]);
}
