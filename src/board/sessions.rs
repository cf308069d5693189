//! Sessions in use: what every request asks about, without a query.
//!
//! The store is the authority; a cell is a copy that every worker sees at once. A session that is not
//! here must be looked up there. A revoked session stays here as revoked, so that a copy that some
//! worker fetched before the revocation cannot bring it back.
use std::sync::atomic::{AtomicU64, Ordering, fence};

use super::Board;
use super::layout::{SESSION_SETS, SESSION_WORDS, SESSIONS, WAYS, scatter};

/// A session as the hot path needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionCell {
    pub user: u128,
    /// Roles, clearance and proof, packed; what follows from them the policies say.
    pub standing: u64,
    /// Moves when the user's rights change; cached decisions and copies carry it.
    pub epoch: u32,
    pub expires_at_ms: u64,
    pub last_seen_ms: u64,
    pub revoked: bool,
    /// The user's password was given by somebody else and waits to be replaced.
    pub must_change_password: bool,
    /// Somebody of the staff who has no second factor.
    pub lacks_factor: bool,
}

impl Board {
    /// What is known of a session; `None` means "ask the store".
    pub fn session(&self, id: u128) -> Option<SessionCell> {
        self.session_set(id).chunks_exact(SESSION_WORDS).find_map(|cell| read(cell, id))
    }

    /// Makes a session known to every worker. A revoked one stays revoked, and what is known of a later epoch stays:
    /// so a copy that somebody read before a change cannot undo it.
    ///
    /// If all four places are taken, the one seen longest ago makes room.
    pub fn put_session(&self, id: u128, new: SessionCell) {
        let set = self.session_set(id);
        let cell = set
            .chunks_exact(SESSION_WORDS)
            .find(|cell| holds(cell, id))
            .or_else(|| set.chunks_exact(SESSION_WORDS).min_by_key(|cell| cell[LAST_SEEN].load(Ordering::Relaxed)))
            .unwrap_or(&set[..SESSION_WORDS]);
        write(cell, |cell| {
            let flags = if holds(cell, id) { cell[FLAGS].load(Ordering::Relaxed) } else { 0 };
            let revoked = if new.revoked { REVOKED } else { flags & REVOKED };
            if (flags >> 32) as u32 > new.epoch {
                cell[FLAGS].store(flags | revoked, Ordering::Relaxed);
                return;
            }
            let must_change = if new.must_change_password { MUST_CHANGE_PASSWORD } else { 0 };
            let lacks_factor = if new.lacks_factor { LACKS_FACTOR } else { 0 };
            cell[ID].store(tag(id), Ordering::Relaxed);
            cell[USER_HIGH].store((new.user >> 64) as u64, Ordering::Relaxed);
            cell[USER_LOW].store(new.user as u64, Ordering::Relaxed);
            cell[STANDING].store(new.standing, Ordering::Relaxed);
            cell[EXPIRES].store(new.expires_at_ms, Ordering::Relaxed);
            cell[LAST_SEEN].store(new.last_seen_ms, Ordering::Relaxed);
            cell[FLAGS].store(u64::from(new.epoch) << 32 | revoked | must_change | lacks_factor, Ordering::Relaxed);
        });
    }

    /// Notes that the session was used, for the idle limit. Never goes back in time.
    pub fn touch_session(&self, id: u128, now_ms: u64) {
        if let Some(cell) = self.session_set(id).chunks_exact(SESSION_WORDS).find(|cell| holds(cell, id)) {
            cell[LAST_SEEN].fetch_max(now_ms, Ordering::Relaxed);
        }
    }

    /// Ends a session for every worker, from their next request on.
    pub fn revoke_session(&self, id: u128) {
        for cell in self.session_set(id).chunks_exact(SESSION_WORDS).filter(|cell| holds(cell, id)) {
            write(cell, |cell| {
                if holds(cell, id) {
                    cell[FLAGS].fetch_or(REVOKED, Ordering::Relaxed);
                }
            });
        }
    }

    fn session_set(&self, id: u128) -> &[AtomicU64] {
        let set = scatter(tag(id)) as usize % SESSION_SETS;
        &self.words()[SESSIONS][set * WAYS * SESSION_WORDS..][..WAYS * SESSION_WORDS]
    }
}

/// 64 bits of a random 122-bit id. Two live sessions sharing them is a one-in-10^11 event at a million
/// sessions, and even then the token's own subject is compared with the cell's user.
fn tag(id: u128) -> u64 {
    scatter((id >> 64) as u64 ^ scatter(id as u64)) | 1
}

fn holds(cell: &[AtomicU64], id: u128) -> bool {
    cell[ID].load(Ordering::Relaxed) == tag(id)
}

/// Reads a cell whole: again if a writer was at work.
fn read(cell: &[AtomicU64], id: u128) -> Option<SessionCell> {
    for _ in 0..SPINS_MAX {
        let before = cell[SEQUENCE].load(Ordering::Acquire);
        if before & 1 == 1 {
            std::hint::spin_loop();
            continue;
        }
        if !holds(cell, id) {
            return None;
        }
        let flags = cell[FLAGS].load(Ordering::Relaxed);
        let copy = SessionCell {
            user: u128::from(cell[USER_HIGH].load(Ordering::Relaxed)) << 64
                | u128::from(cell[USER_LOW].load(Ordering::Relaxed)),
            standing: cell[STANDING].load(Ordering::Relaxed),
            epoch: (flags >> 32) as u32,
            expires_at_ms: cell[EXPIRES].load(Ordering::Relaxed),
            last_seen_ms: cell[LAST_SEEN].load(Ordering::Relaxed),
            revoked: flags & REVOKED != 0,
            must_change_password: flags & MUST_CHANGE_PASSWORD != 0,
            lacks_factor: flags & LACKS_FACTOR != 0,
        };
        fence(Ordering::Acquire);
        if cell[SEQUENCE].load(Ordering::Relaxed) == before {
            return Some(copy);
        }
    }
    None // a writer died half-way: the store knows
}

/// Changes a cell alone. A writer that died half-way leaves the sequence odd; it is taken over after
/// a bounded wait, because what it left is unreadable until somebody writes the whole cell again.
fn write(cell: &[AtomicU64], change: impl Fn(&[AtomicU64])) {
    let mut spins = 0;
    let odd = loop {
        let now = cell[SEQUENCE].load(Ordering::Acquire);
        let abandoned = now & 1 == 1 && spins > SPINS_MAX;
        let next = if now & 1 == 0 { now + 1 } else { now + 2 };
        if (now & 1 == 0 || abandoned)
            && cell[SEQUENCE].compare_exchange(now, next, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        {
            break next;
        }
        spins += 1;
        std::hint::spin_loop();
    };
    fence(Ordering::Release);
    change(cell);
    // If somebody took the cell over meanwhile, it is theirs to close.
    let _ = cell[SEQUENCE].compare_exchange(odd, odd + 1, Ordering::Release, Ordering::Relaxed);
}

/// About a hundred microseconds; a cell is written in a hundred nanoseconds.
const SPINS_MAX: u32 = 20_000;
const REVOKED: u64 = 1;
const MUST_CHANGE_PASSWORD: u64 = 1 << 1;
const LACKS_FACTOR: u64 = 1 << 2;

const SEQUENCE: usize = 0;
const ID: usize = 1;
const USER_HIGH: usize = 2;
const USER_LOW: usize = 3;
const STANDING: usize = 4;
const EXPIRES: usize = 5;
const LAST_SEEN: usize = 6;
/// Epoch in the upper half, flags in the lower.
const FLAGS: usize = 7;

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(n: u64) -> SessionCell {
        SessionCell {
            user: u128::from(n) << 64 | u128::from(n),
            standing: n,
            epoch: n as u32,
            expires_at_ms: n,
            last_seen_ms: n,
            revoked: false,
            must_change_password: n.is_multiple_of(2),
            lacks_factor: n.is_multiple_of(3),
        }
    }

    #[test]
    fn a_session_is_known_to_every_worker_until_it_is_revoked() {
        let (board, fd) = Board::create(1).unwrap();
        let other = Board::map(fd).unwrap();
        assert_eq!(other.session(42), None);
        board.put_session(42, cell(7));
        assert_eq!(other.session(42), Some(cell(7)));
        other.touch_session(42, 9);
        other.touch_session(42, 8);
        assert_eq!(board.session(42).unwrap().last_seen_ms, 9);
        other.revoke_session(42);
        assert!(board.session(42).unwrap().revoked);
        board.put_session(42, cell(7));
        assert!(other.session(42).unwrap().revoked, "an old copy does not bring it back");
    }

    #[test]
    fn what_was_read_before_a_change_does_not_undo_it() {
        let (board, _fd) = Board::create(1).unwrap();
        let changed = SessionCell { standing: 0, ..cell(8) };
        board.put_session(42, changed);
        board.put_session(42, SessionCell { epoch: 7, ..cell(8) });
        assert_eq!(board.session(42), Some(changed));
        board.put_session(42, SessionCell { epoch: 7, revoked: true, ..cell(8) });
        assert_eq!(board.session(42), Some(SessionCell { revoked: true, ..changed }));
    }

    #[test]
    fn the_session_seen_longest_ago_makes_room() {
        let (board, _fd) = Board::create(1).unwrap();
        for id in 1..200_000u128 {
            board.put_session(id, cell(id as u64));
        }
        assert_eq!(board.session(199_999), Some(cell(199_999)));
        let known = (1..200_000u128).filter(|id| board.session(*id).is_some()).count();
        assert!(known <= SESSION_SETS * WAYS && known > SESSION_SETS, "{known} known");
    }

    #[test]
    fn a_writer_that_died_half_way_blocks_nobody() {
        let (board, _fd) = Board::create(1).unwrap();
        board.put_session(42, cell(7));
        let holder = board.session_set(42).chunks_exact(SESSION_WORDS).find(|c| holds(c, 42)).unwrap();
        holder[SEQUENCE].fetch_add(1, Ordering::Release);
        assert_eq!(board.session(42), None, "unreadable means: ask the store");
        board.put_session(42, cell(8));
        assert_eq!(board.session(42), Some(cell(8)));
    }

    #[test]
    fn readers_never_see_half_a_write() {
        let (board, fd) = Board::create(1).unwrap();
        let other = Board::map(fd).unwrap();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| (1..50_000u64).for_each(|n| board.put_session(42, cell(n))));
            while !writer.is_finished() {
                if let Some(seen) = other.session(42) {
                    assert_eq!(seen, cell(seen.standing));
                }
            }
        });
    }
}
