//! The growing edge of the tree: the tiles that are not full yet, one for each level. It knows the root without reading.
use super::hash::{self, Hash};
use super::tile::{TILE_WIDTH, Tile, TileKind};

/// What is open at the right of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    size: u64,
    /// The hashes of each level's last tile, the leaves first; each has fewer than a tile holds.
    levels: Vec<Vec<Hash>>,
}

impl Default for Edge {
    fn default() -> Self {
        Self { size: 0, levels: vec![Vec::new()] }
    }
}

impl Edge {
    /// From the open tiles of a tree of this size, the leaves first.
    pub fn of(size: u64, levels: Vec<Vec<Hash>>) -> Option<Self> {
        let widths = (0..levels.len()).map(|level| open_width(size, level));
        let fits =
            levels.iter().map(Vec::len).eq(widths) && size.checked_shr(8 * levels.len() as u32).unwrap_or(0) == 0;
        (fits && !levels.is_empty()).then_some(Self { size, levels })
    }

    /// How many levels a tree of this size has.
    pub fn depth(size: u64) -> usize {
        (u64::BITS - size.leading_zeros()).div_ceil(8).max(1) as usize
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf; gives the tiles that are full with it, with their hashes.
    pub fn push(&mut self, leaf: Hash) -> Vec<(Tile, Vec<Hash>)> {
        self.size += 1;
        let (mut full, mut hash) = (Vec::new(), leaf);
        for level in 0.. {
            if level == self.levels.len() {
                self.levels.push(Vec::new());
            }
            let open = &mut self.levels[level];
            open.push(hash);
            if open.len() < TILE_WIDTH {
                break;
            }
            let hashes = std::mem::take(open);
            hash = hash::complete(&hashes);
            let index = (self.size >> (8 * (level + 1))) - 1;
            full.push((Tile { kind: TileKind::Hashes(level as u8), index, width: TILE_WIDTH }, hashes));
        }
        full
    }

    /// The tiles that are open, with their hashes; none that is empty.
    pub fn open(&self) -> impl Iterator<Item = (Tile, &[Hash])> {
        let levels = self.levels.iter().enumerate().filter(|(_, hashes)| !hashes.is_empty());
        levels.map(|(level, hashes)| {
            let index = self.size >> (8 * (level + 1));
            (Tile { kind: TileKind::Hashes(level as u8), index, width: hashes.len() }, &hashes[..])
        })
    }

    pub fn root(&self) -> Hash {
        let mut right: Option<Hash> = None;
        for hashes in &self.levels {
            // Complete subtrees of falling size, as the bits of their number say; the last stands rightmost.
            let mut rest = &hashes[..];
            while !rest.is_empty() {
                let (left, subtree) = rest.split_at(rest.len() - (1 << rest.len().trailing_zeros()));
                let subtree = hash::complete(subtree);
                right = Some(right.map_or(subtree, |right| hash::node(&subtree, &right)));
                rest = left;
            }
        }
        right.unwrap_or_else(hash::of_nothing)
    }
}

fn open_width(size: u64, level: usize) -> usize {
    (size.checked_shr(8 * level as u32).unwrap_or(0) % TILE_WIDTH as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::super::proof::tests::{Leaves, leaves};
    use super::*;

    #[test]
    fn its_root_is_that_of_the_tree_at_every_size() {
        let leaves = leaves(70_000);
        let mut edge = Edge::default();
        assert_eq!(edge.root(), hash::of_nothing());
        for (at, leaf) in leaves.0.iter().enumerate() {
            edge.push(*leaf);
            let size = at as u64 + 1;
            if size < 600 || size.is_multiple_of(4_999) || size % 65_536 < 2 {
                assert_eq!(edge.root(), super::super::root(&Leaves(leaves.0.clone()), size).unwrap(), "size {size}");
            }
        }
    }

    #[test]
    fn seventy_thousand_entries_have_the_tiles_that_the_specification_counts() {
        let mut edge = Edge::default();
        let full: Vec<Tile> = leaves(70_000).0.iter().flat_map(|leaf| edge.push(*leaf)).map(|(tile, _)| tile).collect();
        let of_level = |level| full.iter().filter(|tile| tile.kind == TileKind::Hashes(level)).count();
        assert_eq!((of_level(0), of_level(1), full.len()), (273, 1, 274));
        let open: Vec<_> = edge.open().map(|(tile, _)| (tile.kind, tile.index, tile.width)).collect();
        let hashes = TileKind::Hashes;
        assert_eq!(open, [(hashes(0), 273, 112), (hashes(1), 1, 17), (hashes(2), 0, 1)]);
    }

    #[test]
    fn it_is_made_again_from_what_is_open() {
        let mut edge = Edge::default();
        leaves(1_000).0.iter().for_each(|leaf| drop(edge.push(*leaf)));
        assert_eq!(Edge::of(1_000, edge.levels.clone()), Some(edge.clone()));
        assert_eq!(Edge::depth(1_000), edge.levels.len());
        assert_eq!(Edge::of(1_001, edge.levels.clone()), None);
        assert_eq!(Edge::of(1_000, edge.levels[..1].to_vec()), None);
        assert_eq!((Edge::depth(0), Edge::depth(255), Edge::depth(256), Edge::depth(u64::MAX)), (1, 1, 2, 8));
    }
}
