//! A new data key for a class, in two steps with every worker's replacement between them; and the end of an old one.
//!
//! A worker that seals with a key nobody else has yet would write what the others cannot read. So a new version is
//! `next` at first: handed to every worker as it is replaced, used by none to seal. When all have it, it becomes
//! `active`, and the workers are replaced once more.
use super::keyring::{Keyring, KeyringError};
use super::stored::{Base64, WrappedKey};
use super::{KeyClass, KeyState};

impl Keyring {
    /// Adds a version that opens and does not seal yet; the one that is there already if a rotation was interrupted.
    pub fn add_next(&mut self, class: KeyClass, now_ms: u64) -> Result<u16, KeyringError> {
        if let Some(why) = fixed(class) {
            return refused(why);
        }
        if let Some(next) = self.find(class, KeyState::Next) {
            return Ok(next.version);
        }
        let version = self.push_version(class, KeyState::Next, now_ms)?;
        self.write()?;
        Ok(version)
    }

    /// The next version seals from now on; the one before opens. Nothing is unwrapped for it.
    pub fn activate_next(&mut self, class: KeyClass) -> Result<u16, KeyringError> {
        let Some(version) = self.find(class, KeyState::Next).map(|next| next.version) else {
            return refused(&format!("there is no next {} key", class.name()));
        };
        for key in self.stored.keys.get_mut(&class).into_iter().flatten() {
            key.state = match key.state {
                KeyState::Next => KeyState::Active,
                KeyState::Active => KeyState::DecryptOnly,
                state => state,
            };
        }
        self.write()?;
        Ok(version)
    }

    /// Ends a version for good. The caller knows that nothing is sealed under it. The key over the keys changes with
    /// it where it can: a copy of the keyring from before does not open any more either.
    pub fn destroy(&mut self, class: KeyClass, version: u16, now_ms: u64) -> Result<(), KeyringError> {
        self.may_destroy(class, version)?;
        let versions = self.stored.keys.get_mut(&class).into_iter().flatten();
        for key in versions.filter(|key| key.version == version) {
            (key.state, key.wrapped) = (KeyState::Destroyed, Base64(Vec::new()));
        }
        self.write()?;
        if self.providers.makes_its_own() {
            self.rotate_kek(now_ms)?;
        }
        Ok(())
    }

    /// Whether this version may end, as far as the keyring knows.
    pub fn may_destroy(&self, class: KeyClass, version: u16) -> Result<(), KeyringError> {
        let versions = self.stored.keys.get(&class).into_iter().flatten();
        let named = |state: &str| format!("version {version} of the {} key {state}", class.name());
        match versions.into_iter().find(|key| key.version == version).map(|key| key.state) {
            Some(KeyState::DecryptOnly) => Ok(()),
            Some(KeyState::Active) => refused(&named("is active: rotate it first")),
            Some(KeyState::Next) => refused(&named("is about to become active")),
            Some(KeyState::Destroyed) => refused(&named("is destroyed already")),
            None => refused(&format!("there is no version {version} of the {} key", class.name())),
        }
    }

    fn find(&self, class: KeyClass, state: KeyState) -> Option<&WrappedKey> {
        self.stored.keys.get(&class)?.iter().find(|key| key.state == state)
    }
}

/// Why a class keeps its one key.
fn fixed(class: KeyClass) -> Option<&'static str> {
    match class {
        KeyClass::BlindIndex => Some(
            "the blind-index key cannot be rotated: names are found and passwords checked by digests under it, and no \
             digest can be made anew without the name or the password",
        ),
        KeyClass::LogSigning => {
            Some("the log-signing key cannot be rotated: whoever checks the transparency log knows it by this key")
        }
        KeyClass::Audit | KeyClass::Cache | KeyClass::Call | KeyClass::Case | KeyClass::Person | KeyClass::Token => {
            None
        }
    }
}

fn refused<T>(said: &str) -> Result<T, KeyringError> {
    Err(KeyringError::NotNow { said: said.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::testing::Ring;

    fn versions(ring: &Ring, class: KeyClass) -> Vec<u16> {
        ring.open().unwrap().data_keys().unwrap().of(class).iter().map(|key| key.version).collect()
    }

    #[test]
    fn a_new_key_is_known_to_all_before_it_seals() {
        let ring = Ring::new();
        let mut keyring = ring.open().unwrap();
        assert_eq!(keyring.add_next(KeyClass::Case, 1).unwrap(), 2);
        assert_eq!(keyring.add_next(KeyClass::Case, 2).unwrap(), 2, "an interrupted rotation goes on");
        drop(keyring);
        assert_eq!(versions(&ring, KeyClass::Case), [1, 2], "the first seals");
        assert_eq!(ring.open().unwrap().activate_next(KeyClass::Case).unwrap(), 2);
        assert_eq!(versions(&ring, KeyClass::Case), [2, 1]);
        assert!(ring.open().unwrap().activate_next(KeyClass::Case).is_err());
        for class in [KeyClass::BlindIndex, KeyClass::LogSigning] {
            assert!(
                ring.open().unwrap().add_next(class, 1).is_err_and(|error| error.to_string().contains("cannot be"))
            );
        }
    }

    #[test]
    fn only_what_seals_no_more_is_destroyed_and_copies_go_with_it() {
        let ring = Ring::new();
        let mut keyring = ring.open().unwrap();
        keyring.add_next(KeyClass::Call, 1).unwrap();
        let told = |error: KeyringError| error.to_string();
        assert!(told(keyring.destroy(KeyClass::Call, 1, 1).unwrap_err()).contains("is active"));
        keyring.activate_next(KeyClass::Call).unwrap();
        let copy = ring.text();
        keyring.destroy(KeyClass::Call, 1, 1).unwrap();
        assert!(told(keyring.destroy(KeyClass::Call, 1, 1).unwrap_err()).contains("destroyed already"));
        assert!(told(keyring.destroy(KeyClass::Call, 9, 1).unwrap_err()).contains("no version 9"));
        drop(keyring);
        assert_eq!(versions(&ring, KeyClass::Call), [2]);
        ring.put(&copy);
        assert!(ring.open().unwrap().data_keys().is_err(), "a keyring from before has lost its key");
    }
}
