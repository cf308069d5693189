//! The data keys, wrapped, in `keyring.json`; read and written by the supervisor and its helpers alone.
//!
//! The file names every version of every key, what becomes of it and what wrapped it. It is replaced whole, with
//! the old one still there until the new one is on disk, by one process at a time.
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::rand;
use nix::fcntl::{Flock, FlockArg};
use zeroize::Zeroizing;

use super::data_keys::DataKeys;
use super::provider::ProviderError;
use super::providers::Providers;
use super::stored::{Base64, Stored, StoredKek, WrappedKey};
use super::{KeyBytes, KeyClass, KeyState};
use crate::config::Keys;

/// Every data key, unwrapped on request.
pub struct Keyring {
    pub(super) path: PathBuf,
    pub(super) providers: Providers,
    pub(super) stored: Stored,
    /// Of whoever may change it.
    _alone: Option<Flock<File>>,
}

/// Why the keyring could not be used, or not be changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    #[error(transparent)]
    Provider(#[from] ProviderError),
    #[error("could not read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("could not understand {}: {source}", path.display())]
    Parse { path: PathBuf, source: serde_json::Error },
    #[error("could not use {}: its format is {format}, this program knows {known}", path.display())]
    Format { path: PathBuf, format: u32, known: u32 },
    #[error("could not use {}: it names no key that wraps", path.display())]
    NoKek { path: PathBuf },
    #[error("could not write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("another process is changing {}", path.display())]
    InUse { path: PathBuf },
    #[error("{} holds no {class:?} key", path.display())]
    Missing { path: PathBuf, class: KeyClass },
    #[error("{} is missing, but {} is sealed under it: restore it from your backup; nothing was written", path.display(), data.display())]
    Lost { path: PathBuf, data: PathBuf },
    #[error("{}", said)]
    NotNow { said: String },
}

impl KeyringError {
    /// Whether the same may go well later, with nobody changing anything.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Provider(error) => error.may_pass(),
            Self::Read { .. } | Self::Write { .. } | Self::InUse { .. } => true,
            _ => false,
        }
    }
}

impl Keyring {
    /// Opens `<state_dir>/keys` to change it: makes the folder and the keys that are missing, finishes what a crash
    /// interrupted, and moves to the provider of the settings.
    pub fn open_or_create(state_dir: &Path, keys: &Keys, now_ms: u64) -> Result<Self, KeyringError> {
        Self::open_or_create_with(state_dir, keys, credentials(), now_ms)
    }

    pub(super) fn open_or_create_with(
        state_dir: &Path,
        keys: &Keys,
        credentials: Option<PathBuf>,
        now_ms: u64,
    ) -> Result<Self, KeyringError> {
        let folder = state_dir.join("keys");
        let path = folder.join(KEYRING);
        let stored = Stored::read(&path, now_ms)?;
        if stored.is_none() {
            refuse_to_replace(state_dir, &path)?;
        }
        let mut builder = DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(&folder);
        made.map_err(|source| KeyringError::Write { path: folder.clone(), source })?;
        let alone = lock(&folder)?;
        // Only whoever holds the lock reads what counts.
        let stored = match Stored::read(&path, now_ms)? {
            Some(stored) => stored,
            None => Stored::empty()?,
        };
        let providers = Providers::new(&folder, keys, credentials, &stored.ring);
        let mut keyring = Self { path, providers, stored, _alone: Some(alone) };
        keyring.settle(now_ms)?;
        Ok(keyring)
    }

    /// Opens what is there and makes nothing: for those who only read.
    pub fn open(state_dir: &Path, keys: &Keys) -> Result<Self, KeyringError> {
        let folder = state_dir.join("keys");
        let path = folder.join(KEYRING);
        let missing = || KeyringError::Read { path: path.clone(), source: io::ErrorKind::NotFound.into() };
        let stored = Stored::read(&path, 0)?.ok_or_else(missing)?;
        let providers = Providers::new(&folder, keys, credentials(), &stored.ring);
        Ok(Self { path, providers, stored, _alone: None })
    }

    /// Every data key in clear. Each is tried, so that a key that does not open is known before a worker asks for it.
    pub fn data_keys(&self) -> Result<DataKeys, KeyringError> {
        self.unwrap_all(|_| true)
    }

    fn unwrap_all(&self, wanted: impl Fn(KeyClass) -> bool) -> Result<DataKeys, KeyringError> {
        let mut all = DataKeys::default();
        for (class, versions) in self.stored.keys.iter().filter(|(class, _)| wanted(**class)) {
            for wrapped in versions.iter().filter(|wrapped| wrapped.state.opens()) {
                let bytes = *self.unwrap_one(*class, wrapped)?;
                all.insert(*class, wrapped.state, KeyBytes { version: wrapped.version, bytes });
            }
        }
        Ok(all)
    }

    /// The versions of one class, the one that seals first.
    pub fn unwrap(&self, class: KeyClass) -> Result<Vec<KeyBytes>, KeyringError> {
        let keys = self.unwrap_all(|one| one == class)?.of(class);
        if keys.is_empty() {
            return Err(KeyringError::Missing { path: self.path.clone(), class });
        }
        Ok(keys)
    }

    /// What there is, for people.
    pub fn listing(&self) -> super::Listing {
        super::Listing::of(&self.stored)
    }

    /// First start: a key over the keys and a data key for each class. Later: what is missing of it.
    fn settle(&mut self, now_ms: u64) -> Result<(), KeyringError> {
        if self.stored.keks.is_empty() {
            // A key that a crash leaves in a token is found again by the number that is written here.
            self.write()?;
            let kek = self.providers.make(1)?;
            self.stored.keks.push(StoredKek { kek, state: KeyState::Active, made_at_ms: now_ms });
        }
        let versions = &self.stored.keys;
        let is_missing = |class: &KeyClass| versions.get(class).is_none_or(Vec::is_empty);
        let missing: Vec<_> = KeyClass::ALL.into_iter().filter(is_missing).collect();
        let is_new = !missing.is_empty();
        for class in missing {
            self.push_version(class, KeyState::Active, now_ms)?;
        }
        if is_new {
            self.write()?;
        }
        self.settle_kek(now_ms)
    }

    pub(super) fn push_version(&mut self, class: KeyClass, state: KeyState, now_ms: u64) -> Result<u16, KeyringError> {
        let newest = self.stored.keys.get(&class).and_then(|versions| versions.last());
        let version = newest.map_or(Some(1), |newest| newest.version.checked_add(1));
        let version = version.ok_or_else(|| KeyringError::NotNow { said: format!("{class:?} has had 65,535 keys") })?;
        let mut key = Zeroizing::new([0; 32]);
        rand::fill(&mut *key).map_err(|_| ProviderError::Random)?;
        let kek = self.active_kek()?.kek.clone();
        let wrapped = Base64(self.providers.wrap(&kek, &label(class, version), &key)?);
        let entry = WrappedKey { version, state, made_at_ms: now_ms, kek: kek.version, wrapped };
        self.stored.keys.entry(class).or_default().push(entry);
        Ok(version)
    }

    pub(super) fn unwrap_one(&self, class: KeyClass, key: &WrappedKey) -> Result<Zeroizing<[u8; 32]>, KeyringError> {
        let kek = self.stored.keks.iter().find(|one| one.kek.version == key.kek && one.state.opens());
        let kek = kek.ok_or_else(|| KeyringError::NoKek { path: self.path.clone() })?;
        Ok(self.providers.unwrap(&kek.kek, &label(class, key.version), &key.wrapped.0)?)
    }

    pub(super) fn active_kek(&self) -> Result<&StoredKek, KeyringError> {
        let active = self.stored.keks.iter().rev().find(|kek| kek.state == KeyState::Active);
        active.ok_or_else(|| KeyringError::NoKek { path: self.path.clone() })
    }

    pub(super) fn write(&self) -> Result<(), KeyringError> {
        self.stored.write(&self.path)
    }
}

/// New keys over old data would leave it sealed for ever, and look like a start that went well.
fn refuse_to_replace(state_dir: &Path, keyring: &Path) -> Result<(), KeyringError> {
    let logs = fs::read_dir(state_dir.join("audit")).into_iter().flatten().flatten().map(|entry| entry.path());
    let log = logs.filter(|path| path.extension().is_some_and(|extension| extension == "log")).min();
    let data = [Some(state_dir.join("store/hotline.db")), log].into_iter().flatten().find(|path| path.exists());
    data.map_or(Ok(()), |data| Err(KeyringError::Lost { path: keyring.to_owned(), data }))
}

/// Held by whoever changes keys; lost with its process.
fn lock(folder: &Path) -> Result<Flock<File>, KeyringError> {
    let path = folder.join("keyring.lock");
    let failed = |source| KeyringError::Write { path: path.clone(), source };
    let file = File::options().create(true).append(true).mode(0o600).open(&path).map_err(failed)?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|_| KeyringError::InUse { path: folder.join(KEYRING) })
}

/// Where the service manager puts what it unsealed for us.
fn credentials() -> Option<PathBuf> {
    std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from)
}

/// Binds a wrapped key to its use: one class's key put in another's place does not unwrap.
pub(super) fn label(class: KeyClass, version: u16) -> String {
    format!("hotline-data-key-v1:{class:?}:{version}")
}

pub(super) const KEYRING: &str = "keyring.json";

#[cfg(test)]
#[path = "keyring_tests.rs"]
mod tests;
