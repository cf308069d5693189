//! When keys change: twice in a ticket's lifetime, by a schedule that does not slip.
//!
//! A ticket opens for its whole lifetime, whoever sealed it: a worker that has heard of the newest keys or
//! one that still has those before, and whichever of the two opens it. After two and a half lifetimes it
//! opens nowhere, because its key is gone: that is what bounds the loss if a worker's memory is read.
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::keys::{EARLIER_KEYS, NoRandomness, TicketKeys};

/// The keys of this moment and the moment of the next ones.
pub struct Rotation {
    keys: TicketKeys,
    period: Duration,
    due: Instant,
}

/// The keys and the schedule, on their way to another image of the supervisor.
#[derive(Clone, Serialize, Deserialize)]
pub struct RotationRecord {
    keys: TicketKeys,
    period_ms: u64,
    due_in_ms: u64,
}

impl Rotation {
    /// `lifetime` is what callers are told: how long a ticket can be used.
    pub fn start(lifetime: Duration, now: Instant) -> Result<Self, NoRandomness> {
        let period = lifetime / PERIODS_PER_LIFETIME;
        Ok(Self { keys: TicketKeys::random()?, period, due: now + period })
    }

    /// Goes on with the keys of an earlier image of the supervisor.
    pub fn resume(record: RotationRecord, now: Instant) -> Self {
        let period = Duration::from_millis(record.period_ms).max(Duration::from_millis(1));
        Self { keys: record.keys, period, due: now + Duration::from_millis(record.due_in_ms) }
    }

    /// For the next image of the supervisor.
    pub fn record(&self, now: Instant) -> RotationRecord {
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        RotationRecord {
            keys: self.keys.clone(),
            period_ms: ms(self.period),
            due_in_ms: ms(self.due.saturating_duration_since(now)),
        }
    }

    pub fn keys(&self) -> &TicketKeys {
        &self.keys
    }

    /// How many rotations were due; the keys are new if any was. One that fails is due again next time.
    pub fn on(&mut self, now: Instant) -> Result<u32, NoRandomness> {
        if now < self.due {
            return Ok(0);
        }
        let late = now.saturating_duration_since(self.due).as_nanos() / self.period.as_nanos().max(1);
        let rotations = u32::try_from(late).unwrap_or(u32::MAX).saturating_add(1);
        // Rotations slept through are made up for: old keys go when their time is over. More rotations
        // than there are keys change nothing more.
        for _ in 0..rotations.min(EARLIER_KEYS as u32 + 2) {
            self.keys.rotate()?;
        }
        self.due += self.period.saturating_mul(rotations);
        Ok(rotations)
    }
}

/// Fewer, and keys would live longer after their last use; more, and every worker would hold more keys.
pub const PERIODS_PER_LIFETIME: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIFETIME: Duration = Duration::from_millis(10_000);
    const PERIOD: Duration = Duration::from_millis(5_000);
    /// Two and a half lifetimes.
    const BOUND: Duration = Duration::from_millis(25_000);
    /// How late the supervisor may notice that keys are due.
    const LATE: Duration = Duration::from_millis(900);

    /// Every set there ever was, and when it came; the clock ticks as unevenly as told.
    fn history(ticks_ms: &[u64]) -> (Instant, Vec<(Duration, TicketKeys)>) {
        let start = Instant::now();
        let mut rotation = Rotation::start(LIFETIME, start).unwrap();
        let mut sets = vec![(Duration::ZERO, rotation.keys().clone())];
        let mut at = Duration::ZERO;
        for tick in ticks_ms {
            at += Duration::from_millis(*tick);
            if rotation.on(start + at).unwrap() > 0 {
                sets.push((at, rotation.keys().clone()));
            }
        }
        (start, sets)
    }

    /// What a worker has at a moment: the newest set, or the one before if it has not yet heard.
    fn held(sets: &[(Duration, TicketKeys)], at: Duration, has_heard: bool) -> &TicketKeys {
        let newest = sets.iter().rposition(|(since, _)| *since <= at).unwrap();
        &sets[if has_heard { newest } else { newest.saturating_sub(1) }].1
    }

    fn opens(keys: &TicketKeys, name: [u8; 16]) -> bool {
        keys.iter().any(|key| key.name == name)
    }

    proptest! {
        #[test]
        fn a_ticket_opens_everywhere_for_its_lifetime_and_nowhere_after_the_bound(
            ticks_ms in prop::collection::vec(1u64..900, 150..250),
            sealed_ms in 0u64..30_000,
            age_ms in 0u64..40_000,
            sealer_has_heard: bool,
            opener_has_heard: bool,
        ) {
            let (_, sets) = history(&ticks_ms);
            let (sealed, age) = (Duration::from_millis(sealed_ms), Duration::from_millis(age_ms));
            let end = Duration::from_millis(ticks_ms.iter().sum());
            prop_assume!(sealed + age <= end);
            let name = held(&sets, sealed, sealer_has_heard).current.name;
            let opened = opens(held(&sets, sealed + age, opener_has_heard), name);
            if age + LATE <= LIFETIME {
                prop_assert!(opened, "sealed at {sealed:?}, refused after {age:?}");
            }
            if age >= BOUND + LATE {
                prop_assert!(!opened, "sealed at {sealed:?}, opened after {age:?}");
            }
        }
    }

    #[test]
    fn a_key_is_told_ahead_used_kept_and_gone() {
        let start = Instant::now();
        let mut rotation = Rotation::start(LIFETIME, start).unwrap();
        let name = rotation.keys().next.name;
        assert_eq!(rotation.on(start + PERIOD - Duration::from_millis(1)).unwrap(), 0);
        for period in 1..=EARLIER_KEYS as u32 + 1 {
            assert_eq!(rotation.on(start + PERIOD * period).unwrap(), 1);
            assert!(opens(rotation.keys(), name));
            assert_eq!(rotation.keys().current.name == name, period == 1, "sealed with for one period only");
        }
        rotation.on(start + PERIOD * (EARLIER_KEYS as u32 + 2)).unwrap();
        assert!(!opens(rotation.keys(), name));
        assert_eq!(rotation.keys().iter().count(), EARLIER_KEYS + 2);
    }

    #[test]
    fn a_supervisor_that_slept_for_a_week_forgets_what_it_knew() {
        let start = Instant::now();
        let mut rotation = Rotation::start(LIFETIME, start).unwrap();
        let before = rotation.keys().clone();
        let week = Duration::from_secs(7 * 86_400) + Duration::from_millis(1);
        assert_eq!(u128::from(rotation.on(start + week).unwrap()), week.as_millis() / PERIOD.as_millis());
        assert!(before.iter().all(|key| !opens(rotation.keys(), key.name)));
        assert_eq!(rotation.on(start + week).unwrap(), 0, "made up for once");
        assert_eq!(rotation.on(start + week + PERIOD).unwrap(), 1, "and the schedule goes on");
    }
}
