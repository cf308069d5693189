//! A file on its way in: hashed and sealed piece by piece, with the same memory whatever its size.
use std::io::Write;
use std::path::PathBuf;

use aws_lc_rs::digest::{Context, SHA256, SHA512};
use bytes::Bytes;
use hotline::vault::SubjectKey;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::content_place;
use crate::blobs;
use crate::store::StoreError;

/// The way in. Dropped before its end, nothing stays.
pub struct Intake {
    pieces: mpsc::Sender<Piece>,
    writer: tokio::sync::oneshot::Receiver<Result<Taken, StoreError>>,
}

/// What arrived, as it is on the disk now.
#[derive(Clone, Debug)]
pub struct Taken {
    pub bytes: u64,
    pub sha256: [u8; 32],
    pub sha512: [u8; 64],
    /// As much as is needed to tell what it is.
    pub(super) beginning: Vec<u8>,
}

enum Piece {
    More(Bytes),
    End,
}

impl Intake {
    /// The file is written by a thread of its own, at most a few pieces behind.
    pub(super) fn start(path: PathBuf, key: SubjectKey, id: Uuid) -> Result<Self, StoreError> {
        let (pieces, mut arriving) = mpsc::channel(PIECES_AHEAD);
        let (told, writer) = tokio::sync::oneshot::channel();
        let write = move || {
            let row = id.to_string();
            let taken = blobs::write_whole(&path, &key, &content_place(&row), |file| {
                let mut hashing = Hashing::new();
                loop {
                    match arriving.blocking_recv() {
                        Some(Piece::More(piece)) => {
                            hashing.update(&piece);
                            file.write_all(&piece)?;
                        }
                        Some(Piece::End) => return Ok(hashing.finish()),
                        None => return Err(std::io::ErrorKind::Interrupted.into()),
                    }
                }
            });
            drop(told.send(taken.map_err(StoreError::from)));
        };
        std::thread::Builder::new().name("evidence".to_owned()).spawn(write)?;
        Ok(Self { pieces, writer })
    }

    /// Waits while the disk is behind. False: it takes no more, and `finish` tells why.
    pub async fn push(&self, piece: Bytes) -> bool {
        self.pieces.send(Piece::More(piece)).await.is_ok()
    }

    /// On disk when this returns.
    pub async fn finish(self) -> Result<Taken, StoreError> {
        // Whoever is gone has said why.
        let _ = self.pieces.send(Piece::End).await;
        self.writer.await.unwrap_or_else(|_| Err(StoreError::Failed("the writing thread ended early".to_owned())))
    }
}

/// Digests of a file that is read once.
pub(super) struct Hashing {
    bytes: u64,
    sha256: Context,
    sha512: Context,
    beginning: Vec<u8>,
}

impl Hashing {
    pub(super) fn new() -> Self {
        Self { bytes: 0, sha256: Context::new(&SHA256), sha512: Context::new(&SHA512), beginning: Vec::new() }
    }

    pub(super) fn update(&mut self, piece: &[u8]) {
        self.bytes += piece.len() as u64;
        self.sha256.update(piece);
        self.sha512.update(piece);
        let wanted = BEGINNING_BYTES.saturating_sub(self.beginning.len()).min(piece.len());
        self.beginning.extend_from_slice(&piece[..wanted]);
    }

    pub(super) fn finish(self) -> Taken {
        let (mut sha256, mut sha512) = ([0; 32], [0; 64]);
        sha256.copy_from_slice(self.sha256.finish().as_ref());
        sha512.copy_from_slice(self.sha512.finish().as_ref());
        Taken { bytes: self.bytes, sha256, sha512, beginning: self.beginning }
    }
}

const PIECES_AHEAD: usize = 4;
const BEGINNING_BYTES: usize = 4_096;
