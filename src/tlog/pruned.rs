//! Taking entries out of what is published, without changing the tree (C2SP `tlog-tiles`, pruning).
//!
//! Bundles before the *minimum index* go; every tile of hashes and every head stays. So what is left can be proven as
//! before, and that no head took anything back, too. That entries are gone, and since when, is written down before the
//! first of them goes: nobody who misses one is left to guess.
use std::fs::{self, File};
use std::io;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::edge::Edge;
use super::hash;
use super::store::{Store, StoreError};
use super::tile::{TILE_WIDTH, Tile, TileKind};
use crate::vault::write_private;

/// What is no longer published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pruned {
    /// Entries before this one are gone; a whole number of bundles.
    pub minimum_index: u64,
    /// Since when: RFC 3339, UTC.
    pub since: String,
}

impl Store {
    /// What is no longer there; `None` where all is.
    pub fn pruned(&self) -> Result<Option<Pruned>, StoreError> {
        let path = self.folder().join(FILE);
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|_| StoreError::Malformed { path }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StoreError::Read { path, source }),
        }
    }

    /// Writes down what is about to go, and makes that last.
    pub fn prune(&self, pruned: &Pruned) -> Result<(), StoreError> {
        let path = self.folder().join(FILE);
        let mut text = serde_json::to_vec(pruned).expect("strings and integers are always JSON");
        text.push(b'\n');
        write_private(&path, &text).map_err(|source| StoreError::Write { path, source })
    }

    /// Removes bundles of entries and makes that last. Those that are gone already are no fault.
    pub fn remove_bundles(&self, indexes: Range<u64>) -> Result<(), StoreError> {
        let mut indexes = indexes.peekable();
        while let Some(index) = indexes.next() {
            let bundle = Tile { kind: TileKind::Entries, index, width: TILE_WIDTH };
            let path = self.folder().join(bundle.to_string());
            let failed = |source| StoreError::Write { path: path.clone(), source };
            absent_is_fine(fs::remove_file(&path)).map_err(failed)?;
            self.remove_open(&bundle)?;
            let is_last_of_its_folder = indexes.peek().is_none_or(|next| next / 1_000 != index / 1_000);
            if is_last_of_its_folder && let Some(folder) = path.parent() {
                absent_is_fine(File::open(folder).and_then(|folder| folder.sync_all())).map_err(failed)?;
                // Only where it is empty; an empty one that is left does no harm.
                let _ = fs::remove_dir(folder);
            }
        }
        Ok(())
    }

    /// The edge of the tree when it had so many entries, which filled their tiles: from full tiles alone, so it can
    /// be had where open ones are lost.
    pub fn edge_at(&self, size: u64) -> Result<Edge, StoreError> {
        let malformed = || StoreError::Malformed { path: self.folder().to_owned() };
        let mut levels = vec![Vec::new()];
        for level in 1..Edge::depth(size) {
            let hashes = size >> (8 * level);
            let first = hashes - hashes % TILE_WIDTH as u64;
            let below = TileKind::Hashes(u8::try_from(level - 1).map_err(|_| malformed())?);
            let hash = |index| Ok(hash::complete(&self.hashes(&Tile { kind: below, index, width: TILE_WIDTH })?));
            levels.push((first..hashes).map(hash).collect::<Result<_, StoreError>>()?);
        }
        Edge::of(size, levels).ok_or_else(malformed)
    }
}

fn absent_is_fine(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

const FILE: &str = "pruned";

#[cfg(test)]
mod tests {
    use super::super::proof::tests::leaves;
    use super::super::store::bundled;
    use super::super::{Hash, root};
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().to_owned());
        (folder, store)
    }

    fn bundle(index: u64) -> Tile {
        Tile { kind: TileKind::Entries, index, width: TILE_WIDTH }
    }

    #[test]
    fn what_is_gone_is_told_with_its_time_and_what_is_left_is_read() {
        let (_folder, store) = store();
        let bytes: Vec<u8> = (0..256u32).flat_map(|n| bundled(&n.to_be_bytes()).collect::<Vec<_>>()).collect();
        (998..1_003).for_each(|index| store.write(&bundle(index), &bytes).unwrap());
        assert_eq!(store.pruned().unwrap(), None);
        let pruned = Pruned { minimum_index: 1_001 * 256, since: "2033-03-01T00:00:00.000Z".to_owned() };
        store.prune(&pruned).unwrap();
        assert_eq!(store.pruned().unwrap().as_ref(), Some(&pruned));
        // From the moment on at which it is written down, whether or not the files are gone yet.
        assert!(store.folder().join(bundle(1_000).to_string()).exists());
        for index in [0, 998, 1_000] {
            let told = store.read(&bundle(index)).unwrap_err();
            assert!(matches!(&told, StoreError::Pruned(what) if *what == pruned), "{told}");
        }
        assert_eq!(store.entries(&bundle(1_001)).unwrap().len(), 256);

        store.remove_bundles(998..1_001).unwrap();
        let there = |index| store.folder().join(bundle(index).to_string()).exists();
        assert_eq!((998..1_003).map(there).collect::<Vec<_>>(), [false, false, false, true, true]);
        assert!(store.folder().join("tile/entries/x001").exists(), "others live in that folder");
        store.remove_bundles(0..1_001).unwrap();
        store.remove_bundles(1_001..1_003).unwrap();
        assert!(!store.folder().join("tile/entries/x001").exists());
    }

    #[test]
    fn an_edge_is_had_from_full_tiles_alone() {
        let (_folder, store) = store();
        let leaves = leaves(66_304);
        let (mut edge, mut sizes) = (Edge::default(), vec![0]);
        for leaf in &leaves.0 {
            let bytes = |hashes: Vec<Hash>| hashes.as_flattened().to_vec();
            edge.push(*leaf).into_iter().for_each(|(tile, hashes)| store.write(&tile, &bytes(hashes)).unwrap());
            sizes.extend(edge.size().is_multiple_of(256).then_some(edge.size()));
        }
        for size in sizes.into_iter().filter(|size| size % 4_096 == 0 || *size > 65_000) {
            assert_eq!(store.edge_at(size).unwrap().root(), root(&leaves, size).unwrap(), "size {size}");
        }
        assert!(store.edge_at(300).is_err(), "300 entries do not fill their tiles");
        assert!(store.edge_at(66_560).is_err(), "the tree has not come so far");
    }
}
