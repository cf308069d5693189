//! A sealed value opens in its place, with its keys, and nowhere else.
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
