//! The data keys, wrapped, in `keyring.json`. Read and written by the supervisor alone.
//!
//! The file names every version of every class and the key that wrapped it. It is replaced whole,
//! with the old one still there until the new one is on disk.
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::rand;
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::provider::{FileKek, KeyProvider, ProviderError, write_private};
use super::{KeyBytes, KeyClass};

/// Every data key, unwrapped on request.
pub struct Keyring {
    path: PathBuf,
    provider: Box<dyn KeyProvider>,
    stored: Stored,
}

/// Why the keyring could not be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    #[error(transparent)]
    Provider(#[from] ProviderError),
    #[error("could not read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("could not understand {}", path.display())]
    Parse { path: PathBuf, source: serde_json::Error },
    #[error("could not use {}: its format is {format}, this program knows 1", path.display())]
    Format { path: PathBuf, format: u32 },
    #[error("could not use {}: its keys are wrapped by {wrapped_by}, the key at hand is {at_hand}", path.display())]
    OtherKek { path: PathBuf, wrapped_by: String, at_hand: String },
    #[error("could not write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{} holds no {class:?} key", path.display())]
    Missing { path: PathBuf, class: KeyClass },
    #[error("{} is missing, but {} is sealed under it: restore it from your backup; nothing was written", path.display(), data.display())]
    Lost { path: PathBuf, data: PathBuf },
}

impl Keyring {
    /// Opens `<state_dir>/keys`, making the folder, its key and a data key for each class as needed.
    pub fn open_or_create(state_dir: &Path) -> Result<Self, KeyringError> {
        let folder = state_dir.join("keys");
        refuse_to_replace(state_dir, &folder)?;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(|source| KeyringError::Write { path: folder.clone(), source })?;
        let kek = FileKek::open_or_create(&folder.join(KEK_FILE))?;
        Self::with_provider(&folder, Box::new(kek))
    }

    /// Opens what is there and makes nothing: for commands that only read.
    pub fn open(state_dir: &Path) -> Result<Self, KeyringError> {
        let folder = state_dir.join("keys");
        let kek = FileKek::open(&folder.join(KEK_FILE))?;
        let path = folder.join("keyring.json");
        let stored = read(&path)?.ok_or_else(|| KeyringError::Read {
            path: path.clone(),
            source: io::Error::from(io::ErrorKind::NotFound),
        })?;
        Self { path, provider: Box::new(kek), stored }.checked()
    }

    fn with_provider(folder: &Path, provider: Box<dyn KeyProvider>) -> Result<Self, KeyringError> {
        let path = folder.join("keyring.json");
        let stored =
            read(&path)?.unwrap_or_else(|| Stored { format: 1, kek: provider.id().to_owned(), keys: BTreeMap::new() });
        let mut keyring = Self { path, provider, stored }.checked()?;
        let missing: Vec<_> =
            KeyClass::ALL.into_iter().filter(|class| !keyring.stored.keys.contains_key(class)).collect();
        if !missing.is_empty() {
            missing.into_iter().try_for_each(|class| keyring.add_version(class))?;
            keyring.write()?;
        }
        Ok(keyring)
    }

    /// All versions of a class's key, newest first.
    pub fn unwrap(&self, class: KeyClass) -> Result<Vec<KeyBytes>, KeyringError> {
        let versions =
            self.stored.keys.get(&class).ok_or_else(|| KeyringError::Missing { path: self.path.clone(), class })?;
        let unwrapped = versions.iter().rev().map(|wrapped| {
            let bytes = self.provider.unwrap(&label(class, wrapped.version), &wrapped.wrapped.0)?;
            Ok(KeyBytes { version: wrapped.version, bytes: *bytes })
        });
        unwrapped.collect()
    }

    /// Adds a version to a class: new values are sealed with it, old ones still open.
    pub fn rotate(&mut self, class: KeyClass) -> Result<u16, KeyringError> {
        self.add_version(class)?;
        self.write()?;
        Ok(self.stored.keys[&class].last().map_or(0, |newest| newest.version))
    }

    fn add_version(&mut self, class: KeyClass) -> Result<(), KeyringError> {
        let versions = self.stored.keys.entry(class).or_default();
        let version = versions.last().map_or(1, |newest| newest.version + 1);
        let mut key = Zeroizing::new([0; 32]);
        rand::fill(&mut *key).map_err(|_| ProviderError::Random)?;
        let wrapped = self.provider.wrap(&label(class, version), &key)?;
        versions.push(WrappedKey { version, wrapped: Base64(wrapped) });
        Ok(())
    }

    /// Tries one key of each class now rather than when a worker asks for it.
    fn checked(self) -> Result<Self, KeyringError> {
        let path = || self.path.clone();
        if self.stored.format != 1 {
            return Err(KeyringError::Format { path: path(), format: self.stored.format });
        }
        if self.stored.kek != self.provider.id() {
            let (wrapped_by, at_hand) = (self.stored.kek.clone(), self.provider.id().to_owned());
            return Err(KeyringError::OtherKek { path: path(), wrapped_by, at_hand });
        }
        self.stored.keys.keys().try_for_each(|class| self.unwrap(*class).map(drop))?;
        Ok(self)
    }

    fn write(&self) -> Result<(), KeyringError> {
        let mut text = serde_json::to_vec_pretty(&self.stored).expect("strings and numbers are always JSON");
        text.push(b'\n');
        write_private(&self.path, &text).map_err(|source| KeyringError::Write { path: self.path.clone(), source })
    }
}

/// New keys over old data would leave it sealed for ever, and look like a start that went well.
fn refuse_to_replace(state_dir: &Path, folder: &Path) -> Result<(), KeyringError> {
    let (kek, keyring) = (folder.join(KEK_FILE), folder.join("keyring.json"));
    let logs = fs::read_dir(state_dir.join("audit")).into_iter().flatten().flatten().map(|entry| entry.path());
    let log = logs.filter(|path| path.extension().is_some_and(|extension| extension == "log")).min();
    let data = [Some(state_dir.join("store/hotline.db")), log].into_iter().flatten().find(|path| path.exists());
    match (kek.exists(), keyring.exists(), data) {
        (false, true, _) => Err(KeyringError::Lost { path: kek, data: keyring }),
        (false, false, Some(data)) => Err(KeyringError::Lost { path: kek, data }),
        (true, false, Some(data)) => Err(KeyringError::Lost { path: keyring, data }),
        _ => Ok(()),
    }
}

fn read(path: &Path) -> Result<Option<Stored>, KeyringError> {
    match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|source| KeyringError::Parse { path: path.to_owned(), source }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(KeyringError::Read { path: path.to_owned(), source }),
    }
}

/// Binds a wrapped key to its use: one class's key put in another's place does not unwrap.
fn label(class: KeyClass, version: u16) -> String {
    format!("hotline-data-key-v1:{class:?}:{version}")
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    format: u32,
    /// Id of the key that wrapped all of these.
    kek: String,
    /// Oldest version first.
    keys: BTreeMap<KeyClass, Vec<WrappedKey>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrappedKey {
    version: u16,
    wrapped: Base64,
}

#[derive(Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Base64(Vec<u8>);

impl Clone for Base64 {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

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

const KEK_FILE: &str = "kek-0001.key";

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn error(state_dir: &Path) -> String {
        match Keyring::open(state_dir) {
            Ok(_) => panic!("opened"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_same_keys_come_back_and_nobody_else_can_read_them() {
        let state = tempfile::tempdir().unwrap();
        let made = Keyring::open_or_create(state.path()).unwrap();
        let opened = Keyring::open_or_create(state.path()).unwrap();
        let mut seen = std::collections::HashSet::new();
        for class in KeyClass::ALL {
            let (before, after) = (made.unwrap(class).unwrap(), opened.unwrap(class).unwrap());
            assert_eq!(before[0].bytes, after[0].bytes);
            assert!(seen.insert(after[0].bytes), "two classes share a key");
        }
        for (name, mode) in [("keys", 0o700), ("keys/kek-0001.key", 0o600), ("keys/keyring.json", 0o600)] {
            let found = fs::metadata(state.path().join(name)).unwrap().permissions().mode() & 0o777;
            assert_eq!(found, mode, "{name}");
        }
    }

    #[test]
    fn a_rotated_class_seals_with_the_new_key_and_keeps_the_old() {
        let state = tempfile::tempdir().unwrap();
        let mut keyring = Keyring::open_or_create(state.path()).unwrap();
        assert_eq!(keyring.rotate(KeyClass::Token).unwrap(), 2);
        let keys = Keyring::open(state.path()).unwrap().unwrap(KeyClass::Token).unwrap();
        assert_eq!(keys.iter().map(|key| key.version).collect::<Vec<_>>(), [2, 1]);
    }

    #[test]
    fn an_exposed_short_or_other_key_is_named() {
        let state = tempfile::tempdir().unwrap();
        Keyring::open_or_create(state.path()).unwrap();
        let kek = state.path().join("keys/kek-0001.key");
        fs::set_permissions(&kek, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(error(state.path()).contains("640"), "{}", error(state.path()));
        fs::set_permissions(&kek, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&kek, [1; 31]).unwrap();
        assert!(error(state.path()).contains("31 bytes"));
        fs::write(&kek, [1; 32]).unwrap();
        assert!(error(state.path()).contains("are wrapped by"));
    }

    #[test]
    fn a_key_in_another_keys_place_does_not_unwrap() {
        let state = tempfile::tempdir().unwrap();
        let mut keyring = Keyring::open_or_create(state.path()).unwrap();
        let case = keyring.stored.keys[&KeyClass::Case][0].wrapped.clone();
        keyring.stored.keys.get_mut(&KeyClass::Call).unwrap()[0].wrapped = case;
        assert!(matches!(keyring.unwrap(KeyClass::Call), Err(KeyringError::Provider(ProviderError::Refused { .. }))));
        keyring.write().unwrap();
        assert!(error(state.path()).contains("could not unwrap"));
    }

    #[test]
    fn reading_commands_make_no_keys() {
        let state = tempfile::tempdir().unwrap();
        assert!(Keyring::open(state.path()).is_err());
        assert_eq!(fs::read_dir(state.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_lost_key_is_never_replaced_by_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        Keyring::open_or_create(folder.path()).unwrap();
        let (kek, keyring) = (folder.path().join("keys").join(KEK_FILE), folder.path().join("keys/keyring.json"));
        fs::rename(&kek, folder.path().join("away")).unwrap();
        assert!(matches!(Keyring::open_or_create(folder.path()), Err(KeyringError::Lost { .. })));
        assert!(!kek.exists(), "nothing was written");
        fs::rename(folder.path().join("away"), &kek).unwrap();
        Keyring::open_or_create(folder.path()).unwrap();
        fs::create_dir(folder.path().join("store")).unwrap();
        fs::write(folder.path().join("store/hotline.db"), "data").unwrap();
        fs::remove_file(&keyring).unwrap();
        assert!(matches!(Keyring::open_or_create(folder.path()), Err(KeyringError::Lost { .. })));
        fs::remove_file(&kek).unwrap();
        assert!(matches!(Keyring::open_or_create(folder.path()), Err(KeyringError::Lost { .. })));
    }
}
