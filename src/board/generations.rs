//! Cache generations: a cached copy is true while the generation it was built from is current.
//!
//! A write bumps the generation before it is acknowledged; a reader takes the generation *before* it
//! reads the store, so a copy built beside a write carries the old number and is never believed.
use std::sync::atomic::Ordering;

use super::Board;
use super::layout::{GENERATION_WORDS, GENERATIONS, scatter};

impl Board {
    /// The generation that a copy built from now on belongs to.
    pub fn generation(&self, key: u64) -> u64 {
        let of_all = self.generation_word(EVERYTHING).load(Ordering::Acquire);
        self.generation_word(key).load(Ordering::Acquire).wrapping_add(of_all)
    }

    /// Copies on a disk outlive the board: nothing of an earlier boot may look current in this one.
    pub(super) fn begin_generations(&self, boot_id: u64) {
        self.generation_word(EVERYTHING).store(boot_id, Ordering::Release);
    }

    /// Makes every copy of everything stale: a worker died, perhaps between a write and its bump.
    pub fn bump_everything(&self) {
        self.generation_word(EVERYTHING).fetch_add(1, Ordering::AcqRel);
    }

    /// Makes every copy built so far stale, on every worker, and tells the new generation.
    pub fn bump(&self, key: u64) -> u64 {
        self.generation_word(key).fetch_add(1, Ordering::AcqRel) + 1
    }

    fn generation_word(&self, key: u64) -> &std::sync::atomic::AtomicU64 {
        let at = scatter(key) as usize % GENERATION_WORDS;
        &self.words()[GENERATIONS][at]
    }
}

/// The key whose word counts for every other key too.
const EVERYTHING: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bump_is_seen_through_another_mapping() {
        let (board, fd) = Board::create(1).unwrap();
        let other = Board::map(fd).unwrap();
        let before = other.generation(77);
        board.bump(77);
        assert_eq!(other.generation(77), before + 1);
        assert_eq!(other.generation(78), before, "neighbouring keys lie apart");
        board.bump_everything();
        assert_eq!((other.generation(77), other.generation(78)), (before + 2, before + 1));
    }

    #[test]
    fn no_generation_of_one_boot_is_one_of_the_next() {
        let (first, _fd) = Board::create(0x5576_ba22_3065_2b23).unwrap();
        let (second, _fd) = Board::create(0x7f7d_bd07_518a_e001).unwrap();
        assert_ne!(first.generation(77), second.generation(77));
    }
}
