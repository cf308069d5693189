//! The board: one shared mapping of atomic words that every process sees.
//!
//! It answers on the hot path, in nanoseconds and exactly across workers, what would otherwise be a
//! message or a query: may this caller go on, is this session alive, is this cached copy still true,
//! does that worker still breathe. It holds nothing that the store could not give again (a crashed
//! worker leaves it intact, a restarted supervisor begins with an empty one), so every look-up that
//! finds nothing means "ask the store", never "yes".
//!
//! No locks: a cell is one word moved by compare-and-swap, or a few words behind a sequence word
//! that is odd while its one writer is at work.
mod generations;
mod heartbeat;
mod layout;
mod limits;
mod sessions;

use std::io;
use std::os::fd::OwnedFd;

pub use heartbeat::{HeartbeatCell, WorkerPhase};
pub use layout::{BoardError, CELLS_MAX, LAYOUT_ID};
pub use limits::Taken;
pub use sessions::SessionCell;

use crate::sys::SharedWords;

/// A process's view of the shared memory.
pub struct Board {
    words: SharedWords,
}

impl Board {
    /// Makes an empty board; the descriptor is for handing on to workers.
    pub fn create(boot_id: u64) -> io::Result<(Self, OwnedFd)> {
        let (words, fd) = SharedWords::create("hotline-board", layout::WORDS)?;
        let board = Self { words };
        layout::stamp(board.words(), boot_id);
        board.begin_generations(boot_id);
        Ok((board, fd))
    }

    /// Takes over the board of an earlier supervisor, with all it knows, in the name of a new boot. What died
    /// together with that supervisor may have died between a write and its bump.
    pub fn adopt(fd: OwnedFd, boot_id: u64) -> Result<Self, BoardError> {
        let board = Self::map(fd)?;
        board.bump_everything();
        layout::take_over(board.words(), boot_id);
        Ok(board)
    }

    /// The supervisor that the board belongs to.
    pub fn boot_id(&self) -> u64 {
        layout::boot_id(self.words())
    }

    /// Maps the board that a supervisor of the same layout made.
    pub fn map(fd: OwnedFd) -> Result<Self, BoardError> {
        let words = SharedWords::map(fd).map_err(BoardError::Map)?;
        layout::check(words.as_slice())?;
        Ok(Self { words })
    }

    fn words(&self) -> &[std::sync::atomic::AtomicU64] {
        self.words.as_slice()
    }
}
