//! Carries the log into the transparency log: entry by entry into tiles, and at times a signed head over all of them.
//!
//! It follows the log's files, so it can be behind and catch up, and what it makes can be made again from them, or where
//! records are disposed of, from the full tiles of their hashes. What it never does is sign a tree that does not continue the one it signed last: where the log contradicts a published
//! head, it stops, and people have to look.
use std::cmp::Ordering;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::PathBuf;

use super::record::Record;
use super::segment::{LineError, Lines, Segment, segments};
use crate::tlog::{self, Checkpoint, Edge, Hash, Signer, Store, StoreError, TILE_WIDTH, Tile, TileKind, Verifier};

/// The follower of one log.
pub struct Publisher {
    log: PathBuf,
    store: Store,
    signer: Signer,
    edge: Edge,
    /// The bundle that is not full yet.
    bundle: Vec<u8>,
    /// Tiles that are complete and not on disk yet.
    owed: Vec<(Tile, Vec<u8>)>,
    position: Option<Position>,
    /// Under the last signed head.
    published: u64,
    /// A head that the tree must pass through, while it is made again.
    awaited: Option<Checkpoint>,
}

/// Where the next line is.
struct Position {
    segment: Segment,
    offset: u64,
    /// Open while one round reads on. What stands behind the durable records may still be written otherwise, so it
    /// must not stay in a buffer.
    lines: Option<Lines<BufReader<File>>>,
}

/// Why nothing is published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("could not read the audit log in {}", path.display())]
    Log { path: PathBuf, source: io::Error },
    #[error("the published head is not signed by a key of this log's name ({origin}); was audit.origin changed?")]
    Foreign { origin: String },
    #[error(
        "record {seq} of the audit log is not the one that was published, or is missing: see `hotline audit verify`"
    )]
    Contradicted { seq: u64 },
}

impl PublishError {
    /// Trying again will not help.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Foreign { .. } | Self::Contradicted { .. })
    }
}

impl Publisher {
    /// Takes up where the last head ends. `former` are keys that signed before, of the same name.
    pub fn open(log: PathBuf, store: Store, signer: Signer, former: &[Verifier]) -> Result<Self, PublishError> {
        let mut publisher = Self {
            log,
            store,
            signer,
            edge: Edge::default(),
            bundle: Vec::new(),
            owed: Vec::new(),
            position: None,
            published: 0,
            awaited: None,
        };
        let Some(note) = publisher.store.checkpoint()? else { return Ok(publisher) };
        let ours = std::iter::once(publisher.signer.verifier()).chain(former);
        let foreign = || PublishError::Foreign { origin: publisher.signer.verifier().name().to_owned() };
        let head = ours.filter_map(|key| Checkpoint::open(&note, key).ok()).next().ok_or_else(foreign)?;
        publisher.published = head.size;
        match publisher.take_up(&head) {
            Ok(()) => {}
            Err(error @ PublishError::Contradicted { .. }) => return Err(error),
            Err(error) => {
                tracing::warn!(%error, size = head.size, "the tiles of the transparency log are made again");
                // Of what is disposed of the full tiles are all there is, and enough.
                let disposed = publisher.store.pruned()?.map_or(0, |pruned| pruned.minimum_index);
                publisher.edge = publisher.store.edge_at(disposed)?;
                publisher.bundle.clear();
                publisher.position = None;
                publisher.awaited = Some(head);
            }
        }
        Ok(publisher)
    }

    /// How many entries are under a signed head.
    pub fn published(&self) -> u64 {
        self.published
    }

    /// Reads on, no further than the record `durable_seq` and no more than fits the memory for it; tells whether it
    /// has come so far.
    pub fn follow(&mut self, durable_seq: u64) -> Result<bool, PublishError> {
        while self.edge.size() < durable_seq && self.owed.len() < OWED_TILES_MAX {
            let seq = self.edge.size() + 1;
            let entry = self.next_entry(seq)?.ok_or(PublishError::Contradicted { seq })?;
            self.take(seq, &entry)?;
        }
        self.look_away();
        Ok(self.edge.size() >= durable_seq)
    }

    fn look_away(&mut self) {
        if let Some(position) = &mut self.position {
            position.lines = None;
        }
    }

    /// Writes what is new and signs the head over it.
    pub fn publish(&mut self) -> Result<(), PublishError> {
        while let Some((tile, bytes)) = self.owed.first() {
            self.store.write(tile, bytes)?;
            if tile.is_full() {
                self.store.remove_open(tile)?;
            }
            self.owed.remove(0);
        }
        let size = self.edge.size();
        if size <= self.published {
            return Ok(());
        }
        for (tile, bytes) in self.open_tiles() {
            // The upper levels seldom grow: what stood under the last head is on disk.
            if Tile::in_tree(tile.kind, tile.index, self.published) != Some(tile) {
                self.store.write(&tile, &bytes)?;
            }
        }
        let origin = self.signer.verifier().name().to_owned();
        let head = Checkpoint { origin, size, root: self.edge.root() };
        self.store.publish(&head.sign(&self.signer))?;
        self.published = size;
        Ok(())
    }

    /// Whether more has been read than is signed.
    pub fn has_news(&self) -> bool {
        self.edge.size() > self.published
    }

    fn take(&mut self, seq: u64, entry: &str) -> Result<(), PublishError> {
        self.bundle.extend(tlog::bundled(entry.as_bytes()));
        let full = self.edge.push(tlog::leaf(entry.as_bytes()));
        if !full.is_empty() {
            let index = self.edge.size() / TILE_WIDTH as u64 - 1;
            let tile = Tile { kind: TileKind::Entries, index, width: TILE_WIDTH };
            self.owed.push((tile, std::mem::take(&mut self.bundle)));
        }
        self.owed.extend(full.into_iter().map(|(tile, hashes)| (tile, hashes.as_flattened().to_vec())));
        if let Some(head) = self.awaited.take_if(|head| head.size == seq) {
            if head.root != self.edge.root() {
                return Err(PublishError::Contradicted { seq });
            }
            // Whoever holds that head may ask for what was open under it.
            self.owed.extend(self.open_tiles());
        }
        Ok(())
    }

    fn open_tiles(&self) -> Vec<(Tile, Vec<u8>)> {
        let size = self.edge.size();
        let bundle = Tile::in_tree(TileKind::Entries, size / TILE_WIDTH as u64, size);
        let hashes = self.edge.open().map(|(tile, hashes)| (tile, hashes.as_flattened().to_vec()));
        hashes.chain(bundle.map(|tile| (tile, self.bundle.clone()))).collect()
    }

    /// The entry of record `seq`, which follows the last one; none if the log ends before it. What else a line says is
    /// for `verify` to judge.
    fn next_entry(&mut self, seq: u64) -> Result<Option<String>, PublishError> {
        let failed = |path: &std::path::Path| {
            let path = path.to_owned();
            move |source| PublishError::Log { path, source }
        };
        loop {
            let position = match &mut self.position {
                Some(position) => position,
                none => {
                    let files = segments(&self.log).map_err(failed(&self.log))?;
                    let Some(segment) = files.into_iter().rfind(|segment| segment.first_seq <= seq) else {
                        return Ok(None);
                    };
                    none.insert(Position { segment, offset: 0, lines: None })
                }
            };
            let lines = match &mut position.lines {
                Some(lines) => lines,
                none => none.insert(position.segment.lines(position.offset).map_err(failed(&position.segment.path))?),
            };
            loop {
                match lines.next() {
                    Ok(Some(line)) => {
                        let found = std::str::from_utf8(line).ok().and_then(Record::entry_of);
                        let Some((number, entry)) = found.map(|(number, entry)| (number, entry.into_owned())) else {
                            return Err(PublishError::Contradicted { seq });
                        };
                        position.offset = lines.offset();
                        match number.cmp(&seq) {
                            Ordering::Less => {}
                            Ordering::Equal => return Ok(Some(entry)),
                            Ordering::Greater => return Err(PublishError::Contradicted { seq }),
                        }
                    }
                    Ok(None) => break,
                    Err(LineError::Io(source)) => return Err(failed(&position.segment.path)(source)),
                    Err(LineError::Torn { .. } | LineError::TooLong) => {
                        return Err(PublishError::Contradicted { seq });
                    }
                }
            }
            // The next segment, if it has begun.
            let next = Segment::new(&self.log, seq);
            if position.segment == next || !next.path.exists() {
                return Ok(None);
            }
            *position = Position { segment: next, offset: 0, lines: None };
        }
    }

    /// The open tiles of a published head, if they are whole and the log goes on from there.
    fn take_up(&mut self, head: &Checkpoint) -> Result<(), PublishError> {
        let edge = self.store.edge(head.size)?;
        let damaged = || StoreError::Malformed { path: self.store.folder().to_owned() };
        if edge.root() != head.root {
            return Err(damaged().into());
        }
        if let Some(tile) = Tile::in_tree(TileKind::Entries, head.size / TILE_WIDTH as u64, head.size) {
            let entries = self.store.entries(&tile)?;
            let leaves = edge.open().find(|(tile, _)| tile.kind == TileKind::Hashes(0)).map(|(_, leaves)| leaves);
            if !leaves.is_some_and(|leaves| entries.iter().map(|entry| tlog::leaf(entry)).eq(leaves.iter().copied())) {
                return Err(damaged().into());
            }
            self.bundle = entries.iter().flat_map(|entry| tlog::bundled(entry)).collect();
        }
        self.edge = edge;
        if head.size == 0 {
            return Ok(());
        }
        let last: Hash = tlog::Hashes::subtree(&tlog::Tree { store: &self.store, size: head.size }, 0, head.size - 1)?;
        let entry = self.next_entry(head.size)?;
        self.look_away();
        let is_the_same = entry.is_some_and(|entry| tlog::leaf(entry.as_bytes()) == last);
        if is_the_same { Ok(()) } else { Err(PublishError::Contradicted { seq: head.size }) }
    }
}

/// Some ten thousand records; more are read when these are on disk.
const OWED_TILES_MAX: usize = 96;

#[cfg(test)]
#[path = "publish_tests.rs"]
mod tests;
