//! A new key over the keys: made, every data key wrapped anew, the former one destroyed.
//!
//! Data keys are few, so all are wrapped anew at once and at most one older version is ever around, for moments. The
//! keyring that names the new key is on disk before the old key goes; whenever the process dies, the keyring opens,
//! and whoever opens it next to change it finishes what was begun.
use super::KeyState;
use super::keyring::{Keyring, KeyringError, label};
use super::stored::{Base64, Stored, StoredKek, WrappedKey};

/// What is done and lasts, step by step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The provider has the new key; nothing says so.
    Made,
    /// The keyring has every data key under the new one; the former one is decrypt-only and needed by nobody.
    Rewrapped,
    /// The provider has the former key no more.
    Destroyed,
    /// The keyring says so.
    Noted,
}

impl Keyring {
    /// Puts a new version in place of the key over the keys; tells its number.
    pub fn rotate_kek(&mut self, now_ms: u64) -> Result<u32, KeyringError> {
        self.rotate_kek_stepwise(now_ms, &mut |_| Ok(()))
    }

    /// What a crash, or a provider that was away, has left undone; and the way to the provider of the settings.
    pub(super) fn settle_kek(&mut self, now_ms: u64) -> Result<(), KeyringError> {
        let active = self.active_kek()?.kek.clone();
        if self.providers.moves_from(&active)? {
            self.rotate_kek(now_ms)?;
        }
        self.destroy_former(&mut |_| Ok(()))
    }

    pub(super) fn rotate_kek_stepwise(
        &mut self,
        now_ms: u64,
        after: &mut dyn FnMut(Step) -> Result<(), KeyringError>,
    ) -> Result<u32, KeyringError> {
        let former = self.active_kek()?.kek.clone();
        if !self.providers.makes_its_own() && !self.providers.moves_from(&former)? {
            let said = "this key is a credential, which only whoever made it can replace: put another in its place, \
                        keep this one beside it as <name>.former, and start the service again";
            return Err(KeyringError::NotNow { said: said.to_owned() });
        }
        let newest = self.stored.keks.iter().map(|one| one.kek.version).max().unwrap_or(0);
        let kek = self.providers.make(newest + 1)?;
        after(Step::Made)?;
        let version = kek.version;
        let mut stored = self.rewrapped_under(StoredKek { kek, state: KeyState::Active, made_at_ms: now_ms })?;
        for one in stored.keks.iter_mut().filter(|one| one.kek.version != version && one.state.opens()) {
            one.state = KeyState::DecryptOnly;
        }
        stored.write(&self.path)?;
        // Not before: whoever goes on after an error must see what is on disk.
        self.stored = stored;
        after(Step::Rewrapped)?;
        self.destroy_former(after)?;
        Ok(version)
    }

    /// Every data key that opens, under another key; each is unwrapped again before anything relies on it.
    fn rewrapped_under(&self, by: StoredKek) -> Result<Stored, KeyringError> {
        let mut stored = self.stored.clone();
        for (class, versions) in &mut stored.keys {
            for key in versions.iter_mut().filter(|key| key.state.opens()) {
                let plain = self.unwrap_one(*class, key)?;
                let label = label(*class, key.version);
                let wrapped = self.providers.wrap(&by.kek, &label, &plain)?;
                if *self.providers.unwrap(&by.kek, &label, &wrapped)? != *plain {
                    let said = format!("{} gave back another key than it was given", by.kek.id);
                    return Err(KeyringError::NotNow { said });
                }
                *key = WrappedKey { kek: by.kek.version, wrapped: Base64(wrapped), ..key.clone() };
            }
        }
        stored.keks.push(by);
        Ok(stored)
    }

    /// Keys that wrap nothing any more. One that cannot be destroyed now stays decrypt-only, and is tried again later.
    fn destroy_former(&mut self, after: &mut dyn FnMut(Step) -> Result<(), KeyringError>) -> Result<(), KeyringError> {
        let is_needed = |stored: &Stored, version: u32| {
            stored.keys.values().flatten().any(|key| key.state.opens() && key.kek == version)
        };
        let former = self.stored.keks.iter().filter(|one| one.state == KeyState::DecryptOnly).map(|one| &one.kek);
        let former: Vec<_> = former.filter(|kek| !is_needed(&self.stored, kek.version)).cloned().collect();
        if former.is_empty() {
            return Ok(());
        }
        for kek in &former {
            if let Err(error) = self.providers.destroy(kek) {
                tracing::error!(id = kek.id, %error, "a former key over the keys could not be destroyed; it is tried again");
                continue;
            }
            for one in self.stored.keks.iter_mut().filter(|one| one.kek == *kek) {
                one.state = KeyState::Destroyed;
            }
        }
        after(Step::Destroyed)?;
        let destroyed = self.stored.keks.iter().filter(|one| one.state == KeyState::Destroyed).count();
        let mut superfluous = destroyed.saturating_sub(DESTROYED_NAMED_MAX);
        self.stored.keks.retain(|one| {
            let goes = one.state == KeyState::Destroyed && superfluous > 0;
            superfluous -= usize::from(goes);
            !goes
        });
        self.write()?;
        after(Step::Noted)
    }
}

/// The keyring names so many destroyed keys; the audit log has them all.
const DESTROYED_NAMED_MAX: usize = 8;

#[cfg(test)]
#[path = "kek_rotation_tests.rs"]
mod tests;
