//! Rate limits, exact over all workers: GCRA, one word for each caller.
//!
//! A cell holds the caller's *theoretical arrival time*: the moment at which the budget would be
//! whole again. A request moves it on by one emission interval if that keeps it within the window.
//! Cells are found by key among four neighbours; a cell whose time has passed is a full budget and
//! so as good as empty, which is why nothing ever needs to be removed.
use std::sync::atomic::{AtomicU64, Ordering};

use super::Board;
use super::layout::{LIMIT_SETS, LIMIT_WORDS, LIMITS, WAYS, scatter};
use crate::config::Budget;

/// What became of a request for a place in the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    pub allowed: bool,
    /// Requests that would be allowed right now after this one.
    pub remaining: u32,
    /// Until the budget is whole again.
    pub reset_ms: u64,
    /// Until the next request can be allowed; 0 if it can be now.
    pub retry_after_ms: u64,
}

impl Board {
    /// Takes `cost` requests from the budget of `key`, or nothing if there are not enough.
    pub fn take(&self, key: u64, budget: Budget, cost: u32, now_ms: u64) -> Taken {
        let window_us = u64::from(budget.window_seconds) * 1_000_000;
        let interval_us = (window_us / u64::from(budget.requests.max(1))).max(1);
        let now_us = now_ms.saturating_mul(1_000);
        let moves_by_us = interval_us.saturating_mul(u64::from(cost));
        let cell = self.limit_cell(key, now_us);

        let mut arrival_us = cell.load(Ordering::Acquire);
        loop {
            let base_us = arrival_us.max(now_us);
            let next_us = base_us.saturating_add(moves_by_us);
            let allowed = next_us <= now_us.saturating_add(window_us);
            if !allowed {
                let retry_us = next_us - now_us.saturating_add(window_us);
                return taken(false, base_us - now_us, retry_us, window_us, interval_us);
            }
            match cell.compare_exchange_weak(arrival_us, next_us, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return taken(true, next_us - now_us, 0, window_us, interval_us),
                Err(changed) => arrival_us = changed,
            }
        }
    }

    /// Finds the caller's cell, or takes over the neighbour with the fullest budget.
    ///
    /// Taking over a cell that is still in use happens only when all four neighbours are; it merges
    /// two callers' budgets, which refuses too much rather than too little.
    fn limit_cell(&self, key: u64, now_us: u64) -> &AtomicU64 {
        let hash = scatter(key);
        let tag = hash | 1; // 0 means empty
        let set = hash as usize % LIMIT_SETS;
        let words = &self.words()[LIMITS][set * WAYS * LIMIT_WORDS..][..WAYS * LIMIT_WORDS];
        for _ in 0..WAYS {
            let mut fullest = &words[..LIMIT_WORDS];
            for cell in words.chunks_exact(LIMIT_WORDS) {
                if cell[0].load(Ordering::Acquire) == tag {
                    return &cell[1];
                }
                if cell[1].load(Ordering::Relaxed) < fullest[1].load(Ordering::Relaxed) {
                    fullest = cell;
                }
            }
            let owner = fullest[0].load(Ordering::Acquire);
            if fullest[1].load(Ordering::Acquire) > now_us {
                return &fullest[1];
            }
            if fullest[0].compare_exchange(owner, tag, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                return &fullest[1];
            }
        }
        &words[1]
    }
}

fn taken(allowed: bool, used_us: u64, retry_us: u64, window_us: u64, interval_us: u64) -> Taken {
    Taken {
        allowed,
        remaining: u32::try_from(window_us.saturating_sub(used_us) / interval_us).unwrap_or(u32::MAX),
        reset_ms: used_us.div_ceil(1_000),
        retry_after_ms: retry_us.div_ceil(1_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BUDGET: Budget = Budget { requests: 100, window_seconds: 900 };
    const NOW_MS: u64 = 1_700_000_000_000;

    #[test]
    fn the_boundary_is_exact() {
        let (board, _fd) = Board::create(1).unwrap();
        for n in 1..=100 {
            let taken = board.take(9, BUDGET, 1, NOW_MS);
            assert!(taken.allowed, "request {n}");
            assert_eq!(taken.remaining, 100 - n);
        }
        let refused = board.take(9, BUDGET, 1, NOW_MS);
        assert!(!refused.allowed);
        assert_eq!(refused.retry_after_ms, 9_000);
        assert!(!board.take(9, BUDGET, 1, NOW_MS + 8_999).allowed);
        assert!(board.take(9, BUDGET, 1, NOW_MS + 9_000).allowed);
        assert!(board.take(10, BUDGET, 1, NOW_MS).allowed, "another caller is not affected");
    }

    #[test]
    fn workers_share_one_budget_exactly() {
        let (board, fd) = Board::create(1).unwrap();
        let other = Board::map(fd).unwrap();
        let count = |board: &Board| (0..80).filter(|_| board.take(5, BUDGET, 1, NOW_MS).allowed).count();
        let total = std::thread::scope(|scope| {
            let first = scope.spawn(|| count(&board));
            let second = scope.spawn(|| count(&other));
            first.join().unwrap() + second.join().unwrap()
        });
        assert_eq!(total, 100);
    }

    #[test]
    fn more_callers_than_cells_never_gain_budget() {
        let (board, _fd) = Board::create(1).unwrap();
        let budget = Budget { requests: 1, window_seconds: 3_600 };
        assert!(board.take(1, budget, 1, NOW_MS).allowed);
        for key in 2..300_000 {
            board.take(key, budget, 1, NOW_MS);
        }
        assert!(!board.take(1, budget, 1, NOW_MS).allowed);
    }

    proptest! {
        #[test]
        fn never_more_than_the_budget_in_any_window(steps in prop::collection::vec(0u64..20_000, 1..300)) {
            let (board, _fd) = Board::create(1).unwrap();
            let budget = Budget { requests: 10, window_seconds: 60 };
            let (mut now_ms, mut allowed_at) = (NOW_MS, Vec::new());
            for step in steps {
                now_ms += step;
                if board.take(3, budget, 1, now_ms).allowed {
                    allowed_at.push(now_ms);
                }
            }
            // GCRA allows the burst and what is earned while it runs: at most twice the budget minus one.
            for (i, start) in allowed_at.iter().enumerate() {
                let inside = allowed_at[i..].iter().take_while(|at| **at < start + 60_000).count();
                prop_assert!(inside < 20, "{inside} in one window");
            }
        }
    }
}
