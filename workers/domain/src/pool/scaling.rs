//! When a pool gets a thread and when it loses one. No clock: `now` is an argument.
//!
//! A job that waits too long asks for a thread; a long calm takes one back. The two are far apart, in delay
//! and in time, so that the pool does not swing: it grows when a job waited `grow_after`, and shrinks only
//! when for all of `shrink_after` no job waited a quarter of that and there was always a thread to spare.
use std::time::{Duration, Instant};

/// What was agreed at start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) threads_min: u16,
    pub(super) threads_max: u16,
    pub(super) grow_after: Duration,
    pub(super) shrink_after: Duration,
}

/// How many threads there are to be.
#[derive(Debug)]
pub(super) struct Scaling {
    terms: Terms,
    threads: u16,
    changed: Instant,
    /// The last time that a job waited noticeably, or that nobody was idle.
    pressed: Instant,
}

impl Scaling {
    pub(super) fn new(terms: Terms, now: Instant) -> Self {
        Self { terms, threads: terms.threads_min, changed: now, pressed: now }
    }

    pub(super) fn threads(&self) -> u16 {
        self.threads
    }

    /// A job has waited this long, now or until a thread took it. True: start another thread.
    pub(super) fn waited(&mut self, delay: Duration, spare: bool, now: Instant) -> bool {
        if !spare || delay >= self.terms.grow_after / CALM_PART {
            self.pressed = now;
        }
        // A new thread gets as long to show what it is good for.
        let settled = now.saturating_duration_since(self.changed) >= self.terms.grow_after;
        let grows = delay >= self.terms.grow_after && settled && self.threads < self.terms.threads_max;
        if grows {
            self.threads += 1;
            self.changed = now;
        }
        grows
    }

    /// A thread has nothing to do. True: it ends.
    pub(super) fn idle(&mut self, now: Instant) -> bool {
        let calm = now.saturating_duration_since(self.pressed.max(self.changed)) >= self.terms.shrink_after;
        let shrinks = calm && self.threads > self.terms.threads_min;
        if shrinks {
            self.threads -= 1;
            self.changed = now;
        }
        shrinks
    }

    /// The thread that was asked for could not be started.
    pub(super) fn not_started(&mut self, now: Instant) {
        self.threads -= 1;
        self.changed = now;
    }
}

/// Delays below this part of `grow_after` are calm.
const CALM_PART: u32 = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TERMS: Terms = Terms {
        threads_min: 1,
        threads_max: 4,
        grow_after: Duration::from_millis(50),
        shrink_after: Duration::from_secs(10),
    };

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_step_of_load_grows_it_to_the_most_and_calm_takes_it_back_one_by_one() {
        let start = Instant::now();
        let mut scaling = Scaling::new(TERMS, start);
        assert!(!scaling.waited(ms(49), true, start + ms(1_000)), "not long enough");
        let grown: Vec<u64> = (1_000..1_500).filter(|at| scaling.waited(ms(60), false, start + ms(*at))).collect();
        assert_eq!(grown, [1_000, 1_050, 1_100], "each change is given time to show");
        assert_eq!(scaling.threads(), 4);
        let calm: Vec<u64> = (15..600).map(|tenth| tenth * 100).filter(|at| scaling.idle(start + ms(*at))).collect();
        assert_eq!(calm, [11_500, 21_500, 31_500]);
        assert_eq!(scaling.threads(), 1);
    }

    #[test]
    fn a_noticeable_delay_or_no_idle_thread_keeps_what_there_is() {
        let start = Instant::now();
        for (delay, spare) in [(ms(13), true), (ms(0), false)] {
            let mut scaling = Scaling::new(TERMS, start);
            assert!(scaling.waited(ms(60), false, start + ms(60)));
            for second in 1..60 {
                let now = start + ms(second * 1_000);
                assert!(!scaling.waited(delay, spare, now));
                assert!(!scaling.idle(now));
            }
            assert!(scaling.idle(start + ms(70_000)));
        }
    }

    #[test]
    fn a_thread_that_does_not_start_is_not_counted() {
        let start = Instant::now();
        let mut scaling = Scaling::new(TERMS, start);
        assert!(scaling.waited(ms(60), false, start + ms(60)));
        scaling.not_started(start + ms(60));
        assert_eq!(scaling.threads(), 1);
        assert!(!scaling.waited(ms(60), false, start + ms(61)), "not at once again");
    }

    proptest! {
        #[test]
        fn it_never_leaves_its_bounds_nor_swings(
            steps in proptest::collection::vec((0..200u64, any::<bool>(), any::<bool>(), 0..3_000u64), 1..200)
        ) {
            let mut now = Instant::now();
            let mut scaling = Scaling::new(TERMS, now);
            let mut grew = None;
            for (delay, spare, is_idle, passed) in steps {
                now += ms(passed);
                if is_idle {
                    if scaling.idle(now) {
                        prop_assert!(grew.is_none_or(|grew| now - grew >= TERMS.shrink_after));
                    }
                } else if scaling.waited(ms(delay), spare, now) {
                    grew = Some(now);
                }
                prop_assert!((TERMS.threads_min..=TERMS.threads_max).contains(&scaling.threads()));
            }
        }
    }
}
