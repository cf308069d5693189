//! `keyring.json` as it lies on disk: which keys there are, wrapped by what, and what becomes of each.
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use aws_lc_rs::rand;
use data_encoding::{BASE64, HEXLOWER};
use serde::{Deserialize, Serialize};

use super::keyring::KeyringError;
use super::private_file::write_private;
use super::provider::{Kek, ProviderError};
use super::{KeyClass, KeyState};
use crate::config::Provider;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stored {
    pub(super) format: u32,
    /// Random; tells the keys of this keyring from those of another in the same token.
    pub(super) ring: String,
    /// Oldest version first; the destroyed ones of a while among them.
    pub(super) keks: Vec<StoredKek>,
    /// Oldest version first.
    pub(super) keys: BTreeMap<KeyClass, Vec<WrappedKey>>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredKek {
    pub(super) kek: Kek,
    pub(super) state: KeyState,
    pub(super) made_at_ms: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrappedKey {
    pub(super) version: u16,
    pub(super) state: KeyState,
    pub(super) made_at_ms: u64,
    /// The version of the key that wrapped it.
    pub(super) kek: u32,
    /// Nothing is left of a destroyed one.
    pub(super) wrapped: Base64,
}

impl Stored {
    /// Without any key.
    pub(super) fn empty() -> Result<Self, ProviderError> {
        Ok(Self { format: FORMAT, ring: random_ring()?, keks: Vec::new(), keys: BTreeMap::new() })
    }

    /// What is there; nothing if there is no file.
    pub(super) fn read(path: &Path, now_ms: u64) -> Result<Option<Self>, KeyringError> {
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(KeyringError::Read { path: path.to_owned(), source }),
        };
        let parse = |source| KeyringError::Parse { path: path.to_owned(), source };
        let Format { format } = serde_json::from_slice(&text).map_err(parse)?;
        match format {
            1 => Ok(Some(Self::of_first(serde_json::from_slice(&text).map_err(parse)?, now_ms)?)),
            FORMAT => serde_json::from_slice(&text).map(Some).map_err(parse),
            format => Err(KeyringError::Format { path: path.to_owned(), format, known: FORMAT }),
        }
    }

    pub(super) fn write(&self, path: &Path) -> Result<(), KeyringError> {
        let mut text = serde_json::to_vec_pretty(self).expect("strings and numbers are always JSON");
        text.push(b'\n');
        write_private(path, &text).map_err(|source| KeyringError::Write { path: path.to_owned(), source })
    }

    /// The first format had one key over the keys, a file.
    fn of_first(first: First, now_ms: u64) -> Result<Self, ProviderError> {
        let kek = Kek { version: 1, provider: Provider::File, id: first.kek };
        let key = |(at, count): (usize, usize), key: FirstKey| WrappedKey {
            version: key.version,
            state: if at + 1 == count { KeyState::Active } else { KeyState::DecryptOnly },
            made_at_ms: now_ms,
            kek: 1,
            wrapped: key.wrapped,
        };
        let versions = |keys: Vec<FirstKey>| {
            let count = keys.len();
            keys.into_iter().enumerate().map(|(at, one)| key((at, count), one)).collect()
        };
        Ok(Self {
            format: FORMAT,
            ring: random_ring()?,
            keks: vec![StoredKek { kek, state: KeyState::Active, made_at_ms: now_ms }],
            keys: first.keys.into_iter().map(|(class, keys)| (class, versions(keys))).collect(),
        })
    }
}

fn random_ring() -> Result<String, ProviderError> {
    let mut bytes = [0; 8];
    rand::fill(&mut bytes).map_err(|_| ProviderError::Random)?;
    Ok(HEXLOWER.encode(&bytes))
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct First {
    #[serde(rename = "format")]
    _format: u32,
    kek: String,
    keys: BTreeMap<KeyClass, Vec<FirstKey>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FirstKey {
    version: u16,
    wrapped: Base64,
}

/// Bytes in a text file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Base64(pub(super) Vec<u8>);

impl From<Base64> for String {
    fn from(bytes: Base64) -> Self {
        BASE64.encode(&bytes.0)
    }
}

impl TryFrom<String> for Base64 {
    type Error = data_encoding::DecodeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        BASE64.decode(text.as_bytes()).map(Self)
    }
}

pub(super) const FORMAT: u32 = 2;
