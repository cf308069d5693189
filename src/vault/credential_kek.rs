//! The key over the keys as the service manager hands it over: a file in `$CREDENTIALS_DIRECTORY`, which the manager
//! unsealed (with the machine's TPM, if the unit says so) for this service alone and takes away when it stops.
//!
//! We can neither make nor destroy such a key. Whoever has made it replaces it: the new one takes its name, the one
//! before stays beside it as `<name>.former` for one start, at which the data keys are wrapped anew.
use std::path::PathBuf;

use zeroize::Zeroizing;

use super::provider::{Kek, KeyProvider, ProviderError};
use super::soft_kek::{SoftKek, is_missing};

/// The credential of that name, and the one before.
pub(super) struct CredentialKek {
    folder: Option<PathBuf>,
    name: String,
}

impl CredentialKek {
    pub(super) fn new(folder: Option<PathBuf>, name: &str) -> Self {
        Self { folder, name: name.to_owned() }
    }

    fn read(&self, file: &str) -> Result<SoftKek, ProviderError> {
        let folder = self.folder.as_ref().ok_or_else(|| ProviderError::NoCredentials { name: self.name.clone() })?;
        // The manager gives them to root with an entry for our user, which shows as the group's.
        SoftKek::read(&folder.join(file), "credential", 0o440)
    }

    /// The present one or the one before, whichever the keyring means.
    fn kek(&self, kek: &Kek) -> Result<SoftKek, ProviderError> {
        match self.read(&format!("{}.former", self.name)) {
            Ok(former) if former.id() == kek.id => Ok(former),
            Err(error) if !is_missing(&error) => Err(error),
            _ => self.read(&self.name)?.expect(kek),
        }
    }

    /// Whether the credential is another key than the keyring's: then it has been replaced.
    pub(super) fn follows(&self, active: &Kek) -> Result<bool, ProviderError> {
        Ok(self.read(&self.name)?.id() != active.id)
    }
}

impl KeyProvider for CredentialKek {
    fn make(&self, _: u32) -> Result<String, ProviderError> {
        Ok(self.read(&self.name)?.id().to_owned())
    }

    fn wrap(&self, kek: &Kek, label: &str, key: &[u8; 32]) -> Result<Vec<u8>, ProviderError> {
        self.kek(kek)?.wrap(label, key)
    }

    fn unwrap(&self, kek: &Kek, label: &str, wrapped: &[u8]) -> Result<Zeroizing<[u8; 32]>, ProviderError> {
        self.kek(kek)?.unwrap(label, wrapped)
    }

    /// Its owner removes it.
    fn destroy(&self, _: &Kek) -> Result<(), ProviderError> {
        Ok(())
    }
}
