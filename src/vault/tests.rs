//! A sealed value opens in its place, with its keys, and nowhere else.
use aws_lc_rs::aead::{self, Nonce};
use proptest::prelude::*;

use super::*;

fn key(version: u16) -> KeyBytes {
    KeyBytes { version, bytes: [version as u8; 32] }
}

fn vault() -> Vault {
    Vault::new(KeyClass::ALL.map(|class| (class, vec![key(1)])))
}

const PLACE: Aad<'_> = Aad { table: "cases", row: "17", column: "narrative", version: 3 };

#[test]
fn a_value_opens_nowhere_but_in_its_place() {
    let vault = vault();
    let sealed = vault.seal(KeyClass::Case, &PLACE, b"my landlord").unwrap();
    assert_eq!(&*vault.open(KeyClass::Case, &PLACE, &sealed).unwrap(), b"my landlord");
    let elsewhere = [
        Aad { table: "calls", ..PLACE },
        Aad { row: "18", ..PLACE },
        Aad { column: "name", ..PLACE },
        Aad { version: 2, ..PLACE },
        Aad { table: "case", row: "s17", ..PLACE },
    ];
    for place in elsewhere {
        assert_eq!(vault.open(KeyClass::Case, &place, &sealed), Err(VaultError::Refused), "{place:?}");
    }
    assert_eq!(vault.open(KeyClass::Call, &PLACE, &sealed), Err(VaultError::OtherClass));
    // The same keys under another class: the class is bound, too.
    let mut passed_off = sealed;
    passed_off[1] = envelope::class_number(KeyClass::Call);
    assert_eq!(vault.open(KeyClass::Call, &PLACE, &passed_off), Err(VaultError::Refused));
}

#[test]
fn all_keys_open_and_the_first_seals() {
    let old = Vault::new([(KeyClass::Case, vec![key(1)])]);
    let both = Vault::new([(KeyClass::Case, vec![key(2), key(1)])]);
    let sealed = old.seal(KeyClass::Case, &PLACE, b"x").unwrap();
    assert_eq!(&*both.open(KeyClass::Case, &PLACE, &sealed).unwrap(), b"x");
    let sealed = both.seal(KeyClass::Case, &PLACE, b"x").unwrap();
    let class = KeyClass::Case;
    assert_eq!(old.open(class, &PLACE, &sealed), Err(VaultError::NoVersion { class, version: 2 }));
    assert_eq!(old.seal(KeyClass::Call, &PLACE, b"x"), Err(VaultError::NoKey { class: KeyClass::Call }));
}

#[test]
fn token_keys_come_in_the_order_they_were_given() {
    let vault = Vault::new([(KeyClass::Token, vec![key(2), key(3), key(1)])]);
    assert_eq!(vault.token_key().iter().map(|key| key.version).collect::<Vec<_>>(), [2, 3, 1]);
    assert!(Vault::new([(KeyClass::Token, vec![])]).token_key().is_empty());
}

#[test]
fn blind_indexes_match_within_their_domain_only() {
    let vault = vault();
    let index = vault.blind_index("staff", "ada");
    assert_eq!(index, vault.blind_index("staff", "ada"));
    assert_ne!(index, vault.blind_index("caller", "ada"));
    assert_ne!(vault.blind_index("ab", "c"), vault.blind_index("a", "bc"));
    let other = Vault::new([(KeyClass::BlindIndex, vec![key(9)])]);
    assert_ne!(index, other.blind_index("staff", "ada"));
}

#[test]
fn every_row_of_every_table_and_class_has_a_key_of_its_own() {
    let key = DataKey::new(key(1));
    let rows = [
        PLACE,
        Aad { row: "18", ..PLACE },
        Aad { table: "calls", ..PLACE },
        Aad { table: "case", row: "s17", ..PLACE },
    ];
    let places = KeyClass::ALL.into_iter().flat_map(|class| rows.map(|aad| (class, aad)));
    let keys: std::collections::HashSet<[u8; 32]> =
        places.map(|(class, aad)| *object_key(&key.extracted, class, &aad)).collect();
    assert_eq!(keys.len(), KeyClass::ALL.len() * rows.len());
    let other = DataKey::new(self::key(2));
    assert!(!keys.contains(&*object_key(&other.extracted, KeyClass::Case, &PLACE)), "a rotated key derives others");
}

/// Ten years under one version of the cache's key, by the shipped settings.
#[test]
fn nobody_can_have_so_many_answers_cached_that_random_nonces_meet() {
    let config = crate::config::Config::load(crate::config::LoadFrom::text("")).unwrap();
    let crate::config::Budget { requests, window_seconds } = config.rate.authenticated;
    let ten_years = 10 * 365 * 86_400 * u64::from(requests) / u64::from(window_seconds);
    assert!(ten_years < 1 << 32, "{ten_years}");
}

/// Project Wycheproof (C2SP), aes_gcm_test: every case of our key, nonce and tag lengths.
#[test]
fn the_cipher_passes_project_wycheproof() {
    let set = wycheproof::aead::TestSet::load(wycheproof::aead::TestName::AesGcm).unwrap();
    let ours = set
        .test_groups
        .into_iter()
        .filter(|group| (group.key_size, group.nonce_size, group.tag_size) == (256, 96, 128));
    let mut tried = 0;
    for test in ours.flat_map(|group| group.tests) {
        let key = envelope::gcm(test.key.as_slice().try_into().unwrap());
        let nonce = || Nonce::try_assume_unique_for_key(&test.nonce).unwrap();
        let mut sealed = [test.ct.as_slice(), &test.tag].concat();
        let opened = key.open_in_place(nonce(), aead::Aad::from(&test.aad), &mut sealed);
        match test.result {
            wycheproof::TestResult::Invalid => assert!(opened.is_err(), "case {}", test.tc_id),
            _ => {
                assert_eq!(opened.unwrap(), test.pt.as_slice(), "case {}", test.tc_id);
                let mut text = test.pt.to_vec();
                let tag = key.seal_in_place_separate_tag(nonce(), aead::Aad::from(&test.aad), &mut text).unwrap();
                assert_eq!(
                    (text.as_slice(), tag.as_ref()),
                    (test.ct.as_slice(), test.tag.as_slice()),
                    "case {}",
                    test.tc_id
                );
            }
        }
        tried += 1;
    }
    assert!(tried > 50, "{tried} cases");
}

proptest! {
    #[test]
    fn what_was_sealed_comes_back(plain in prop::collection::vec(any::<u8>(), 0..300), row in ".{0,20}") {
        let place = Aad { row: &row, ..PLACE };
        let sealed = vault().seal(KeyClass::Call, &place, &plain).unwrap();
        prop_assert_eq!(&*vault().open(KeyClass::Call, &place, &sealed).unwrap(), &plain);
    }

    #[test]
    fn no_changed_bit_opens(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut sealed = vault().seal(KeyClass::Call, &PLACE, b"evicted on Friday").unwrap();
        let at = at.index(sealed.len());
        sealed[at] ^= 1 << bit;
        prop_assert!(vault().open(KeyClass::Call, &PLACE, &sealed).is_err());
    }

    #[test]
    fn no_bytes_make_opening_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        prop_assert!(vault().open(KeyClass::Call, &PLACE, &bytes).is_err());
    }
}
