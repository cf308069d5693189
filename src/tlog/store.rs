//! The log's files: `checkpoint`, and the tiles under their names. Any web server could hand them out as they are.
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::checkpoint::Checkpoint;
use super::edge::Edge;
use super::hash::{self, Hash};
use super::proof::{Hashes, inclusion};
use super::pruned::Pruned;
use super::tile::{TILE_WIDTH, Tile, TileKind};
use super::written::Proof;
use crate::vault::write_private;

/// The folder of one log.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
}

/// Why the log's files could not be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("could not read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("could not write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{} is not what its name says", path.display())]
    Malformed { path: PathBuf },
    #[error("the first {} entries are no longer there since {}", .0.minimum_index, .0.since)]
    Pruned(Pruned),
}

impl Store {
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The signed head; `None` before the first.
    pub fn checkpoint(&self) -> Result<Option<String>, StoreError> {
        let path = self.folder.join(CHECKPOINT);
        match fs::read_to_string(&path) {
            Ok(note) => Ok(Some(note)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StoreError::Read { path, source }),
        }
    }

    /// An entry with the proof that it is under the head; `None` if the head does not cover it.
    pub fn prove(&self, index: u64) -> Result<Option<(Vec<u8>, Proof)>, StoreError> {
        let Some(note) = self.checkpoint()? else { return Ok(None) };
        let malformed = || StoreError::Malformed { path: self.folder.join(CHECKPOINT) };
        let size = Checkpoint::read(&note).ok_or_else(malformed)?.size;
        let bundle = Tile::in_tree(TileKind::Entries, index / TILE_WIDTH as u64, size);
        let Some(bundle) = bundle.filter(|_| index < size) else { return Ok(None) };
        let entry = self.entries(&bundle)?.swap_remove((index % TILE_WIDTH as u64) as usize);
        let path = inclusion(&Tree { store: self, size }, index, size)?;
        Ok(Some((entry, Proof { index, path, checkpoint: note })))
    }

    /// Puts a signed head in the place of the last one, whole or not at all, and makes it last.
    pub fn publish(&self, note: &str) -> Result<(), StoreError> {
        let path = self.folder.join(CHECKPOINT);
        write_private(&path, note.as_bytes()).map_err(|source| StoreError::Write { path, source })
    }

    /// A tile's bytes. One that is not full may be the beginning of one that has become full since.
    pub fn read(&self, tile: &Tile) -> Result<Vec<u8>, StoreError> {
        if tile.kind == TileKind::Entries
            && let Some(pruned) = self.pruned()?
            && tile.index < pruned.minimum_index / TILE_WIDTH as u64
        {
            return Err(StoreError::Pruned(pruned));
        }
        let path = self.folder.join(tile.to_string());
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !tile.is_full() => {
                let full = self.read(&Tile { width: TILE_WIDTH, ..*tile })?;
                beginning(tile, &full).ok_or(StoreError::Malformed { path })
            }
            read => read.map_err(|source| StoreError::Read { path, source }),
        }
    }

    /// Writes a tile and makes it last.
    pub fn write(&self, tile: &Tile, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.folder.join(tile.to_string());
        let write = || {
            let folder = path.parent().ok_or_else(|| io::Error::other("a tile needs a folder"))?;
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            // Not behind another name first: no head speaks of it yet, and a torn one is written again.
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
            file.write_all(bytes)?;
            file.sync_data()?;
            File::open(folder)?.sync_all()
        };
        write().map_err(|source| StoreError::Write { path: path.clone(), source })
    }

    /// Removes what a tile was while it was not full.
    pub fn remove_open(&self, full: &Tile) -> Result<(), StoreError> {
        let path = self.folder.join(format!("{full}.p"));
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::Write { path, source: error }),
            _ => Ok(()),
        }
    }

    /// The open tiles of a tree of this size.
    pub fn edge(&self, size: u64) -> Result<Edge, StoreError> {
        let levels = (0..Edge::depth(size)).map(|level| {
            let index = size.checked_shr(8 * (level as u32 + 1)).unwrap_or(0);
            let tile = Tile::in_tree(TileKind::Hashes(level as u8), index, size);
            tile.map_or(Ok(Vec::new()), |tile| self.hashes(&tile))
        });
        let malformed = StoreError::Malformed { path: self.folder.clone() };
        Edge::of(size, levels.collect::<Result<_, _>>()?).ok_or(malformed)
    }

    pub(super) fn hashes(&self, tile: &Tile) -> Result<Vec<Hash>, StoreError> {
        let bytes = self.read(tile)?;
        let (hashes, rest) = bytes.as_chunks::<32>();
        if hashes.len() != tile.width || !rest.is_empty() {
            return Err(StoreError::Malformed { path: self.folder.join(tile.to_string()) });
        }
        Ok(hashes.to_vec())
    }

    /// The entries of a bundle.
    pub fn entries(&self, tile: &Tile) -> Result<Vec<Vec<u8>>, StoreError> {
        let bytes = self.read(tile)?;
        let entries = unbundle(&bytes).filter(|entries| entries.len() == tile.width);
        entries.ok_or_else(|| StoreError::Malformed { path: self.folder.join(tile.to_string()) })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// An entry behind its length. Entries are short of 64 KiB.
pub(crate) fn bundled(entry: &[u8]) -> impl Iterator<Item = u8> {
    let length = u16::try_from(entry.len()).expect("an entry has no details and short names");
    length.to_be_bytes().into_iter().chain(entry.iter().copied())
}

fn unbundle(mut bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut entries = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let (entry, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        entries.push(entry.to_vec());
        bytes = rest;
    }
    bytes.is_empty().then_some(entries)
}

/// As many hashes or entries as the tile has.
fn beginning(tile: &Tile, full: &[u8]) -> Option<Vec<u8>> {
    match tile.kind {
        TileKind::Hashes(_) => full.get(..32 * tile.width).map(<[u8]>::to_vec),
        TileKind::Entries => {
            let entries = unbundle(full)?;
            Some(entries.get(..tile.width)?.iter().flat_map(|entry| bundled(entry)).collect())
        }
    }
}

/// A tree of some size in the store, for proofs.
pub struct Tree<'a> {
    pub store: &'a Store,
    pub size: u64,
}

impl Hashes for Tree<'_> {
    type Error = StoreError;

    fn subtree(&self, height: u32, index: u64) -> Result<Hash, StoreError> {
        // The tile that holds its hashes, or those it is made of.
        let (level, below) = (height / 8, height % 8);
        let first = index << below;
        let (tile, at) = (first / TILE_WIDTH as u64, (first % TILE_WIDTH as u64) as usize);
        let missing = || StoreError::Malformed { path: self.store.folder.clone() };
        let tile = Tile::in_tree(TileKind::Hashes(level as u8), tile, self.size).ok_or_else(missing)?;
        let hashes = self.store.hashes(&tile)?;
        Ok(hash::complete(hashes.get(at..at + (1 << below)).ok_or_else(missing)?))
    }
}

const CHECKPOINT: &str = "checkpoint";

#[cfg(test)]
mod tests {
    use super::super::proof::tests::leaves;
    use super::super::{consistency, root};
    use super::*;

    /// A store with the tiles of a tree as they are written while it grows to the sizes.
    fn grown(sizes: &[u64]) -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().to_owned());
        let mut edge = Edge::default();
        let bytes = |hashes: &[Hash]| hashes.concat();
        for leaf in leaves(*sizes.last().unwrap()).0 {
            for (tile, hashes) in edge.push(leaf) {
                store.write(&tile, &bytes(&hashes)).unwrap();
                store.remove_open(&tile).unwrap();
            }
            if sizes.contains(&edge.size()) {
                edge.open().for_each(|(tile, hashes)| store.write(&tile, &bytes(hashes)).unwrap());
            }
        }
        (folder, store)
    }

    #[test]
    fn proofs_from_tiles_are_those_of_the_tree() {
        let (_folder, store) = grown(&[200, 66_000]);
        let leaves = leaves(66_000);
        for size in [200, 66_000] {
            let tree = Tree { store: &store, size };
            assert_eq!(root(&tree, size).unwrap(), root(&leaves, size).unwrap());
            for index in [0, 1, 131, 199, size - 1] {
                assert_eq!(inclusion(&tree, index, size).unwrap(), inclusion(&leaves, index, size).unwrap());
            }
            assert_eq!(store.edge(size).unwrap().root(), root(&leaves, size).unwrap());
        }
        let tree = Tree { store: &store, size: 66_000 };
        for old in [1, 200, 256, 65_535, 65_536, 65_999] {
            assert_eq!(consistency(&tree, old, 66_000).unwrap(), consistency(&leaves, old, 66_000).unwrap());
        }
    }

    #[test]
    fn an_open_tile_may_be_read_from_the_full_one() {
        let (_folder, store) = grown(&[200, 300]);
        let open = Tile { kind: TileKind::Hashes(0), index: 0, width: 200 };
        assert!(!store.folder().join("tile/0/000.p").exists());
        assert_eq!(store.hashes(&open).unwrap(), leaves(200).0);
        let bundle: Vec<u8> = (0..256u32).flat_map(|n| bundled(&n.to_be_bytes()).collect::<Vec<_>>()).collect();
        let full = Tile { kind: TileKind::Entries, index: 0, width: TILE_WIDTH };
        store.write(&full, &bundle).unwrap();
        let three = Tile { width: 3, ..full };
        assert_eq!(store.entries(&three).unwrap(), [0u32, 1, 2].map(|n| n.to_be_bytes().to_vec()));
    }

    #[test]
    fn damage_is_named() {
        let (_folder, store) = grown(&[300]);
        fs::write(store.folder().join("tile/0/001.p/44"), [0; 44 * 32 - 1]).unwrap();
        let error = store.edge(300).unwrap_err();
        assert!(matches!(&error, StoreError::Malformed { path } if path.ends_with("tile/0/001.p/44")), "{error}");
        assert_eq!(unbundle(&[0, 2, 1]), None);
        assert_eq!(unbundle(&[0]), None);
    }
}
