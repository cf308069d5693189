//! Holds the transparency log against the records, one by one: every tile, every bundle and the signed head must be
//! those that the records give.
use crate::tlog::{self, Checkpoint, Edge, Hash, Store, TILE_WIDTH, Tile, TileKind, Verifier};

use super::record::Record;

/// The published log, as far as the records have been read.
pub(super) struct Published<'a> {
    store: &'a Store,
    head: Checkpoint,
    /// A key that is trusted stands by the head.
    is_signed: bool,
    edge: Edge,
    bundle: Vec<u8>,
}

impl<'a> Published<'a> {
    /// `None` where nothing has been published. With keys, one of them must have signed the head. The first
    /// `disposed` records are not to be had any more; their tiles of hashes are.
    pub(super) fn open(store: &'a Store, keys: &[Verifier], disposed: u64) -> Result<Option<Self>, String> {
        let Some(note) = store.checkpoint().map_err(|error| error.to_string())? else { return Ok(None) };
        let signed = keys.iter().find_map(|key| Checkpoint::open(&note, key).ok());
        let (head, is_signed) = match signed {
            Some(head) => (head, true),
            None if keys.is_empty() => {
                let head = Checkpoint::read(&note).ok_or("the published head is not a checkpoint")?;
                (head, false)
            }
            None => return Err("the published head is not signed by a key of this log".to_owned()),
        };
        if disposed > head.size {
            return Err(format!("{disposed} records were disposed of and only {} were published", head.size));
        }
        let edge = store.edge_at(disposed).map_err(|error| error.to_string())?;
        Ok(Some(Self { store, head, is_signed, edge, bundle: Vec::new() }))
    }

    /// The tree over the records so far.
    pub(super) fn root(&self) -> Hash {
        self.edge.root()
    }

    pub(super) fn head(&self) -> &Checkpoint {
        &self.head
    }

    pub(super) fn is_signed(&self) -> bool {
        self.is_signed
    }

    /// The next record. What is wrong, if anything is.
    pub(super) fn take(&mut self, record: &Record) -> Result<(), String> {
        if self.edge.size() >= self.head.size {
            return Ok(());
        }
        let entry = record.entry();
        self.bundle.extend(tlog::bundled(entry.as_bytes()));
        let mut full = self.edge.push(tlog::leaf(entry.as_bytes()));
        for (tile, hashes) in full.drain(..) {
            self.compare(&tile, hashes.as_flattened())?;
        }
        let size = self.edge.size();
        if size.is_multiple_of(TILE_WIDTH as u64) {
            self.compare_bundle(size / TILE_WIDTH as u64 - 1)?;
            self.bundle.clear();
        }
        if size < self.head.size {
            return Ok(());
        }
        for (tile, hashes) in self.edge.open() {
            self.compare(&tile, hashes.as_flattened())?;
        }
        if !self.bundle.is_empty() {
            self.compare_bundle(size / TILE_WIDTH as u64)?;
        }
        if self.edge.root() == self.head.root {
            return Ok(());
        }
        Err("the published head is not over these records: one of them was changed and the chain made anew".to_owned())
    }

    /// The published log does not go on behind the last record.
    pub(super) fn end(&self) -> Result<(), String> {
        if self.edge.size() == self.head.size {
            return Ok(());
        }
        Err(format!("the log ends here, but {} records were published: its tail is missing", self.head.size))
    }

    fn compare_bundle(&self, index: u64) -> Result<(), String> {
        let tile = Tile::in_tree(TileKind::Entries, index, self.edge.size());
        tile.map_or(Ok(()), |tile| self.compare(&tile, &self.bundle))
    }

    fn compare(&self, tile: &Tile, bytes: &[u8]) -> Result<(), String> {
        match self.store.read(tile) {
            Ok(found) if found == bytes => Ok(()),
            Ok(_) => Err(format!("the published {tile} is not that of these records")),
            Err(error) => Err(error.to_string()),
        }
    }
}
