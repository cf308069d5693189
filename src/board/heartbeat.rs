//! One cell for each worker: that it breathes, what it does, and what is wrong with it.
//!
//! The beat is written from the runtime that serves requests, so a worker whose requests hang does
//! not look alive.
use std::sync::atomic::{AtomicU64, Ordering};

use super::Board;
use super::layout::{CELL_WORDS, CELLS, CELLS_MAX};
use crate::wire::Role;

/// What a worker says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerPhase {
    /// Nobody lives here.
    Empty = 0,
    /// Exec'ed, not yet serving.
    Starting = 1,
    /// Takes work.
    Serving = 2,
    /// Finishes what is begun.
    Draining = 3,
}

/// A worker's place on the board.
pub struct HeartbeatCell<'a> {
    words: &'a [AtomicU64],
}

impl Board {
    /// The cell of a slot. Cells lie on cache lines of their own.
    ///
    /// # Panics
    /// If `cell` is not below [`CELLS_MAX`]; slots are given out by the supervisor, which checks.
    pub fn cell(&self, cell: u16) -> HeartbeatCell<'_> {
        assert!(cell < CELLS_MAX, "heartbeat cell {cell} is beyond the board");
        let at = usize::from(cell) * CELL_WORDS;
        HeartbeatCell { words: &self.words()[CELLS][at..at + CELL_WORDS] }
    }

    /// Somebody of this role takes work and has beaten since then. Cells belong to nobody in particular: a worker
    /// and its successor have different ones.
    pub fn has_breathing(&self, role: Role, since_ms: u64) -> bool {
        (0..CELLS_MAX)
            .map(|cell| self.cell(cell))
            .any(|cell| cell.is_of(role) && cell.phase() == WorkerPhase::Serving && cell.last_beat_ms() > since_ms)
    }
}

impl HeartbeatCell<'_> {
    pub fn beat(&self, now_ms: u64) {
        self.words[BEAT].store(now_ms, Ordering::Release);
    }

    pub fn last_beat_ms(&self) -> u64 {
        self.words[BEAT].load(Ordering::Acquire)
    }

    /// Tells who lives here.
    pub fn set_role(&self, role: Role) {
        self.words[ROLE].store(number_of(role), Ordering::Release);
    }

    fn is_of(&self, role: Role) -> bool {
        self.words[ROLE].load(Ordering::Acquire) == number_of(role)
    }

    pub fn set_phase(&self, phase: WorkerPhase) {
        self.words[PHASE].store(phase as u64, Ordering::Release);
    }

    pub fn phase(&self) -> WorkerPhase {
        match self.words[PHASE].load(Ordering::Acquire) {
            1 => WorkerPhase::Starting,
            2 => WorkerPhase::Serving,
            3 => WorkerPhase::Draining,
            _ => WorkerPhase::Empty,
        }
    }

    /// Open connections, for `hotline status`.
    pub fn connections(&self) -> &AtomicU64 {
        &self.words[CONNECTIONS]
    }

    /// Requests answered by this generation.
    pub fn requests(&self) -> &AtomicU64 {
        &self.words[REQUESTS]
    }

    /// Work waiting: jobs for background, records for the scribe.
    pub fn backlog(&self) -> &AtomicU64 {
        &self.words[BACKLOG]
    }

    /// Thousandths of the last tick in which the request runtime was at work, not parked; of a background worker, all
    /// of them while it has a job.
    pub fn busy_permille(&self) -> &AtomicU64 {
        &self.words[BUSY]
    }

    /// Since when the oldest job has been due and nobody has taken it; 0: none waits.
    pub fn waiting_since_ms(&self) -> &AtomicU64 {
        &self.words[WAITING_SINCE]
    }

    /// Set while the worker cannot do its duty (the log cannot be written, the models are missing).
    pub fn set_degraded(&self, degraded: bool) {
        self.words[DEGRADED].store(u64::from(degraded), Ordering::Release);
    }

    pub fn is_degraded(&self) -> bool {
        self.words[DEGRADED].load(Ordering::Acquire) != 0
    }

    /// Forgets the predecessor; the supervisor does this before it starts a successor.
    pub fn clear(&self) {
        self.words.iter().for_each(|word| word.store(0, Ordering::Release));
    }
}

const BEAT: usize = 0;
const PHASE: usize = 1;
const CONNECTIONS: usize = 2;
const REQUESTS: usize = 3;
const BACKLOG: usize = 4;
const DEGRADED: usize = 5;
const BUSY: usize = 6;
const ROLE: usize = 7;
const WAITING_SINCE: usize = 8;

/// Zero is nobody.
fn number_of(role: Role) -> u64 {
    match role {
        Role::Scribe => 1,
        Role::Background => 2,
        Role::Api => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_breathes_in_whatever_cell() {
        let (board, _fd) = Board::create(1).unwrap();
        let breathes = || board.has_breathing(Role::Background, 100);
        for (cell, role, beat_ms) in [(1, Role::Background, 100), (200, Role::Api, 200)] {
            board.cell(cell).set_role(role);
            board.cell(cell).set_phase(WorkerPhase::Serving);
            board.cell(cell).beat(beat_ms);
        }
        assert!(!breathes(), "one has fallen silent, the other is of another role");
        board.cell(199).set_role(Role::Background);
        board.cell(199).beat(200);
        assert!(!breathes(), "not yet serving");
        board.cell(199).set_phase(WorkerPhase::Serving);
        assert!(breathes());
    }

    #[test]
    fn a_successor_starts_from_an_empty_cell() {
        let (board, fd) = Board::create(1).unwrap();
        let worker = Board::map(fd).unwrap();
        worker.cell(3).beat(17);
        worker.cell(3).set_phase(WorkerPhase::Serving);
        worker.cell(3).busy_permille().store(640, Ordering::Relaxed);
        assert_eq!(board.cell(3).last_beat_ms(), 17);
        assert_eq!(board.cell(3).phase(), WorkerPhase::Serving);
        assert_eq!(board.cell(4).phase(), WorkerPhase::Empty);
        assert_eq!(board.cell(3).busy_permille().load(Ordering::Relaxed), 640);
        board.cell(3).clear();
        assert_eq!(worker.cell(3).busy_permille().load(Ordering::Relaxed), 0);
        assert_eq!(worker.cell(3).phase(), WorkerPhase::Empty);
    }
}
