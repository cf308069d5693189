//! Which cells of the board are taken. Every process has one of its own, so that a worker and its
//! successor never write over each other's heartbeat.
//!
//! On an inherited board there may be workers of a supervisor that was killed: they finish what they began, and
//! their cells are theirs until they beat no more.
use std::time::{Duration, Instant};

use hotline::board::{Board, CELLS_MAX};

pub(super) struct Cells {
    taken: Vec<bool>,
    orphans: Vec<Orphan>,
}

/// A worker that is not ours.
struct Orphan {
    cell: u16,
    beat_ms: u64,
    seen: Instant,
}

impl Cells {
    /// All free but those that somebody may still beat in.
    pub(super) fn beside_orphans(board: &Board, now: Instant) -> Self {
        let orphan = |cell| {
            let beat_ms = board.cell(cell).last_beat_ms();
            (beat_ms != 0).then_some(Orphan { cell, beat_ms, seen: now })
        };
        let orphans: Vec<Orphan> = (0..CELLS_MAX).filter_map(orphan).collect();
        let mut taken = vec![false; usize::from(CELLS_MAX)];
        orphans.iter().for_each(|orphan| taken[usize::from(orphan.cell)] = true);
        Self { taken, orphans }
    }

    /// On a board that stays ours: these are taken, and there are no orphans.
    pub(super) fn taken(by: impl IntoIterator<Item = u16>) -> Self {
        let mut taken = vec![false; usize::from(CELLS_MAX)];
        by.into_iter().for_each(|cell| taken[usize::from(cell)] = true);
        Self { taken, orphans: Vec::new() }
    }

    /// The lowest free cell.
    pub(super) fn take(&mut self) -> Option<u16> {
        let free = self.taken.iter().position(|taken| !taken)?;
        self.taken[free] = true;
        u16::try_from(free).ok()
    }

    pub(super) fn give_back(&mut self, cell: u16) {
        self.taken[usize::from(cell)] = false;
    }

    /// Workers of an earlier supervisor may still be at work.
    pub(super) fn have_orphans(&self) -> bool {
        !self.orphans.is_empty()
    }

    /// Frees the cells in which nobody has beaten for so long that nobody lives.
    pub(super) fn bury_orphans(&mut self, board: &Board, now: Instant) {
        let taken = &mut self.taken;
        self.orphans.retain_mut(|orphan| {
            let beat_ms = board.cell(orphan.cell).last_beat_ms();
            if beat_ms != orphan.beat_ms {
                (orphan.beat_ms, orphan.seen) = (beat_ms, now);
            }
            let lives = now.saturating_duration_since(orphan.seen) < SILENT_FOR;
            if !lives {
                board.cell(orphan.cell).clear();
                taken[usize::from(orphan.cell)] = false;
            }
            lives
        });
    }
}

/// Twenty beats.
const SILENT_FOR: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_given_twice_and_none_is_lost() {
        let (board, _fd) = Board::create(1).unwrap();
        let mut cells = Cells::beside_orphans(&board, Instant::now());
        let all: Vec<u16> = std::iter::from_fn(|| cells.take()).collect();
        assert_eq!(all, (0..CELLS_MAX).collect::<Vec<_>>());
        cells.give_back(7);
        assert_eq!((cells.take(), cells.take()), (Some(7), None));
    }

    #[test]
    fn the_cell_of_an_orphan_is_free_when_it_has_fallen_silent() {
        let (board, _fd) = Board::create(1).unwrap();
        board.cell(0).beat(17);
        let now = Instant::now();
        let mut cells = Cells::beside_orphans(&board, now);
        assert!(cells.have_orphans());
        assert_eq!(cells.take(), Some(1));
        board.cell(0).beat(18);
        cells.bury_orphans(&board, now + SILENT_FOR);
        assert!(cells.have_orphans(), "it beats");
        cells.bury_orphans(&board, now + SILENT_FOR * 2);
        assert!(!cells.have_orphans());
        assert_eq!((cells.take(), board.cell(0).last_beat_ms()), (Some(0), 0));
    }
}
