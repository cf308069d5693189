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
        self.generation_word(key).load(Ordering::Acquire)
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
        assert_eq!(other.generation(78), 0, "neighbouring keys lie apart");
    }
}
