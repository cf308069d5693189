//! How many requests may be at work at once: as many as do not slow one another down.
//!
//! The gradient method: while requests take as long as they usually do, the limit grows (if it is used);
//! when they take longer, it shrinks in proportion. "Usual" is kept for each kind of request by itself, or
//! a burst of slow routes would look like overload; and everything is a geometric mean, because latencies
//! are skewed and one slow request must not count as a hundred.
//!
//! What is usual is learned while there is room to spare; under load it moves only over minutes. (If it
//! moved faster, the limit would follow the latency that it causes, up to the ceiling.) It does move: a
//! disk that stays slower is no reason to refuse for ever.
use std::time::{Duration, Instant};

/// The limit and what it learned.
pub(super) struct Limit {
    min: f64,
    max: f64,
    value: f64,
    usual: [Usual; KINDS],
    window: Window,
}

/// What one kind of request usually takes, and what it took in this window.
#[derive(Clone, Copy, Default)]
struct Usual {
    ln_seconds: f64,
    samples: u32,
    window_samples: u32,
    window_ln_stretch: f64,
}

/// What was seen since the limit was last looked at.
struct Window {
    since: Instant,
    samples: u32,
    /// Sum of ln(latency / usual latency).
    ln_stretch: f64,
    working_max: u32,
}

impl Limit {
    pub(super) fn new(min: u32, max: u32, now: Instant) -> Self {
        let (max, min) = (f64::from(max.max(1)), f64::from(min.clamp(1, max.max(1))));
        Self {
            min,
            max,
            value: (min * START_TIMES).min(max),
            usual: [Usual::default(); KINDS],
            window: Window::since(now),
        }
    }

    pub(super) fn value(&self) -> u32 {
        // Between 1 and `max`, which came from a u32.
        self.value as u32
    }

    /// A request of this kind took so long, while so many were at work.
    pub(super) fn observe(&mut self, kind: u8, took: Duration, working: u32, now: Instant) {
        let ln_seconds = took.as_secs_f64().max(SHORTEST_SECONDS).ln();
        let ln_stretch = self.usual[usize::from(kind) % KINDS].observe(ln_seconds);
        self.window.samples += 1;
        self.window.ln_stretch += ln_stretch;
        self.window.working_max = self.window.working_max.max(working);
        if self.window.samples >= WINDOW_SAMPLES_MIN && now.saturating_duration_since(self.window.since) >= WINDOW {
            self.adjust();
            self.window = Window::since(now);
        }
    }

    fn adjust(&mut self) {
        let stretch = (self.window.ln_stretch / f64::from(self.window.samples)).exp();
        let is_used = f64::from(self.window.working_max) >= self.value / 2.0;
        let gradient = (TOLERANCE / stretch).clamp(GRADIENT_MIN, 1.0);
        // Room to try whether more would do, too.
        let target = self.value * gradient + self.value.sqrt();
        if target < self.value {
            self.value += (target - self.value) * SHRINK_SMOOTHING;
        } else if is_used {
            self.value = target;
        }
        self.value = self.value.clamp(self.min, self.max);
        let has_room_to_spare = !is_used && gradient >= 1.0;
        // Much quicker than usual: what was learned under load is wrong by now.
        let weight = if has_room_to_spare || stretch < 0.5 { LEARN_UNLOADED } else { LEARN_LOADED };
        self.usual.iter_mut().for_each(|usual| usual.learn(weight));
    }
}

impl Usual {
    /// ln(latency / usual latency). The first requests of a kind make the mean by themselves.
    fn observe(&mut self, ln_seconds: f64) -> f64 {
        if self.samples < FIRST_SAMPLES {
            self.samples += 1;
            self.ln_seconds += (ln_seconds - self.ln_seconds) / f64::from(self.samples);
        }
        let ln_stretch = ln_seconds - self.ln_seconds;
        self.window_samples += 1;
        self.window_ln_stretch += ln_stretch;
        ln_stretch
    }

    fn learn(&mut self, weight: f64) {
        if self.window_samples > 0 {
            self.ln_seconds += weight * self.window_ln_stretch / f64::from(self.window_samples);
            (self.window_samples, self.window_ln_stretch) = (0, 0.0);
        }
    }
}

impl Window {
    fn since(now: Instant) -> Self {
        Self { since: now, samples: 0, ln_stretch: 0.0, working_max: 0 }
    }
}

/// Kinds of requests that are told apart.
pub(super) const KINDS: usize = 64;
/// The limit starts at so many times its least.
const START_TIMES: f64 = 4.0;
/// Requests may take twice as long as usual before the limit shrinks.
const TOLERANCE: f64 = 2.0;
/// One window takes away a tenth at most: (1 - GRADIENT_MIN) * SHRINK_SMOOTHING.
const GRADIENT_MIN: f64 = 0.5;
const SHRINK_SMOOTHING: f64 = 0.2;
const WINDOW: Duration = Duration::from_millis(100);
const WINDOW_SAMPLES_MIN: u32 = 16;
const FIRST_SAMPLES: u32 = 32;
/// What one window changes of what is usual: two seconds' memory with room to spare, three minutes' without.
const LEARN_UNLOADED: f64 = 1.0 / 20.0;
const LEARN_LOADED: f64 = 1.0 / 2_000.0;
/// Below the clock's own noise nothing is compared.
const SHORTEST_SECONDS: f64 = 0.000_01;

#[cfg(test)]
mod tests {
    use super::*;

    struct Load {
        limit: Limit,
        now: Instant,
    }

    impl Load {
        fn new(min: u32, max: u32) -> Self {
            let now = Instant::now();
            Self { limit: Limit::new(min, max, now), now }
        }

        /// Windows full of requests that take `millis(limit)`, with the limit used up.
        fn windows(&mut self, count: u32, millis: impl Fn(u32) -> f64) -> u32 {
            for _ in 0..count * WINDOW_SAMPLES_MIN {
                self.now += WINDOW / WINDOW_SAMPLES_MIN + Duration::from_micros(1);
                let working = self.limit.value();
                let took = Duration::from_secs_f64(millis(working) / 1_000.0);
                self.limit.observe(1, took, working, self.now);
            }
            self.limit.value()
        }
    }

    #[test]
    fn it_grows_to_the_ceiling_while_nothing_gets_slower() {
        let mut load = Load::new(4, 300);
        assert_eq!(load.limit.value(), 16);
        assert_eq!(load.windows(60, |_| 2.0), 300);
    }

    #[test]
    fn it_does_not_grow_unless_it_is_used() {
        let mut load = Load::new(4, 300);
        for _ in 0..1_000 {
            load.now += WINDOW;
            load.limit.observe(1, Duration::from_millis(2), 3, load.now);
        }
        assert_eq!(load.limit.value(), 16);
    }

    #[test]
    fn it_shrinks_when_requests_slow_one_another_down_and_recovers() {
        let mut load = Load::new(4, 300);
        load.windows(60, |_| 2.0);
        let before = load.limit.value();
        let after = load.windows(40, |_| 40.0);
        assert!(after < before / 4, "{after} of {before}");
        assert!(after >= 4);
        assert_eq!(load.windows(60, |_| 2.0), 300);
    }

    #[test]
    fn it_settles_where_latency_begins_to_rise() {
        // Fifty are served side by side; whoever is beyond waits for them.
        let mut load = Load::new(4, 1_000);
        let takes = |working: u32| 2.0 * (f64::from(working) / 50.0).max(1.0);
        load.windows(10, |_| 2.0);
        let settled = load.windows(300, takes);
        assert!((50..400).contains(&settled), "{settled}");
    }

    #[test]
    fn a_slow_kind_beside_a_quick_one_is_not_overload() {
        let mut load = Load::new(4, 64);
        for n in 0..20_000u32 {
            load.now += Duration::from_millis(5);
            // First one kind alone, later mostly the other, a thousand times slower.
            let slow = n > 5_000 && n % 4 != 0;
            let (kind, took) = if slow { (2, Duration::from_millis(200)) } else { (1, Duration::from_micros(200)) };
            load.limit.observe(kind, took, load.limit.value(), load.now);
        }
        assert_eq!(load.limit.value(), 64);
    }

    #[test]
    fn what_stays_slow_becomes_usual() {
        let mut load = Load::new(4, 300);
        load.windows(60, |_| 2.0);
        load.windows(50, |_| 20.0);
        assert!(load.limit.value() < 300);
        assert_eq!(load.windows(6_000, |_| 20.0), 300);
    }

    #[test]
    fn a_least_above_the_ceiling_yields() {
        assert_eq!(Load::new(32, 2).limit.value(), 2);
    }
}
