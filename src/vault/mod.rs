//! Keys and sealing: nothing that names a caller or repeats their words reaches a disk in clear.
//!
//! A worker holds data keys by class, as its role allows (`wire::keys_of`). Sealing derives a key for
//! the one object and binds the ciphertext to the place it is kept at, so that a value copied to
//! another row, column or version does not open. The keys themselves lie wrapped in the keyring,
//! which only the supervisor reads.
//!
//! Between the data key of a class and what is said of one person lies a key of that person ([`SubjectKey`]): the data
//! key wraps it, it seals the values, and with it they all end. Recordings are sealed in pieces (`segments`).
//!
//! Nonces are random, so a key may seal 2^32 values and no more. No key comes near: an object's key is of one row, and
//! is used once for each version of its few columns (a version is a `u32`, and all versions are kept); a cached answer's
//! is of one person and path, whom `rate.authenticated` bounds; a key over the keys wraps each data key once. The audit
//! log, TLS tickets and recordings count for themselves (`audit::AuditKeys`, `tickets::Sealer`, `segments`).
mod aad;
mod class;
mod credential_kek;
mod data_keys;
mod envelope;
mod file_keks;
mod kek_rotation;
mod keyring;
mod listing;
mod pkcs11_kek;
mod private_file;
mod provider;
mod providers;
mod rotation;
mod segments;
mod soft_kek;
mod state;
mod stored;
mod subject;
#[cfg(test)]
mod testing;
mod token;

use std::collections::BTreeMap;

use aws_lc_rs::{hkdf, hmac, rand};
use zeroize::Zeroizing;

pub use aad::Aad;
pub use class::KeyClass;
pub use data_keys::DataKeys;
pub use envelope::{Head, Under};
pub use keyring::{Keyring, KeyringError};
pub use listing::{ListedKek, ListedKey, Listing};
pub use private_file::write_private;
pub use provider::ProviderError;
pub use segments::{SealingWriter, SegmentReader};
pub use state::KeyState;
pub use subject::SubjectKey;

pub use crate::wire::KeyBytes;

/// One worker's data keys. Wiped from memory when dropped.
pub struct Vault {
    classes: BTreeMap<KeyClass, Vec<DataKey>>,
}

/// Why something could not be sealed or opened. Says nothing about what is inside.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum VaultError {
    #[error("could not use the {class:?} key: this process was not given it")]
    NoKey { class: KeyClass },
    #[error("could not open: version {version} of the {class:?} key is not in the keyring")]
    NoVersion { class: KeyClass, version: u16 },
    #[error("could not open: not a sealed value of a format that is known here")]
    Malformed,
    #[error("could not open: sealed for another class of keys, or under another kind of key")]
    OtherClass,
    #[error("could not open: changed, or sealed for another place")]
    Refused,
    #[error("could not seal: the value is too long")]
    TooLong,
    #[error("could not have random bytes from the system")]
    Random,
}

impl Vault {
    /// Takes the keys of each class. The first seals; all of them open.
    pub fn new(keys: impl IntoIterator<Item = (KeyClass, Vec<KeyBytes>)>) -> Self {
        let mut classes = BTreeMap::new();
        for (class, versions) in keys {
            let versions: Vec<_> = versions.into_iter().map(DataKey::new).collect();
            if !versions.is_empty() {
                classes.insert(class, versions);
            }
        }
        Self { classes }
    }

    /// Seals a value for the place `aad` names.
    pub fn seal(&self, class: KeyClass, aad: &Aad<'_>, plain: &[u8]) -> Result<Vec<u8>, VaultError> {
        let key = self.sealing(class)?;
        let head = Under::Class(class, key.secret.version).head();
        envelope::seal(&object_key(&key.extracted, class, aad), head, aad.bytes(&head), plain)
    }

    /// Opens what was sealed for exactly this class and place.
    pub fn open(&self, class: KeyClass, aad: &Aad<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let under = Under::read(sealed)?;
        let version = match under {
            Under::Class(of, version) if of == class => version,
            _ => return Err(VaultError::OtherClass),
        };
        let versions = self.classes.get(&class).ok_or(VaultError::NoKey { class })?;
        let key = versions
            .iter()
            .find(|key| key.secret.version == version)
            .ok_or(VaultError::NoVersion { class, version })?;
        envelope::open(&object_key(&key.extracted, class, aad), aad.bytes(&under.head()), sealed)
    }

    /// What this class's data key seals under now.
    pub fn newest(&self, class: KeyClass) -> Result<Under, VaultError> {
        Ok(Under::Class(class, self.sealing(class)?.secret.version))
    }

    /// A digest that finds equal values without telling them. `domain` keeps the names of staff and
    /// of callers from matching each other. The key of [`KeyClass::BlindIndex`]
    /// is never rotated: names could not be found and passwords not be checked any more.
    ///
    /// # Panics
    /// If this process was not given the blind-index key; every role that has a store is.
    pub fn blind_index(&self, domain: &str, value: &str) -> [u8; 32] {
        let key = self.sealing(KeyClass::BlindIndex).expect("a role with a store is given the blind-index key");
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &key.secret.bytes));
        context.update(&aad::length_prefixed([b"hotline-blind-index-v1", domain.as_bytes(), value.as_bytes()]));
        context.sign().as_ref().try_into().expect("HMAC-SHA256 gives 32 bytes")
    }

    /// The versions of the key that signs session tokens, the one that signs first; empty where the role has none.
    pub fn token_key(&self) -> Vec<&KeyBytes> {
        self.classes.get(&KeyClass::Token).into_iter().flatten().map(|key| &key.secret).collect()
    }

    fn sealing(&self, class: KeyClass) -> Result<&DataKey, VaultError> {
        self.classes.get(&class).and_then(|versions| versions.first()).ok_or(VaultError::NoKey { class })
    }
}

/// A number nobody can guess, for naming a start of the service.
pub fn random_u64() -> Result<u64, VaultError> {
    let mut bytes = [0; 8];
    rand::fill(&mut bytes).map_err(|_| VaultError::Random)?;
    Ok(u64::from_le_bytes(bytes))
}

/// One version of a class's key, with its extraction done once.
struct DataKey {
    secret: KeyBytes,
    extracted: hkdf::Prk,
}

impl DataKey {
    fn new(secret: KeyBytes) -> Self {
        let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, b"hotline-vault-v1").extract(&secret.bytes);
        Self { secret, extracted }
    }
}

/// The key of one object. Random nonces under a key that seals a handful of values never meet.
fn object_key(extracted: &hkdf::Prk, class: KeyClass, aad: &Aad<'_>) -> Zeroizing<[u8; 32]> {
    let info = aad::length_prefixed([&[envelope::class_number(class)][..], aad.table.as_bytes(), aad.row.as_bytes()]);
    expand(extracted, &info)
}

fn expand(extracted: &hkdf::Prk, info: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    extracted
        .expand(&[info], hkdf::HKDF_SHA256)
        .and_then(|material| material.fill(&mut *key))
        .expect("32 bytes are one block of HKDF-SHA256, and names are short of its limit");
    key
}

#[cfg(test)]
mod tests;
