//! Keys and sealing: nothing that names a caller or repeats their words reaches a disk in clear.
//!
//! A worker holds data keys by class, as its role allows (`wire::keys_of`). Sealing derives a key for
//! the one object and binds the ciphertext to the place it is kept at, so that a value copied to
//! another row, column or version does not open. The keys themselves lie wrapped in the keyring,
//! which only the supervisor reads.
//!
//! Nonces are random, so a key may seal 2^32 values and no more. No key comes near: an object's key is of one row, and
//! is used once for each version of its few columns (a version is a `u32`, and all versions are kept); a cached answer's
//! is of one person and path, whom `rate.authenticated` bounds; a key over the keys wraps each data key once. The audit
//! log and TLS tickets count for themselves (`audit::AuditKeys`, `tickets::Sealer`).
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
mod soft_kek;
mod state;
mod stored;
#[cfg(test)]
mod testing;
mod token;

use std::collections::BTreeMap;

use aws_lc_rs::{hkdf, hmac, rand};
use zeroize::Zeroizing;

pub use aad::Aad;
pub use class::KeyClass;
pub use data_keys::DataKeys;
pub use keyring::{Keyring, KeyringError};
pub use listing::{ListedKek, ListedKey, Listing};
pub(crate) use private_file::write_private;
pub use provider::ProviderError;
pub use state::KeyState;

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
    #[error("could not open: not a sealed value of format {}", envelope::FORMAT)]
    Malformed,
    #[error("could not open: sealed for another class of keys")]
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
        let header = envelope::Header { class, key_version: key.secret.version };
        envelope::seal(&key.object_key(class, aad), header, aad, plain)
    }

    /// Opens what was sealed for exactly this class and place.
    pub fn open(&self, class: KeyClass, aad: &Aad<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let header = envelope::Header::read(sealed)?;
        if header.class != class {
            return Err(VaultError::OtherClass);
        }
        let versions = self.classes.get(&class).ok_or(VaultError::NoKey { class })?;
        let version = header.key_version;
        let key = versions
            .iter()
            .find(|key| key.secret.version == version)
            .ok_or(VaultError::NoVersion { class, version })?;
        envelope::open(&key.object_key(class, aad), header, aad, sealed)
    }

    /// What every value begins with that is sealed for this class now.
    pub fn head(&self, class: KeyClass) -> Result<[u8; envelope::HEADER_BYTES], VaultError> {
        Ok(envelope::Header { class, key_version: self.sealing(class)?.secret.version }.bytes())
    }

    /// Class and key version of a value that begins so; nothing if we did not seal it.
    pub fn sealed_under(head: &[u8; envelope::HEADER_BYTES]) -> Option<(KeyClass, u16)> {
        let header = envelope::Header::of(*head).ok()?;
        Some((header.class, header.key_version))
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

    /// The key of one object. Random nonces under a key that seals a handful of values never meet.
    fn object_key(&self, class: KeyClass, aad: &Aad<'_>) -> Zeroizing<[u8; 32]> {
        let info =
            aad::length_prefixed([&[envelope::class_number(class)][..], aad.table.as_bytes(), aad.row.as_bytes()]);
        let mut key = Zeroizing::new([0; 32]);
        self.extracted
            .expand(&[&info], hkdf::HKDF_SHA256)
            .and_then(|material| material.fill(&mut *key))
            .expect("32 bytes are one block of HKDF-SHA256, and names are short of its limit");
        key
    }
}

#[cfg(test)]
mod tests;
