//! A keyring in a temporary folder, for tests.
use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::keyring::{KEYRING, Keyring, KeyringError};
use crate::config::{Config, Keys, LoadFrom};

/// The state folder of nobody.
pub(super) struct Ring {
    pub(super) state: TempDir,
    pub(super) settings: Keys,
    pub(super) credentials: Option<PathBuf>,
}

impl Ring {
    /// With the settings of the shipped file, made at the beginning of time.
    pub(super) fn new() -> Self {
        let ring = Self::nothing();
        ring.open().unwrap();
        ring
    }

    pub(super) fn nothing() -> Self {
        let settings = Config::load(LoadFrom::text("")).unwrap().keys;
        Self { state: tempfile::tempdir().unwrap(), settings, credentials: None }
    }

    /// As the supervisor does.
    pub(super) fn open(&self) -> Result<Keyring, KeyringError> {
        Keyring::open_or_create_with(self.state.path(), &self.settings, self.credentials.clone(), 0)
    }

    pub(super) fn path(&self) -> PathBuf {
        self.state.path().join("keys").join(KEYRING)
    }

    pub(super) fn text(&self) -> String {
        fs::read_to_string(self.path()).unwrap()
    }

    pub(super) fn put(&self, text: &str) {
        fs::write(self.path(), text).unwrap();
    }

    /// Files of the keys folder that hold a key over the keys.
    pub(super) fn kek_files(&self) -> Vec<String> {
        let files = fs::read_dir(self.state.path().join("keys")).unwrap();
        let mut names: Vec<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| name.ends_with(".key"));
        names.sort();
        names
    }
}
