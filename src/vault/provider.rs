//! Who holds the key over the keys: what a provider must be able to do, and what can be wrong with it.
//!
//! A provider has versions of the key. The keyring names the one it means and says what becomes of it;
//! a provider only makes, uses and destroys.
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::config::Provider;

/// One version of the key over the keys, as the keyring names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kek {
    pub(super) version: u32,
    pub(super) provider: Provider,
    /// Told by the provider; another key of the same name is recognised before it is tried.
    pub(super) id: String,
}

/// Wraps and unwraps data keys with keys it never gives away.
pub(super) trait KeyProvider {
    /// Makes this version of the key, or finds the one that a crash has left; tells its id.
    fn make(&self, version: u32) -> Result<String, ProviderError>;
    /// Seals a data key; `label` says which, and unwrapping needs the same.
    fn wrap(&self, kek: &Kek, label: &str, key: &[u8; 32]) -> Result<Vec<u8>, ProviderError>;
    fn unwrap(&self, kek: &Kek, label: &str, wrapped: &[u8]) -> Result<Zeroizing<[u8; 32]>, ProviderError>;
    /// Leaves nothing of the key. One that is gone already is no mistake.
    fn destroy(&self, kek: &Kek) -> Result<(), ProviderError>;
}

/// Why the key over the keys could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    #[error("could not read the key {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("could not make the key {}: {source}", path.display())]
    Create { path: PathBuf, source: io::Error },
    #[error("could not destroy the key {}: {source}", path.display())]
    Destroy { path: PathBuf, source: io::Error },
    #[error("could not use the key {}: its mode is {mode:o} and must be {allowed:o}; others could have read it", path.display())]
    Exposed { path: PathBuf, mode: u32, allowed: u32 },
    #[error("could not use the key {}: user {uid} owns it, not this user", path.display())]
    Foreign { path: PathBuf, uid: u32 },
    #[error("could not use the key {}: it has {bytes} bytes and must have 32", path.display())]
    Length { path: PathBuf, bytes: u64 },
    #[error("the keys are wrapped by {wanted}, the key at hand is {found}")]
    Other { wanted: String, found: String },
    #[error("could not unwrap {label}: not wrapped by {id}, or changed since")]
    Refused { label: String, id: String },
    #[error("could not wrap a key: no random bytes were to be had")]
    Random,
    #[error(
        "keys.provider is \"credential\" and there is no $CREDENTIALS_DIRECTORY: hand the key over with LoadCredentialEncrypted={name}:… in the unit, and run this command in the unit, too"
    )]
    NoCredentials { name: String },
    #[error("the keys are wrapped in a token and keys.pkcs11_module does not say by which library it is reached")]
    NoModule,
    #[error("could not use keys.pkcs11_module = {}: {reason}", module.display())]
    Module { module: PathBuf, reason: String },
    #[error(
        "keys.pkcs11_token_label = {label:?}: no such token; {}",
        if present.is_empty() { "there is none at all".to_owned() } else { format!("there are {present:?}") }
    )]
    NoToken { label: String, present: Vec<String> },
    #[error("keys.pkcs11_token_label = {label:?}: {count} tokens are called so; give them different labels")]
    TwoTokens { label: String, count: usize },
    #[error(
        "no PIN for the token {label:?}: set keys.pkcs11_pin_file, or hand it over as the credential {PIN_CREDENTIAL}"
    )]
    NoPin { label: String },
    #[error("the token {label:?} refused the PIN in {}; it was tried once and will not be tried again, which could lock the token: correct the file", file.display())]
    WrongPin { label: String, file: PathBuf },
    #[error("the PIN of the token {label:?} {state}; it was not tried: unlock the token with its own tool")]
    PinInDanger { label: String, state: &'static str },
    #[error("the token {label:?} does not hold the key {key}: it was destroyed, or this is another token")]
    NoKey { label: String, key: String },
    #[error("the token {label:?} holds {count} keys called {key}")]
    TwoKeys { label: String, key: String, count: usize },
    #[error("the token {label:?} failed while it was to {act}: {reason}")]
    Token { label: String, act: &'static str, reason: String },
}

impl ProviderError {
    /// Whether the same may go well later, with nobody changing anything.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Token { .. } | Self::NoToken { .. } | Self::Random)
    }
}

/// The PIN where `keys.pkcs11_pin_file` names none.
pub(super) const PIN_CREDENTIAL: &str = "hotline.pkcs11-pin";
