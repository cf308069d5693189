//! Recordings: sealed files, whole or not at all.
//!
//! A file is written under another name, synced, renamed, and its folder synced, before the row that
//! names it is committed. What a crash leaves behind in between is a file that no row names.
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use aws_lc_rs::digest::{SHA256, digest};
use hotline::lifecycle::clock;
use hotline::vault::{Aad, KeyClass, Vault};
use tokio::sync::oneshot;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::store::{Head, StoreError};

/// The folder of recordings.
#[derive(Clone)]
pub(super) struct Recordings {
    folder: PathBuf,
    vault: Arc<Vault>,
}

/// A file that is not new; of this call, if its name is whole.
pub(super) struct Aged {
    pub(super) call: Option<Uuid>,
    path: PathBuf,
}

impl Recordings {
    pub(super) fn open(state_dir: &Path, vault: Arc<Vault>) -> io::Result<Self> {
        let folder = state_dir.join("blobs");
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        Ok(Self { folder, vault })
    }

    /// Seals and keeps a recording; returns its digest when it is on disk. Runs on a thread of its own:
    /// fifty megabytes must not hold up an event loop.
    pub(super) async fn keep(&self, call: Uuid, audio: Zeroizing<Vec<u8>>) -> Result<[u8; 32], StoreError> {
        let this = self.clone();
        on_thread(move || {
            let mut sha256 = [0; 32];
            sha256.copy_from_slice(digest(&SHA256, &audio).as_ref());
            let row = call.to_string();
            let sealed = this.vault.seal(KeyClass::Call, &place(&row), &audio)?;
            write_whole(&this.path(call), &sealed)?;
            Ok(sha256)
        })
        .await
    }

    pub(super) fn read(&self, call: Uuid) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let sealed = fs::read(self.path(call))?;
        Ok(self.vault.open(KeyClass::Call, &place(&call.to_string()), &sealed)?)
    }

    /// For a recording whose call was not accepted after all.
    pub(super) fn remove(&self, call: Uuid) {
        if let Err(error) = fs::remove_file(self.path(call)) {
            tracing::warn!(%call, %error, "could not remove a recording that belongs to no call");
        }
    }

    /// What has lain in one of the folders for an hour: long enough that its call is there if it ever will be.
    pub(super) async fn aged(&self, folder: u8) -> Result<Vec<Aged>, StoreError> {
        let folder = self.folder.join(format!("{folder:02x}"));
        on_thread(move || Ok(aged_in(&folder, AGED_MS)?)).await
    }

    /// Removes them; tells how many there were.
    pub(super) async fn discard(&self, strays: Vec<Aged>) -> Result<usize, StoreError> {
        on_thread(move || {
            for stray in &strays {
                fs::remove_file(&stray.path)?;
            }
            Ok(strays.len())
        })
        .await
    }

    /// The first bytes of each recording in one of the folders.
    pub(super) async fn heads(&self, folder: u8) -> Result<Vec<Head>, StoreError> {
        let folder = self.folder.join(format!("{folder:02x}"));
        on_thread(move || recordings_in(&folder)?.iter().map(|(_, path)| Ok(head_of(path)?)).collect()).await
    }

    /// Seals a few recordings of a folder anew that are under another version; tells how many, and how many do not open.
    pub(super) async fn reseal(&self, folder: u8, files_max: u32) -> Result<(u64, u64), StoreError> {
        let (this, folder) = (self.clone(), self.folder.join(format!("{folder:02x}")));
        on_thread(move || {
            let (mut resealed, mut refused) = (0, 0);
            let newest = this.vault.head(KeyClass::Call)?;
            for (call, path) in recordings_in(&folder)? {
                if resealed == u64::from(files_max) {
                    break;
                }
                if head_of(&path)? == newest {
                    continue;
                }
                match this.read(call) {
                    Ok(audio) => {
                        let sealed = this.vault.seal(KeyClass::Call, &place(&call.to_string()), &audio)?;
                        write_whole(&path, &sealed)?;
                        resealed += 1;
                    }
                    Err(error) => {
                        tracing::error!(%call, %error, "a recording does not open");
                        refused += 1;
                    }
                }
            }
            Ok((resealed, refused))
        })
        .await
    }

    fn path(&self, call: Uuid) -> PathBuf {
        // The last byte of a time-ordered id is random, so files spread over 256 folders.
        let name = call.to_string();
        self.folder.join(&name[name.len() - 2..]).join(name)
    }
}

async fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let (answer, answered) = oneshot::channel();
    std::thread::Builder::new().name("recording".to_owned()).spawn(move || drop(answer.send(work())))?;
    answered.await.unwrap_or_else(|_| Err(StoreError::Failed("the writing thread ended early".to_owned())))
}

fn aged_in(folder: &Path, aged_ms: u64) -> io::Result<Vec<Aged>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let before_ms = clock::now_ms().saturating_sub(aged_ms);
    let mut aged = Vec::new();
    for entry in entries {
        let entry = entry?;
        let modified = entry.metadata()?.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        if (modified.as_millis() as u64) < before_ms {
            let path = entry.path();
            let call = entry.file_name().to_str().and_then(|name| Uuid::parse_str(name).ok());
            // What we did not write is not ours to remove.
            if call.is_some() || path.extension().is_some_and(|extension| extension == PART) {
                aged.push(Aged { call, path });
            }
        }
    }
    Ok(aged)
}

fn recordings_in(folder: &Path) -> io::Result<Vec<(Uuid, PathBuf)>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let named = |path: PathBuf| Some((Uuid::parse_str(path.file_name()?.to_str()?).ok()?, path));
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    Ok(paths.into_iter().filter_map(named).collect())
}

fn head_of(path: &Path) -> io::Result<Head> {
    let mut head = Head::default();
    File::open(path)?.read_exact(&mut head)?;
    Ok(head)
}

fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let part = path.with_extension(PART);
    let written = write_synced(&part, bytes).and_then(|()| fs::rename(&part, path));
    if let Err(error) = written {
        let _ = fs::remove_file(&part); // a full disk needs the space back
        return Err(error);
    }
    File::open(folder)?.sync_all()
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn place(row: &str) -> Aad<'_> {
    Aad { table: "calls", row, column: "audio", version: 1 }
}

const PART: &str = "part";
const AGED_MS: u64 = 3_600_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{block_on, vault};

    #[test]
    fn a_recording_is_kept_sealed_and_bound_to_its_call() {
        let folder = tempfile::tempdir().unwrap();
        let recordings = Recordings::open(folder.path(), vault()).unwrap();
        let (first, second) = (Uuid::now_v7(), Uuid::now_v7());
        let audio = b"what the caller said".to_vec();
        block_on(recordings.keep(first, Zeroizing::new(audio.clone()))).unwrap();
        assert_eq!(*recordings.read(first).unwrap(), audio);
        let stored = fs::read(recordings.path(first)).unwrap();
        assert!(!stored.windows(6).any(|window| window == b"caller"));
        fs::create_dir_all(recordings.path(second).parent().unwrap()).unwrap();
        fs::copy(recordings.path(first), recordings.path(second)).unwrap();
        assert!(recordings.read(second).is_err(), "another call's recording does not open");
        recordings.remove(first);
        assert!(recordings.read(first).is_err());
    }
}
