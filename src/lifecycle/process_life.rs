//! One worker process, from exec to its end: how much time it is given for what.
use std::time::{Duration, Instant};

/// Where a process stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Exec'ed; has not yet said Ready. Killed if that takes too long.
    Starting { since: Instant },
    /// Takes work. Aborted if its heartbeat is late.
    Serving { since: Instant },
    /// Asked to finish. Killed at the deadline.
    Draining { until: Instant },
    /// Sent SIGABRT or SIGKILL; killed for good if it is still there at `until`.
    Ending { until: Instant },
}

/// What is to be done to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Ask it to finish what is begun and leave.
    Drain,
    /// SIGABRT: it hangs, and leaves a trace in the log.
    Abort,
    /// SIGKILL.
    Kill,
}

/// How much time a worker is given for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    pub ready_within: Duration,
    pub drain_deadline: Duration,
    pub heartbeat_late: Duration,
    pub reset_after: Duration,
}

/// The life of one process.
#[derive(Clone, Copy, Debug)]
pub struct ProcessLife {
    phase: Phase,
    patience: Patience,
    serving_since: Option<Instant>,
    is_foreign: bool,
}

impl ProcessLife {
    pub fn begin(patience: Patience, now: Instant) -> Self {
        Self { phase: Phase::Starting { since: now }, patience, serving_since: None, is_foreign: false }
    }

    /// As it was in an earlier image of the supervisor.
    pub fn serving(patience: Patience, since: Instant) -> Self {
        let phase = Phase::Serving { since };
        Self { phase, patience, serving_since: Some(since), is_foreign: false }
    }

    pub fn phase(&self) -> Phase {
        self.phase
    }

    pub fn is_serving(&self) -> bool {
        matches!(self.phase, Phase::Serving { .. })
    }

    /// It once said Ready.
    pub fn has_served(&self) -> bool {
        self.serving_since.is_some()
    }

    /// It served so long that earlier crashes are forgiven.
    pub fn has_proven_itself(&self, now: Instant) -> bool {
        let served = self.serving_since.map(|since| now.saturating_duration_since(since));
        served.is_some_and(|served| served >= self.patience.reset_after)
    }

    /// Of another build: a successor from the same file would be, too.
    pub fn is_foreign(&self) -> bool {
        self.is_foreign
    }

    /// True when this is news.
    pub fn ready(&mut self, now: Instant) -> bool {
        let is_news = matches!(self.phase, Phase::Starting { .. });
        if is_news {
            self.phase = Phase::Serving { since: now };
            self.serving_since = Some(now);
        }
        is_news
    }

    /// Time passes; `beat_age` is the time since the last heartbeat.
    pub fn tick(&mut self, beat_age: Duration, now: Instant) -> Option<Order> {
        let age = |since| now.saturating_duration_since(since);
        match self.phase {
            Phase::Starting { since } if age(since) >= self.patience.ready_within => Some(self.end(Order::Kill, now)),
            Phase::Serving { since } if beat_age.min(age(since)) >= self.patience.heartbeat_late => {
                Some(self.end(Order::Abort, now))
            }
            Phase::Draining { until } | Phase::Ending { until } if now >= until => Some(self.end(Order::Kill, now)),
            _ => None,
        }
    }

    /// It is to leave. Nothing new if it already does.
    pub fn drain(&mut self, now: Instant) -> Option<Order> {
        if !matches!(self.phase, Phase::Starting { .. } | Phase::Serving { .. }) {
            return None;
        }
        self.phase = Phase::Draining { until: now + self.patience.drain_deadline };
        Some(Order::Drain)
    }

    /// It broke the protocol.
    pub fn violated(&mut self, now: Instant) -> Order {
        self.end(Order::Kill, now)
    }

    /// It said that it is of another build.
    pub fn foreign(&mut self, now: Instant) -> Order {
        self.is_foreign = true;
        self.end(Order::Kill, now)
    }

    fn end(&mut self, order: Order, now: Instant) -> Order {
        self.phase = Phase::Ending { until: now + KILL_AFTER };
        order
    }
}

/// SIGABRT has this long before SIGKILL follows; SIGKILL itself is repeated at this pace.
const KILL_AFTER: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) const PATIENCE: Patience = Patience {
        ready_within: Duration::from_secs(30),
        drain_deadline: Duration::from_secs(20),
        heartbeat_late: Duration::from_secs(10),
        reset_after: Duration::from_secs(300),
    };

    fn after(now: Instant, seconds: u64) -> Instant {
        now + Duration::from_secs(seconds)
    }

    #[test]
    fn a_hanging_worker_is_aborted_and_then_killed() {
        let now = Instant::now();
        let mut life = ProcessLife::begin(PATIENCE, now);
        assert!(life.ready(now) && !life.ready(now), "said twice, believed once");
        let late = Duration::from_secs(11);
        assert_eq!(life.tick(late, after(now, 1)), None, "it had no chance to beat yet");
        assert_eq!(life.tick(late, after(now, 11)), Some(Order::Abort));
        assert_eq!(life.tick(late, after(now, 12)), None);
        assert_eq!(life.tick(late, after(now, 13)), Some(Order::Kill));
        assert_eq!(life.tick(late, after(now, 15)), Some(Order::Kill), "again, until it is gone");
    }

    #[test]
    fn a_worker_that_is_not_ready_in_time_is_killed() {
        let now = Instant::now();
        let mut life = ProcessLife::begin(PATIENCE, now);
        assert_eq!(life.tick(Duration::ZERO, after(now, 29)), None);
        assert_eq!(life.tick(Duration::ZERO, after(now, 30)), Some(Order::Kill));
    }

    #[test]
    fn draining_is_asked_once_and_ends_at_its_deadline() {
        let now = Instant::now();
        let mut life = ProcessLife::begin(PATIENCE, now);
        life.ready(now);
        assert_eq!(life.drain(now), Some(Order::Drain));
        assert_eq!(life.drain(after(now, 5)), None);
        assert_eq!(life.tick(Duration::MAX, after(now, 19)), None, "a draining worker need not beat");
        assert_eq!(life.tick(Duration::ZERO, after(now, 20)), Some(Order::Kill));
    }
}
