//! `[keys]`: who holds the key over the keys, and how long one version of it lives.
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::reader::Reader;

/// The key-encryption key. Names where secrets are; holds none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Keys {
    pub provider: Provider,
    /// Of `credential`: the file in `$CREDENTIALS_DIRECTORY`.
    pub kek_credential: String,
    /// A version of the key over the keys is replaced when it is this old. 0: only when somebody asks.
    pub kek_rotation_seconds: u64,
    /// Of `pkcs11`: the vendor's library.
    pub pkcs11_module: Option<PathBuf>,
    pub pkcs11_token_label: String,
    /// Versions of the key are called `<label>-0001`, `<label>-0002`, ….
    pub pkcs11_key_label: String,
    /// Holds the PIN alone. None: the credential `hotline.pkcs11-pin`.
    pub pkcs11_pin_file: Option<PathBuf>,
    /// One act with keys may take this long, a slow token included; then it has failed.
    pub deadline_ms: u64,
}

/// Where the key over the keys lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// A file in `<state_dir>/keys`: for development, and where the disk itself is sealed.
    File,
    /// What the service manager hands over, for example sealed by the machine's TPM.
    Credential,
    /// Inside a hardware security module; never leaves it.
    Pkcs11,
}

impl Provider {
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Credential => "credential",
            Self::Pkcs11 => "pkcs11",
        }
    }
}

pub(super) fn keys(read: &mut Reader) -> Keys {
    let providers = [Provider::File, Provider::Credential, Provider::Pkcs11].map(|kind| (kind.name(), kind));
    let keys = Keys {
        provider: read.choice("keys.provider", Provider::File, &providers),
        kek_credential: read.text("keys.kek_credential", "hotline.kek"),
        kek_rotation_seconds: read.number("keys.kek_rotation_seconds", 86_400, 0..=315_360_000),
        pkcs11_module: read.path("keys.pkcs11_module"),
        pkcs11_token_label: read.text("keys.pkcs11_token_label", ""),
        pkcs11_key_label: read.text("keys.pkcs11_key_label", "hotline-kek"),
        pkcs11_pin_file: read.path("keys.pkcs11_pin_file"),
        deadline_ms: read.number("keys.deadline_ms", 15_000, 100..=60_000),
    };
    let is_credential_name = |name: &str| {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        !name.is_empty() && !name.starts_with('.') && name.bytes().all(known)
    };
    if !is_credential_name(&keys.kek_credential) {
        read.mistake(
            "keys.kek_credential",
            "must be the name of a credential, such as \"hotline.kek\", and no path; LoadCredentialEncrypted= says where it is",
        );
    }
    if !(1..=LABEL_BYTES_MAX).contains(&keys.pkcs11_key_label.len()) {
        let remedy = format!("must have 1 to {LABEL_BYTES_MAX} bytes; versions are called \"<label>-0001\" and so on");
        read.mistake("keys.pkcs11_key_label", remedy);
    }
    if keys.provider == Provider::Pkcs11 {
        match &keys.pkcs11_module {
            None => read.mistake(
                "keys.pkcs11_module",
                "is missing: name the vendor's library, such as \"/usr/lib/softhsm/libsofthsm2.so\"",
            ),
            Some(module) if !module.is_file() => read.mistake(
                "keys.pkcs11_module",
                "is no file: install the vendor's library, or name it where it is installed",
            ),
            Some(_) => {}
        }
        if !(1..=LABEL_BYTES_MAX).contains(&keys.pkcs11_token_label.len()) {
            let remedy = format!("must have 1 to {LABEL_BYTES_MAX} bytes: the label the token was initialised with");
            read.mistake("keys.pkcs11_token_label", remedy);
        }
    }
    keys
}

/// What a token has room for in a label.
const LABEL_BYTES_MAX: usize = 32;
