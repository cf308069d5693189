//! Who holds the key over the keys. A file today; the trait is what a security module would offer.
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{self, AES_256_GCM, NONCE_LEN, RandomizedNonceKey};
use aws_lc_rs::rand;
use zeroize::Zeroizing;

/// Wraps and unwraps data keys with a key it never gives away.
pub trait KeyProvider: Send {
    /// Names the key, so that another one is recognised before it is tried.
    fn id(&self) -> &str;
    /// Seals a data key; `label` says which, and unwrapping needs the same.
    fn wrap(&self, label: &str, key: &[u8; 32]) -> Result<Vec<u8>, ProviderError>;
    fn unwrap(&self, label: &str, wrapped: &[u8]) -> Result<Zeroizing<[u8; 32]>, ProviderError>;
}

/// Why the key over the keys could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    #[error("could not read the key {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("could not make the key {}", path.display())]
    Create { path: PathBuf, source: io::Error },
    #[error("could not use the key {}: its mode is {mode:o} and must be 600; others could have read it", path.display())]
    Exposed { path: PathBuf, mode: u32 },
    #[error("could not use the key {}: user {uid} owns it, not this user", path.display())]
    Foreign { path: PathBuf, uid: u32 },
    #[error("could not use the key {}: it has {bytes} bytes and must have 32", path.display())]
    Length { path: PathBuf, bytes: u64 },
    #[error("could not unwrap {label}: not wrapped by {id}, or changed since")]
    Refused { label: String, id: String },
    #[error("could not wrap a key: no random bytes were to be had")]
    Random,
}

/// 32 random bytes in a file of mode 0600.
pub struct FileKek {
    id: String,
    key: RandomizedNonceKey,
}

impl FileKek {
    /// Reads the key; where there is none, makes one.
    pub fn open_or_create(path: &Path) -> Result<Self, ProviderError> {
        match Self::open(path) {
            Err(ProviderError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                create(path)?;
                Self::open(path)
            }
            opened => opened,
        }
    }

    /// Reads a key that must be there.
    pub fn open(path: &Path) -> Result<Self, ProviderError> {
        let failed = |source| ProviderError::Read { path: path.to_owned(), source };
        let mut file = OpenOptions::new().read(true).open(path).map_err(failed)?;
        let meta = file.metadata().map_err(failed)?;
        check(path, &meta)?;
        let mut bytes = Zeroizing::new([0; 32]);
        file.read_exact(&mut *bytes).map_err(failed)?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        // A digest under its own label tells keys of the same name apart and gives nothing away.
        let print = aws_lc_rs::hmac::sign(
            &aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &*bytes),
            b"hotline-kek-id-v1",
        );
        let id = format!("{name}:{}", data_encoding::HEXLOWER.encode(&print.as_ref()[..8]));
        let key = RandomizedNonceKey::new(&AES_256_GCM, &*bytes).expect("AES-256 takes 32 bytes");
        Ok(Self { id, key })
    }
}

impl KeyProvider for FileKek {
    fn id(&self) -> &str {
        &self.id
    }

    fn wrap(&self, label: &str, key: &[u8; 32]) -> Result<Vec<u8>, ProviderError> {
        let mut sealed = key.to_vec();
        let nonce = self
            .key
            .seal_in_place_append_tag(aead::Aad::from(label.as_bytes()), &mut sealed)
            .map_err(|_| ProviderError::Random)?;
        Ok([&nonce.as_ref()[..], &sealed].concat())
    }

    fn unwrap(&self, label: &str, wrapped: &[u8]) -> Result<Zeroizing<[u8; 32]>, ProviderError> {
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

fn check(path: &Path, meta: &fs::Metadata) -> Result<(), ProviderError> {
    let (path, mode, uid, bytes) = (path.to_owned(), meta.permissions().mode() & 0o777, meta.uid(), meta.len());
    if mode & 0o077 != 0 {
        return Err(ProviderError::Exposed { path, mode });
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

/// A crash half-way must not leave a short key under the final name.
fn create(path: &Path) -> Result<(), ProviderError> {
    let mut bytes = Zeroizing::new([0; 32]);
    rand::fill(&mut *bytes).map_err(|_| ProviderError::Random)?;
    write_private(path, &*bytes).map_err(|source| ProviderError::Create { path: path.to_owned(), source })
}

/// Writes a file of mode 0600 whole or not at all, and makes it last.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or_else(|| io::Error::other("a file needs a folder"))?;
    let part = path.with_extension("part");
    match fs::remove_file(&part) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&part, path)?;
    fs::File::open(folder)?.sync_all()
}
