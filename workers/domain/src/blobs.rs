//! Sealed files, one for each id: whole or not at all.
//!
//! A file is written under another name, in segments as it comes, synced, renamed, and its folder synced, before the row
//! that names it is committed. What a crash leaves behind in between is a file that no row names; who writes to one when
//! the disk is full gives the space back.
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use hotline::lifecycle::clock;
use hotline::vault::{Aad, SealingWriter, SubjectKey};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::store::StoreError;

/// Files of one kind, in 256 folders.
#[derive(Clone)]
pub(crate) struct Blobs {
    folder: PathBuf,
}

/// A file that is not new; of this id, if its name is whole.
pub(crate) struct Aged {
    pub(crate) id: Option<Uuid>,
    path: PathBuf,
}

impl Blobs {
    pub(crate) fn open(folder: PathBuf) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        Ok(Self { folder })
    }

    pub(crate) fn path(&self, id: Uuid) -> PathBuf {
        // The last byte of a time-ordered id is random, so files spread over 256 folders.
        let name = id.to_string();
        self.folder.join(&name[name.len() - 2..]).join(name)
    }

    /// For a file whose row was not made after all.
    pub(crate) fn remove(&self, id: Uuid) {
        if let Err(error) = fs::remove_file(self.path(id)) {
            tracing::warn!(%id, %error, "could not remove a file that belongs to nothing");
        }
    }

    /// What has lain in one of the folders for an hour: long enough that its row is there if it ever will be.
    pub(crate) async fn aged(&self, folder: u8) -> Result<Vec<Aged>, StoreError> {
        let folder = self.folder.join(format!("{folder:02x}"));
        on_thread(move || Ok(aged_in(&folder, AGED_MS)?)).await
    }

    /// Removes those of them that are not known; tells how many there were.
    pub(crate) async fn discard_but(&self, aged: Vec<Aged>, known: Vec<Uuid>) -> Result<usize, StoreError> {
        let is_stray = move |aged: &Aged| aged.id.is_none_or(|id| !known.contains(&id));
        on_thread(move || {
            let mut removed = 0;
            for stray in aged.iter().filter(|aged| is_stray(aged)) {
                fs::remove_file(&stray.path)?;
                removed += 1;
            }
            Ok(removed)
        })
        .await
    }

    /// Of these whatever is there.
    pub(crate) async fn remove_all(&self, ids: Vec<Uuid>) -> Result<(), StoreError> {
        let paths: Vec<PathBuf> = ids.into_iter().map(|id| self.path(id)).collect();
        on_thread(move || {
            for path in paths {
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                    Err(_) => {}
                    Ok(()) => File::open(path.parent().unwrap_or(&path))?.sync_all()?,
                }
            }
            Ok(())
        })
        .await
    }

    /// Whole files of one of the folders.
    pub(crate) fn whole_in(&self, folder: u8) -> io::Result<Vec<(Uuid, PathBuf)>> {
        let entries = match fs::read_dir(self.folder.join(format!("{folder:02x}"))) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let named = |path: PathBuf| Some((Uuid::parse_str(path.file_name()?.to_str()?).ok()?, path));
        let paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        Ok(paths.into_iter().filter_map(named).collect())
    }
}

/// A file with what `fill` writes; in its place and on disk when this returns, or not there at all.
pub(crate) fn write_whole<T>(
    path: &Path,
    key: &SubjectKey,
    place: &Aad<'_>,
    fill: impl FnOnce(&mut SealingWriter<File>) -> io::Result<T>,
) -> io::Result<T> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let part = path.with_extension(PART);
    let write = || {
        let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
        let mut writer = SealingWriter::new(key, place, file)?;
        let filled = fill(&mut writer)?;
        writer.finish()?.sync_all()?;
        fs::rename(&part, path)?;
        Ok(filled)
    };
    let filled = write().inspect_err(|_: &io::Error| {
        let _ = fs::remove_file(&part); // a full disk needs the space back
    })?;
    File::open(folder)?.sync_all()?;
    Ok(filled)
}

/// Runs what waits for a disk: megabytes must not hold up an event loop.
pub(crate) async fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let (answer, answered) = oneshot::channel();
    std::thread::Builder::new().name("blob".to_owned()).spawn(move || drop(answer.send(work())))?;
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
            let id = entry.file_name().to_str().and_then(|name| Uuid::parse_str(name).ok());
            // What we did not write is not ours to remove.
            if id.is_some() || path.extension().is_some_and(|extension| extension == PART) {
                aged.push(Aged { id, path });
            }
        }
    }
    Ok(aged)
}

const PART: &str = "part";
const AGED_MS: u64 = 3_600_000;
