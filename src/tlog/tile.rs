//! Tiles and bundles by name: `tile/<level>/x001/x234/067`, `tile/entries/000.p/17`.
use std::fmt;

/// Hashes or entries of a full tile.
pub const TILE_WIDTH: usize = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TileKind {
    /// Hashes of this level; leaves are level 0.
    Hashes(u8),
    /// The entries themselves.
    Entries,
}

/// One file of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tile {
    pub kind: TileKind,
    pub index: u64,
    /// How many hashes or entries it has.
    pub width: usize,
}

impl Tile {
    pub fn is_full(&self) -> bool {
        self.width == TILE_WIDTH
    }

    /// The tile of this kind and index in a tree of this size; none where the tree has not come so far.
    pub fn in_tree(kind: TileKind, index: u64, size: u64) -> Option<Self> {
        let level = if let TileKind::Hashes(level) = kind { u32::from(level) } else { 0 };
        let hashes = size.checked_shr(8 * level).unwrap_or(0);
        let width = hashes.checked_sub(index.checked_mul(TILE_WIDTH as u64)?)?.min(TILE_WIDTH as u64);
        (width > 0).then_some(Self { kind, index, width: width as usize })
    }

    pub fn parse(path: &str) -> Option<Self> {
        let (kind, rest) = path.strip_prefix("tile/")?.split_once('/')?;
        let kind = match kind {
            "entries" => TileKind::Entries,
            level => TileKind::Hashes(number(level).filter(|level| *level < LEVELS_MAX)? as u8),
        };
        let (digits, width) = match rest.split_once(".p/") {
            Some((digits, width)) => (digits, number(width).filter(|width| (1..256).contains(width))? as usize),
            None => (rest, TILE_WIDTH),
        };
        let mut index = 0u64;
        let mut groups = digits.split('/').peekable();
        while let Some(group) = groups.next() {
            let group = if groups.peek().is_some() { group.strip_prefix('x')? } else { group };
            if group.len() != 3 || !group.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            index = index.checked_mul(1_000)?.checked_add(group.parse().ok()?)?;
        }
        let tile = Self { kind, index, width };
        // One name for each tile, and no other.
        (tile.to_string() == path).then_some(tile)
    }
}

/// Without a sign and without zeros in front.
fn number(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TileKind::Hashes(level) => write!(f, "tile/{level}")?,
            TileKind::Entries => f.write_str("tile/entries")?,
        }
        let groups = std::iter::successors(Some(self.index), |rest| Some(rest / 1_000).filter(|rest| *rest > 0));
        let groups: Vec<u64> = groups.map(|rest| rest % 1_000).collect();
        for (at, group) in groups.iter().enumerate().rev() {
            write!(f, "/{}{group:03}", if at > 0 { "x" } else { "" })?;
        }
        if self.is_full() { Ok(()) } else { write!(f, ".p/{}", self.width) }
    }
}

const LEVELS_MAX: u64 = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_those_of_the_specification() {
        let tile = |kind, index, width| Tile { kind, index, width }.to_string();
        assert_eq!(tile(TileKind::Hashes(0), 1_234_067, 256), "tile/0/x001/x234/067");
        assert_eq!(tile(TileKind::Hashes(1), 0, 17), "tile/1/000.p/17");
        assert_eq!(tile(TileKind::Entries, 273, 112), "tile/entries/273.p/112");
        assert_eq!(tile(TileKind::Entries, 1_000, 256), "tile/entries/x001/000");
    }

    #[test]
    fn no_other_name_is_taken_for_a_tile() {
        for path in [
            "",
            "tile",
            "tile/0",
            "tile/0/",
            "tile/0/1",
            "tile/0/0001",
            "tile/00/001",
            "tile/64/001",
            "tile/-1/001",
            "tile/0/x000/001",
            "tile/0/001/002",
            "tile/0/x001",
            "tile/0/001.p/0",
            "tile/0/001.p/256",
            "tile/0/001.p/07",
            "tile/0/001.p/",
            "tile/0/../checkpoint",
            "tile/entries/001/",
            "tile/0/x999/x999/x999/x999/x999/x999/999",
        ] {
            assert_eq!(Tile::parse(path), None, "{path}");
        }
    }

    #[test]
    fn a_tree_has_the_tiles_of_its_size() {
        let in_tree = |level, index| Tile::in_tree(TileKind::Hashes(level), index, 70_000).map(|tile| tile.width);
        assert_eq!((in_tree(0, 272), in_tree(0, 273), in_tree(0, 274)), (Some(256), Some(112), None));
        assert_eq!((in_tree(1, 1), in_tree(2, 0), in_tree(3, 0), in_tree(63, 0)), (Some(17), Some(1), None, None));
    }

    proptest! {
        #[test]
        fn every_name_leads_back_to_its_tile(level in 0u8..64, index: u64, width in 1usize..=256, entries: bool) {
            let kind = if entries { TileKind::Entries } else { TileKind::Hashes(level) };
            let tile = Tile { kind, index, width };
            prop_assert_eq!(Tile::parse(&tile.to_string()), Some(tile));
        }
    }
}
