//! How long a slot stays empty after a crash.
//!
//! The first crash of a worker that had served is respawned at once: its accept queue is waiting. Then
//! delays double up to a limit, with jitter so that slots that died together do not come back together.
//! Serving long enough forgives everything.
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The memory of one slot's crashes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    first: Duration,
    max: Duration,
    failures: u32,
    random: u64,
}

impl Restart {
    /// `seed` makes the jitter of this slot its own.
    pub fn new(first: Duration, max: Duration, seed: u64) -> Self {
        Self { first, max: max.max(first), failures: 0, random: seed | 1 }
    }

    /// One more crash; tells how long to wait.
    pub fn next_delay(&mut self, had_served: bool) -> Duration {
        self.failures = self.failures.saturating_add(1);
        if had_served && self.failures == 1 {
            return Duration::ZERO;
        }
        let doublings = self.failures.saturating_sub(2).min(20);
        let full = self.first.saturating_mul(1 << doublings).min(self.max);
        // Between three quarters and the whole.
        full - full.mul_f64(self.next_fraction() / 4.0)
    }

    /// The worker has served long enough.
    pub fn forgive(&mut self) {
        self.failures = 0;
    }

    pub fn failures(&self) -> u32 {
        self.failures
    }

    fn next_fraction(&mut self) -> f64 {
        // xorshift64: enough to keep slots apart.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FIRST: Duration = Duration::from_millis(100);
    const MAX: Duration = Duration::from_secs(10);

    #[test]
    fn the_first_crash_after_serving_waits_for_nothing() {
        let mut restart = Restart::new(FIRST, MAX, 7);
        assert_eq!(restart.next_delay(true), Duration::ZERO);
        let second = restart.next_delay(true);
        assert!(second >= FIRST.mul_f64(0.75) && second <= FIRST, "{second:?}");
        restart.forgive();
        assert_eq!(restart.next_delay(true), Duration::ZERO);
    }

    #[test]
    fn a_worker_that_never_served_waits_from_the_first_crash_on() {
        assert!(Restart::new(FIRST, MAX, 7).next_delay(false) > Duration::ZERO);
    }

    proptest! {
        #[test]
        fn delays_grow_within_bounds(seed: u64, crashes in 2usize..60) {
            let mut restart = Restart::new(FIRST, MAX, seed);
            let delays: Vec<Duration> = (0..crashes).map(|_| restart.next_delay(false)).collect();
            for pair in delays.windows(2) {
                prop_assert!(pair[1] >= pair[0].mul_f64(0.7), "{:?}", pair);
                prop_assert!(pair[1] <= MAX);
            }
        }
    }
}
