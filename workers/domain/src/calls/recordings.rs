//! Recordings: sealed files, whole or not at all.
//!
//! A file is written under another name, in segments as it comes, synced, renamed, and its folder synced, before the row
//! that names it is committed. What a crash leaves behind in between is a file that no row names, under a key that
//! nobody has. Files from before there were segments are one sealed value each, and are written again in the background.
use std::fs::{self, DirBuilder, File};
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use aws_lc_rs::digest::{SHA256, digest};
use hotline::lifecycle::clock;
use hotline::vault::{Aad, Head, KeyClass, SealingWriter, SegmentReader, SubjectKey, Under};
use tokio::sync::oneshot;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::place;
use crate::store::StoreError;
use crate::subjects::Opener;

/// The folder of recordings.
#[derive(Clone)]
pub(super) struct Recordings {
    folder: PathBuf,
}

/// A recording, opened where it is read.
pub enum Recording {
    Segments(SegmentReader<File>),
    /// From before there were segments.
    Whole(Cursor<Zeroizing<Vec<u8>>>),
}

/// A file that is not new; of this call, if its name is whole.
pub(super) struct Aged {
    pub(super) call: Option<Uuid>,
    path: PathBuf,
}

impl Recordings {
    pub(super) fn open(state_dir: &Path) -> io::Result<Self> {
        let folder = state_dir.join("blobs");
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        Ok(Self { folder })
    }

    /// Seals and keeps a recording; returns its digest when it is on disk. Runs on a thread of its own:
    /// fifty megabytes must not hold up an event loop.
    pub(super) async fn keep(
        &self,
        call: Uuid,
        key: SubjectKey,
        audio: Zeroizing<Vec<u8>>,
    ) -> Result<[u8; 32], StoreError> {
        let path = self.path(call);
        on_thread(move || {
            let mut sha256 = [0; 32];
            sha256.copy_from_slice(digest(&SHA256, &audio).as_ref());
            write_whole(&path, call, &key, &mut &audio[..])?;
            Ok(sha256)
        })
        .await
    }

    pub(super) fn read(&self, call: Uuid, opener: &Opener<'_>) -> Result<Recording, StoreError> {
        let mut file = File::open(self.path(call))?;
        let mut head = Head::default();
        file.read_exact(&mut head)?;
        let row = call.to_string();
        let place = audio_place(&row);
        if Under::of(head) == Some(SEGMENTS) {
            return Ok(Recording::Segments(SegmentReader::open(opener.key()?, &place, file)?));
        }
        let mut sealed = head.to_vec();
        file.read_to_end(&mut sealed)?;
        Ok(Recording::Whole(Cursor::new(opener.open(&place, &sealed)?)))
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

    /// The recordings of a folder that are not sealed as they would be today.
    pub(super) async fn former(&self, folder: u8) -> Result<Vec<Uuid>, StoreError> {
        let folder = self.folder.join(format!("{folder:02x}"));
        on_thread(move || {
            let mut former = Vec::new();
            for (call, path) in recordings_in(&folder)? {
                if Under::of(head_of(&path)?) != Some(SEGMENTS) {
                    former.push(call);
                }
            }
            Ok(former)
        })
        .await
    }

    /// Seals a recording from before anew, for its subject; false if it does not open.
    pub(super) async fn reseal(&self, call: Uuid, legacy: &Opener<'_>, key: SubjectKey) -> Result<bool, StoreError> {
        let opened = self.read(call, legacy);
        let path = self.path(call);
        on_thread(move || match opened {
            Ok(mut audio) => {
                write_whole(&path, call, &key, &mut audio)?;
                Ok(true)
            }
            Err(error) => {
                tracing::error!(%call, %error, "a recording does not open");
                Ok(false)
            }
        })
        .await
    }

    /// Of these calls whatever is there.
    pub(super) async fn remove_all(&self, calls: Vec<Uuid>) -> Result<(), StoreError> {
        let paths: Vec<PathBuf> = calls.into_iter().map(|call| self.path(call)).collect();
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

fn write_whole(path: &Path, call: Uuid, key: &SubjectKey, audio: &mut dyn Read) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let part = path.with_extension(PART);
    let written = write_synced(&part, call, key, audio).and_then(|()| fs::rename(&part, path));
    if let Err(error) = written {
        let _ = fs::remove_file(&part); // a full disk needs the space back
        return Err(error);
    }
    File::open(folder)?.sync_all()
}

fn write_synced(path: &Path, call: Uuid, key: &SubjectKey, audio: &mut dyn Read) -> io::Result<()> {
    let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    let mut writer = SealingWriter::new(key, &audio_place(&call.to_string()), file)?;
    io::copy(audio, &mut writer)?;
    writer.finish()?.sync_all()
}

fn audio_place(row: &str) -> Aad<'_> {
    place(row, "audio")
}

impl Recording {
    /// What there is to be read in all.
    pub fn plain_bytes(&self) -> u64 {
        match self {
            Self::Segments(reader) => reader.plain_bytes(),
            Self::Whole(reader) => reader.get_ref().len() as u64,
        }
    }
}

impl Read for Recording {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Segments(reader) => reader.read(into),
            Self::Whole(reader) => reader.read(into),
        }
    }
}

impl Seek for Recording {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Self::Segments(reader) => reader.seek(to),
            Self::Whole(reader) => reader.seek(to),
        }
    }
}

const SEGMENTS: Under = Under::Segments(KeyClass::Call);
const PART: &str = "part";
const AGED_MS: u64 = 3_600_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::block_on;

    fn key() -> SubjectKey {
        SubjectKey::random("ana", KeyClass::Call).unwrap()
    }

    fn read(recordings: &Recordings, call: Uuid, key: &SubjectKey) -> io::Result<Vec<u8>> {
        let mut audio = Vec::new();
        let file = File::open(recordings.path(call))?;
        SegmentReader::open(key, &audio_place(&call.to_string()), file)?.read_to_end(&mut audio)?;
        Ok(audio)
    }

    #[test]
    fn a_recording_is_kept_sealed_and_bound_to_its_call_and_subject() {
        let folder = tempfile::tempdir().unwrap();
        let recordings = Recordings::open(folder.path()).unwrap();
        let (first, second) = (Uuid::now_v7(), Uuid::now_v7());
        let audio = b"what the caller said".to_vec();
        let anas = key();
        write_whole(&recordings.path(first), first, &anas, &mut &audio[..]).unwrap();
        assert_eq!(read(&recordings, first, &anas).unwrap(), audio);
        assert!(read(&recordings, first, &key()).is_err(), "another subject's");
        let stored = fs::read(recordings.path(first)).unwrap();
        assert!(!stored.windows(6).any(|window| window == b"caller"));
        fs::create_dir_all(recordings.path(second).parent().unwrap()).unwrap();
        fs::copy(recordings.path(first), recordings.path(second)).unwrap();
        assert!(read(&recordings, second, &anas).is_err(), "another call's recording does not open");
        block_on(recordings.remove_all(vec![first, Uuid::now_v7()])).unwrap();
        assert!(!recordings.path(first).exists());
    }
}
