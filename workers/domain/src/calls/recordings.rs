//! Recordings: sealed files, each under a key that nobody has before its call is there.
//!
//! Files from before there were segments are one sealed value each, and are written again in the background.
use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use hotline::vault::{Aad, Head, KeyClass, SegmentReader, SubjectKey, Under};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::place;
use crate::blobs::{self, Blobs, on_thread};
use crate::store::StoreError;
use crate::subjects::Opener;

/// The folder of recordings.
#[derive(Clone)]
pub(super) struct Recordings {
    pub(super) files: Blobs,
}

/// A recording, opened where it is read.
pub enum Recording {
    Segments(SegmentReader<File>),
    /// From before there were segments.
    Whole(Cursor<Zeroizing<Vec<u8>>>),
}

impl Recordings {
    pub(super) fn open(state_dir: &Path) -> io::Result<Self> {
        Ok(Self { files: Blobs::open(state_dir.join("blobs"))? })
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

    /// The first bytes of each recording in one of the folders.
    pub(super) async fn heads(&self, folder: u8) -> Result<Vec<Head>, StoreError> {
        let files = self.files.clone();
        on_thread(move || files.whole_in(folder)?.iter().map(|(_, path)| Ok(head_of(path)?)).collect()).await
    }

    /// The recordings of a folder that are not sealed as they would be today.
    pub(super) async fn former(&self, folder: u8) -> Result<Vec<Uuid>, StoreError> {
        let files = self.files.clone();
        on_thread(move || {
            let mut former = Vec::new();
            for (call, path) in files.whole_in(folder)? {
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

    fn path(&self, call: Uuid) -> PathBuf {
        self.files.path(call)
    }
}

fn head_of(path: &Path) -> io::Result<Head> {
    let mut head = Head::default();
    File::open(path)?.read_exact(&mut head)?;
    Ok(head)
}

fn write_whole(path: &Path, call: Uuid, key: &SubjectKey, audio: &mut dyn Read) -> io::Result<()> {
    blobs::write_whole(path, key, &audio_place(&call.to_string()), |writer| io::copy(audio, writer).map(drop))
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

#[cfg(test)]
mod tests {
    use std::fs;

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
        block_on(recordings.files.remove_all(vec![first, Uuid::now_v7()])).unwrap();
        assert!(!recordings.path(first).exists());
    }
}
