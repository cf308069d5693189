//! How many workers of a role there are to be: one more when those there are have had too much to do for a while, one
//! fewer when the rest has long been able to do it all.
//!
//! The two are kept apart twice over: fewer takes longer than more, and what one worker fewer would have to do must be
//! well below what asks for one more. So a load that does not change never makes anybody come and go.
use std::time::{Duration, Instant};

/// What a look at the workers of a role tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pressure {
    /// Too much for those there are.
    High,
    Fair,
    /// One fewer would do.
    Low,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Up,
    Down,
}

/// What the settings allow and ask for.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub min: u16,
    pub max: u16,
    pub up_after: Duration,
    pub down_after: Duration,
}

/// The memory of one role.
#[derive(Clone, Debug, Default)]
pub struct Scale {
    /// Since when every look has told the same.
    since: Option<(Pressure, Instant)>,
}

impl Scale {
    /// Another look: `wanted` workers are to be there, `serving` of them are.
    pub fn on(
        &mut self,
        pressure: Pressure,
        wanted: u16,
        serving: u16,
        bounds: &Bounds,
        now: Instant,
    ) -> Option<Direction> {
        let since = match self.since {
            Some((same, since)) if same == pressure => since,
            _ => self.since.insert((pressure, now)).1,
        };
        let held_for = now.saturating_duration_since(since);
        let direction = match pressure {
            // Whoever rests is better than nobody; and other settings may ask for more.
            _ if wanted < bounds.min || (serving == 0 && wanted < bounds.max) => Direction::Up,
            Pressure::High if wanted < bounds.max && held_for >= bounds.up_after => Direction::Up,
            Pressure::Low if wanted > bounds.min && serving == wanted && held_for >= bounds.down_after => {
                Direction::Down
            }
            _ => return None,
        };
        // The next step is decided by what comes of this one.
        self.since = None;
        Some(direction)
    }
}

/// Of API workers, by the share of time in which their request runtimes were at work.
pub fn of_busy(busy_permille: &[u64], high: u64, low: u64) -> Pressure {
    let (sum, count) = (busy_permille.iter().sum::<u64>(), busy_permille.len() as u64);
    match count {
        0 => Pressure::Fair,
        count if sum >= high * count => Pressure::High,
        count if count > 1 && sum <= low * (count - 1) => Pressure::Low,
        _ => Pressure::Fair,
    }
}

/// Of background workers, by how long the oldest job has waited and how many there are.
pub fn of_queue(oldest_ms: u64, high_ms: u64, jobs: u64, workers: u16) -> Pressure {
    if oldest_ms >= high_ms {
        Pressure::High
    } else if oldest_ms == 0 && jobs < u64::from(workers) {
        Pressure::Low
    } else {
        Pressure::Fair
    }
}

/// Of slots with the share of time in which each was at work: the last one, but rather one that has little to do. A
/// background worker with a job would have to finish it or give it back.
pub fn who_rests(busy_permille: impl DoubleEndedIterator<Item = (usize, u64)>) -> Option<usize> {
    busy_permille.rev().min_by_key(|(_, busy)| *busy >= AT_WORK_PERMILLE).map(|(slot, _)| slot)
}

const AT_WORK_PERMILLE: u64 = 500;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);
    const BOUNDS: Bounds =
        Bounds { min: 1, max: 8, up_after: Duration::from_secs(3), down_after: Duration::from_secs(60) };
    const HIGH: u64 = 700;
    const LOW: u64 = 350;

    /// Each worker has its share of the work, and can do no more than all its time.
    fn shared(load: u64, workers: u16) -> Vec<u64> {
        let each = load.div_ceil(u64::from(workers)).min(1_000);
        vec![each; usize::from(workers)]
    }

    #[test]
    fn more_come_one_by_one_while_it_is_too_much() {
        let (mut scale, start) = (Scale::default(), Instant::now());
        let looks: Vec<Option<Direction>> =
            (0..8).map(|second| scale.on(Pressure::High, 2, 2, &BOUNDS, start + SECOND * second)).collect();
        let up = Some(Direction::Up);
        assert_eq!(looks, [None, None, None, up, None, None, None, up]);
    }

    #[test]
    fn the_last_one_rests_unless_it_alone_is_at_work() {
        let of = |busy: &[u64]| who_rests(busy.iter().copied().enumerate());
        assert_eq!(of(&[0, 20, 10]), Some(2));
        assert_eq!(of(&[0, 0, 1_000]), Some(1));
        assert_eq!(of(&[1_000, 1_000]), Some(1));
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn a_moment_of_calm_begins_the_count_anew() {
        let (mut scale, start) = (Scale::default(), Instant::now());
        for second in 0..100 {
            let pressure = if second % 3 == 2 { Pressure::Fair } else { Pressure::High };
            assert_eq!(scale.on(pressure, 2, 2, &BOUNDS, start + SECOND * second), None);
        }
    }

    #[test]
    fn nobody_rests_while_nobody_serves_or_fewer_are_there_than_the_settings_ask_for() {
        let now = Instant::now();
        assert_eq!(Scale::default().on(Pressure::Low, 1, 0, &BOUNDS, now), Some(Direction::Up));
        let three = Bounds { min: 3, ..BOUNDS };
        assert_eq!(Scale::default().on(Pressure::Low, 2, 2, &three, now), Some(Direction::Up));
    }

    #[test]
    fn a_queue_asks_for_more_by_age_and_for_fewer_by_length() {
        assert_eq!(of_queue(5_000, 5_000, 1, 1), Pressure::High);
        assert_eq!(of_queue(4_999, 5_000, 1, 1), Pressure::Fair);
        assert_eq!(of_queue(0, 5_000, 2, 2), Pressure::Fair, "both are at work");
        assert_eq!(of_queue(0, 5_000, 1, 2), Pressure::Low);
    }

    proptest! {
        /// Whatever the load, as long as it stays the same: the number of workers settles, and never turns round.
        #[test]
        fn a_load_that_stays_the_same_moves_nobody_to_and_fro(load in 0u64..10_000, first in 1u16..=8) {
            let (mut scale, start, mut workers) = (Scale::default(), Instant::now(), first);
            let (mut moves, mut last_move) = (Vec::new(), 0);
            for second in 0..2_000 {
                let pressure = of_busy(&shared(load, workers), HIGH, LOW);
                match scale.on(pressure, workers, workers, &BOUNDS, start + SECOND * second) {
                    Some(Direction::Up) => workers += 1,
                    Some(Direction::Down) => workers -= 1,
                    None => continue,
                }
                moves.push(workers);
                last_move = second;
            }
            prop_assert!(moves.is_sorted() || moves.is_sorted_by(|one, next| one >= next), "{:?}", moves);
            prop_assert!(last_move < 60 * 9, "it did not settle");
        }

        /// Over any history the bounds hold, one moves at a time, and fewer only after a long calm.
        #[test]
        fn any_history_keeps_the_bounds(looks in prop::collection::vec((0u64..2_000, 0u64..9_000), 1..400)) {
            let (mut scale, mut now, mut workers) = (Scale::default(), Instant::now(), 4u16);
            let mut last_not_low = now;
            for (after_ms, load) in looks {
                now += Duration::from_millis(after_ms);
                let pressure = of_busy(&shared(load, workers), HIGH, LOW);
                let calm_for = now.saturating_duration_since(last_not_low);
                if pressure != Pressure::Low {
                    last_not_low = now;
                }
                match scale.on(pressure, workers, workers, &BOUNDS, now) {
                    Some(Direction::Up) => {
                        prop_assert_eq!(pressure, Pressure::High);
                        workers += 1;
                    }
                    Some(Direction::Down) => {
                        prop_assert!(pressure == Pressure::Low && calm_for >= BOUNDS.down_after);
                        last_not_low = now;
                        workers -= 1;
                    }
                    None => {}
                }
                prop_assert!((BOUNDS.min..=BOUNDS.max).contains(&workers));
            }
        }
    }
}
