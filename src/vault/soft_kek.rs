//! A key over the keys that is 32 bytes in a file only its owner can read: read for one use, then wiped.
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use aws_lc_rs::aead::{self, AES_256_GCM, NONCE_LEN, RandomizedNonceKey};
use aws_lc_rs::hmac;
use data_encoding::HEXLOWER;
use zeroize::Zeroizing;

use super::provider::{Kek, ProviderError};

/// The key of one file.
pub(super) struct SoftKek {
    id: String,
    key: RandomizedNonceKey,
}

impl SoftKek {
    /// Reads a key that must be there. `name` begins its id; `mode_max` are the permissions it may have.
    pub(super) fn read(path: &Path, name: &str, mode_max: u32) -> Result<Self, ProviderError> {
        let failed = |source| ProviderError::Read { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(failed)?;
        check(path, &file.metadata().map_err(failed)?, mode_max)?;
        let mut bytes = Zeroizing::new([0; 32]);
        file.read_exact(&mut *bytes).map_err(failed)?;
        // A digest under its own label tells keys of the same name apart and gives nothing away.
        let print = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &*bytes), b"hotline-kek-id-v1");
        let id = format!("{name}:{}", HEXLOWER.encode(&print.as_ref()[..8]));
        let key = RandomizedNonceKey::new(&AES_256_GCM, &*bytes).expect("AES-256 takes 32 bytes");
        Ok(Self { id, key })
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// The same key that the keyring means.
    pub(super) fn expect(self, kek: &Kek) -> Result<Self, ProviderError> {
        if self.id == kek.id {
            return Ok(self);
        }
        Err(ProviderError::Other { wanted: kek.id.clone(), found: self.id })
    }

    pub(super) fn wrap(&self, label: &str, key: &[u8; 32]) -> Result<Vec<u8>, ProviderError> {
        let mut sealed = key.to_vec();
        let nonce = self
            .key
            .seal_in_place_append_tag(aead::Aad::from(label.as_bytes()), &mut sealed)
            .map_err(|_| ProviderError::Random)?;
        Ok([&nonce.as_ref()[..], &sealed].concat())
    }

    pub(super) fn unwrap(&self, label: &str, wrapped: &[u8]) -> Result<Zeroizing<[u8; 32]>, ProviderError> {
        let refused = || ProviderError::Refused { label: label.to_owned(), id: self.id.clone() };
        let (nonce, sealed) = wrapped.split_at_checked(NONCE_LEN).ok_or_else(refused)?;
        let nonce = aead::Nonce::try_assume_unique_for_key(nonce).map_err(|_| refused())?;
        let mut opened = Zeroizing::new(sealed.to_vec());
        let plain =
            self.key.open_in_place(nonce, aead::Aad::from(label.as_bytes()), &mut opened).map_err(|_| refused())?;
        let bytes: &[u8; 32] = (&*plain).try_into().map_err(|_| refused())?;
        Ok(Zeroizing::new(*bytes))
    }
}

/// Owned by us, closed to others, of the right length.
fn check(path: &Path, meta: &Metadata, mode_max: u32) -> Result<(), ProviderError> {
    let (path, mode, uid, bytes) = (path.to_owned(), meta.permissions().mode() & 0o777, meta.uid(), meta.len());
    if mode & !mode_max != 0 {
        return Err(ProviderError::Exposed { path, mode, allowed: mode_max });
    }
    let us = nix::unistd::geteuid();
    // Root may look at a service's log; a service must not be lured into a stranger's key.
    if uid != us.as_raw() && uid != 0 && !us.is_root() {
        return Err(ProviderError::Foreign { path, uid });
    }
    if bytes != 32 {
        return Err(ProviderError::Length { path, bytes });
    }
    Ok(())
}

/// A file that is not there is told apart from one that cannot be read.
pub(super) fn is_missing(error: &ProviderError) -> bool {
    matches!(error, ProviderError::Read { source, .. } if source.kind() == io::ErrorKind::NotFound)
}
