//! The providers that the settings allow, so that a keyring can move from one to another.
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::credential_kek::CredentialKek;
use super::file_keks::FileKeks;
use super::pkcs11_kek::Pkcs11Keks;
use super::provider::{Kek, KeyProvider, ProviderError};
use crate::config::{Keys, Provider};

/// Each of them does nothing before it is used.
pub(super) struct Providers {
    configured: Provider,
    pub(super) file: FileKeks,
    credential: CredentialKek,
    pkcs11: Option<Pkcs11Keks>,
}

impl Providers {
    /// `credentials` is `$CREDENTIALS_DIRECTORY`.
    pub(super) fn new(folder: &Path, keys: &Keys, credentials: Option<PathBuf>, ring: &str) -> Self {
        Self {
            configured: keys.provider,
            file: FileKeks::new(folder),
            credential: CredentialKek::new(credentials.clone(), &keys.kek_credential),
            pkcs11: Pkcs11Keks::new(keys, credentials, ring),
        }
    }

    /// A new version of the key, by the provider of the settings.
    pub(super) fn make(&self, version: u32) -> Result<Kek, ProviderError> {
        Ok(Kek { version, provider: self.configured, id: self.of(self.configured)?.make(version)? })
    }

    /// Whether the key that wraps is another than the settings say.
    pub(super) fn moves_from(&self, active: &Kek) -> Result<bool, ProviderError> {
        match self.configured {
            configured if configured != active.provider => Ok(true),
            Provider::Credential => self.credential.follows(active),
            Provider::File | Provider::Pkcs11 => Ok(false),
        }
    }

    /// Whether there is a next version without somebody bringing it.
    pub(super) fn makes_its_own(&self) -> bool {
        self.configured != Provider::Credential
    }

    pub(super) fn wrap(&self, kek: &Kek, label: &str, key: &[u8; 32]) -> Result<Vec<u8>, ProviderError> {
        self.of(kek.provider)?.wrap(kek, label, key)
    }

    pub(super) fn unwrap(&self, kek: &Kek, label: &str, wrapped: &[u8]) -> Result<Zeroizing<[u8; 32]>, ProviderError> {
        self.of(kek.provider)?.unwrap(kek, label, wrapped)
    }

    pub(super) fn destroy(&self, kek: &Kek) -> Result<(), ProviderError> {
        self.of(kek.provider)?.destroy(kek)
    }

    fn of(&self, provider: Provider) -> Result<&dyn KeyProvider, ProviderError> {
        match provider {
            Provider::File => Ok(&self.file),
            Provider::Credential => Ok(&self.credential),
            Provider::Pkcs11 => match &self.pkcs11 {
                Some(pkcs11) => Ok(pkcs11),
                None => Err(ProviderError::NoModule),
            },
        }
    }
}
