//! Reads on in what is published, for those who pass records on: each entry once, in order, and never past the signed
//! head.
use crate::tlog::{Checkpoint, Store, StoreError, TILE_WIDTH, Tile, TileKind};

use super::record::Record;

/// Why nothing could be read.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the published head is not a checkpoint")]
    Head,
    #[error("entry {seq} of the published log is not a record: see `hotline audit verify`")]
    Entry { seq: u64 },
}

/// How many records are under the published head; 0 if there is none.
pub fn published_size(store: &Store) -> Result<u64, FollowError> {
    match store.checkpoint()? {
        Some(note) => Ok(Checkpoint::read(&note).ok_or(FollowError::Head)?.size),
        None => Ok(0),
    }
}

/// Some records from this one on, without their details; none where the signed head ends.
pub fn published_from(store: &Store, seq: u64) -> Result<Vec<Record>, FollowError> {
    let size = published_size(store)?;
    let Some(index) = seq.checked_sub(1).filter(|index| *index < size) else { return Ok(Vec::new()) };
    let Some(bundle) = Tile::in_tree(TileKind::Entries, index / TILE_WIDTH as u64, size) else { return Ok(Vec::new()) };
    let entries = store.entries(&bundle)?.into_iter().skip((index % TILE_WIDTH as u64) as usize);
    let read = |(seq, entry): (u64, Vec<u8>)| serde_json::from_slice(&entry).map_err(|_| FollowError::Entry { seq });
    (seq..).zip(entries).map(read).collect()
}
