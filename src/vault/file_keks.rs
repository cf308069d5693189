//! Keys over the keys as files beside the keyring: `kek-0001.key`, `kek-0002.key`, …, one at a time.
//!
//! Whoever copies the state folder has the key with the data. That is enough for development and where
//! the disk itself is sealed; a credential or a token keeps them apart.
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use aws_lc_rs::rand;
use zeroize::Zeroizing;

use super::private_file::write_private;
use super::provider::{Kek, KeyProvider, ProviderError};
use super::soft_kek::{SoftKek, is_missing};

/// The files of one folder.
pub(super) struct FileKeks {
    folder: PathBuf,
}

impl FileKeks {
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    pub(super) fn path(&self, version: u32) -> PathBuf {
        self.folder.join(format!("{}.key", name(version)))
    }

    fn read(&self, version: u32) -> Result<SoftKek, ProviderError> {
        SoftKek::read(&self.path(version), &name(version), 0o600)
    }

    fn kek(&self, kek: &Kek) -> Result<SoftKek, ProviderError> {
        self.read(kek.version)?.expect(kek)
    }
}

impl KeyProvider for FileKeks {
    fn make(&self, version: u32) -> Result<String, ProviderError> {
        match self.read(version) {
            Err(error) if is_missing(&error) => {}
            // A crash came before the keyring knew of it: it has wrapped nothing and is as good as new.
            found => return Ok(found?.id().to_owned()),
        }
        let path = self.path(version);
        let mut bytes = Zeroizing::new([0; 32]);
        rand::fill(&mut *bytes).map_err(|_| ProviderError::Random)?;
        write_private(&path, &*bytes).map_err(|source| ProviderError::Create { path, source })?;
        Ok(self.read(version)?.id().to_owned())
    }

    fn wrap(&self, kek: &Kek, label: &str, key: &[u8; 32]) -> Result<Vec<u8>, ProviderError> {
        self.kek(kek)?.wrap(label, key)
    }

    fn unwrap(&self, kek: &Kek, label: &str, wrapped: &[u8]) -> Result<Zeroizing<[u8; 32]>, ProviderError> {
        self.kek(kek)?.unwrap(label, wrapped)
    }

    fn destroy(&self, kek: &Kek) -> Result<(), ProviderError> {
        let path = self.path(kek.version);
        match overwrite_and_remove(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(ProviderError::Destroy { path, source: error }),
            _ => Ok(()),
        }
    }
}

/// What a file system that writes in place keeps of it is random. One that copies on write, and the flash beneath,
/// may keep the old block for a while; where that matters the key belongs into a token.
fn overwrite_and_remove(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    let mut noise = [0; 32];
    rand::fill(&mut noise).map_err(|_| io::Error::other("no randomness"))?;
    file.write_all(&noise)?;
    file.sync_all()?;
    fs::remove_file(path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

fn name(version: u32) -> String {
    format!("kek-{version:04}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Provider;

    #[test]
    fn what_a_crash_left_is_used_and_what_is_destroyed_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let keks = FileKeks::new(folder.path());
        let id = keks.make(7).unwrap();
        assert_eq!(keks.make(7).unwrap(), id);
        let kek = Kek { version: 7, provider: Provider::File, id };
        let wrapped = keks.wrap(&kek, "case:1", &[3; 32]).unwrap();
        assert_eq!(*keks.unwrap(&kek, "case:1", &wrapped).unwrap(), [3; 32]);
        assert!(matches!(keks.unwrap(&kek, "case:2", &wrapped), Err(ProviderError::Refused { .. })));
        keks.destroy(&kek).unwrap();
        keks.destroy(&kek).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert_ne!(keks.make(7).unwrap(), kek.id, "another key of the same name");
        assert!(matches!(keks.unwrap(&kek, "case:1", &wrapped), Err(ProviderError::Other { .. })));
    }
}
