//! Where everything lies on the board, and the stamp that keeps two layouts from being mixed.
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// Why a mapping is not a board of ours.
#[derive(Debug, thiserror::Error)]
pub enum BoardError {
    #[error("could not map the board")]
    Map(#[source] io::Error),
    #[error("the board has {found} words; this build expects {expected}")]
    Size { found: usize, expected: usize },
    #[error("the board has layout {found:#x}; this build expects {expected:#x}")]
    Layout { found: u64, expected: u64 },
}

/// Marks a fresh mapping as a board of this layout.
pub(super) fn stamp(words: &[AtomicU64], boot_id: u64) {
    words[BOOT_ID].store(boot_id, Ordering::Relaxed);
    words[LAYOUT].store(LAYOUT_ID, Ordering::Release);
}

/// The board is another supervisor's from now on.
pub(super) fn take_over(words: &[AtomicU64], boot_id: u64) {
    words[BOOT_ID].store(boot_id, Ordering::Release);
}

pub(super) fn boot_id(words: &[AtomicU64]) -> u64 {
    words[BOOT_ID].load(Ordering::Acquire)
}

/// Refuses a mapping of another size or layout.
pub(super) fn check(words: &[AtomicU64]) -> Result<(), BoardError> {
    if words.len() < WORDS {
        return Err(BoardError::Size { found: words.len(), expected: WORDS });
    }
    match words[LAYOUT].load(Ordering::Acquire) {
        LAYOUT_ID => Ok(()),
        found => Err(BoardError::Layout { found, expected: LAYOUT_ID }),
    }
}

/// Spreads a key over all 64 bits, so that callers may pass anything that tells keys apart.
pub(super) const fn scatter(key: u64) -> u64 {
    // The finaliser of splitmix64: every input bit reaches every output bit.
    let mut z = key.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

const LAYOUT: usize = 0;
const BOOT_ID: usize = 1;

/// Words of one cache line; parts that different processes write never share one.
const LINE: usize = 8;
/// `"hotline"` and the layout's number; raise it with every change below, and of what a word means.
pub const LAYOUT_ID: u64 = 0x686f_746c_696e_0005;

/// Workers that can have a heartbeat cell at one time.
pub const CELLS_MAX: u16 = 256;
pub(super) const CELL_WORDS: usize = 2 * LINE;
pub(super) const CELLS: Range<usize> = after(LINE, CELLS_MAX as usize * CELL_WORDS);

/// Cells that look after one key each are found among this many neighbours.
pub(super) const WAYS: usize = 4;
/// 65,536 callers with a running budget, 1 MiB.
pub(super) const LIMIT_SETS: usize = 16_384;
pub(super) const LIMIT_WORDS: usize = 2;
pub(super) const LIMITS: Range<usize> = after(CELLS.end, LIMIT_SETS * WAYS * LIMIT_WORDS);

/// 16,384 sessions in use, 1 MiB.
pub(super) const SESSION_SETS: usize = 4_096;
pub(super) const SESSION_WORDS: usize = LINE;
pub(super) const SESSIONS: Range<usize> = after(LIMITS.end, SESSION_SETS * WAYS * SESSION_WORDS);

/// 65,536 generations, 512 KiB. Two keys on one word cost a cache miss, never a wrong hit.
pub(super) const GENERATION_WORDS: usize = 65_536;
pub(super) const GENERATIONS: Range<usize> = after(SESSIONS.end, GENERATION_WORDS);

pub(super) const WORDS: usize = GENERATIONS.end;

const fn after(start: usize, length: usize) -> Range<usize> {
    start..start + length
}
