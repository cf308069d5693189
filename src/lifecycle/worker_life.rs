//! One slot's worker, from start to end: events in, at most one action out.
use std::time::{Duration, Instant};

use super::{ExitCode, Restart};

/// Where a slot's worker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Exec'ed; has not yet sent Ready. Killed if that takes too long.
    Starting { since: Instant },
    /// Takes work. Aborted if its heartbeat is late.
    Serving { since: Instant },
    /// Asked to finish. Killed at the deadline.
    Draining { until: Instant },
    /// Sent SIGABRT or SIGKILL; killed for good if it is still there at `until`.
    Ending { until: Instant, serving: bool },
    /// Crashed; comes back at `until`.
    Waiting { until: Instant },
    /// Left, and nobody wants it back.
    Stopped,
    /// Cannot work as things are; starting it again would not help.
    Failed,
}

/// What happens to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The slot is to be filled.
    Start,
    /// The worker said Ready.
    Ready,
    /// The process ended; `None` means by a signal.
    Exited { code: Option<i32> },
    /// It could not even be started.
    SpawnFailed,
    /// The worker broke the protocol.
    Violated,
    /// The worker is of another build: starting it again would not help.
    Foreign,
    /// Time passes. `beat_age`: since the last heartbeat.
    Tick { beat_age: Duration },
    /// Everything is to stop.
    Drain,
}

/// What the shell has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Nothing,
    Spawn,
    /// Ask the worker to finish.
    AskDrain,
    /// SIGABRT: it hangs, and leaves a trace in the log.
    Abort,
    /// SIGKILL.
    Kill,
    /// The slot has failed for good; tell why.
    GiveUp,
}

/// How much time a worker is given for what.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    pub ready_within: Duration,
    pub drain_deadline: Duration,
    pub heartbeat_late: Duration,
    pub reset_after: Duration,
}

/// The life of one slot.
#[derive(Clone, Debug)]
pub struct WorkerLife {
    phase: Phase,
    patience: Patience,
    restart: Restart,
    stopping: bool,
    foreign: bool,
}

impl WorkerLife {
    pub fn new(patience: Patience, restart: Restart) -> Self {
        Self { phase: Phase::Stopped, patience, restart, stopping: false, foreign: false }
    }

    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Nobody lives here and nobody will come by itself.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Stopped | Phase::Failed)
    }

    pub fn is_serving(&self) -> bool {
        matches!(self.phase, Phase::Serving { .. })
    }

    pub fn has_failed(&self) -> bool {
        self.phase == Phase::Failed
    }

    pub fn on(&mut self, event: Event, now: Instant) -> Action {
        match event {
            Event::Start if self.is_over() && !self.stopping => self.spawn(now),
            Event::Ready => self.on_ready(now),
            Event::Exited { code } => self.on_exit(code, now),
            Event::SpawnFailed => self.on_exit(Some(ExitCode::TryLater as i32), now),
            Event::Violated if self.is_alive() => self.end(Action::Kill, now),
            Event::Foreign if self.is_alive() => {
                self.foreign = true;
                self.end(Action::Kill, now)
            }
            Event::Tick { beat_age } => self.on_tick(beat_age, now),
            Event::Drain => self.on_drain(now),
            Event::Start | Event::Violated | Event::Foreign => Action::Nothing,
        }
    }

    fn is_alive(&self) -> bool {
        !matches!(self.phase, Phase::Waiting { .. } | Phase::Stopped | Phase::Failed)
    }

    fn spawn(&mut self, now: Instant) -> Action {
        self.phase = Phase::Starting { since: now };
        Action::Spawn
    }

    fn on_ready(&mut self, now: Instant) -> Action {
        if matches!(self.phase, Phase::Starting { .. }) {
            self.phase = Phase::Serving { since: now };
        }
        Action::Nothing
    }

    fn on_exit(&mut self, code: Option<i32>, now: Instant) -> Action {
        if !self.is_alive() {
            return Action::Nothing;
        }
        let served_since = match self.phase {
            Phase::Serving { since } => Some(since),
            Phase::Ending { serving: true, .. } => Some(now),
            _ => None,
        };
        if self.stopping {
            self.phase = Phase::Stopped;
            return Action::Nothing;
        }
        if self.foreign || code == Some(ExitCode::BadConfig as i32) {
            self.phase = Phase::Failed;
            return Action::GiveUp;
        }
        if served_since.is_some_and(|since| now.saturating_duration_since(since) >= self.patience.reset_after) {
            self.restart.forgive();
        }
        let delay = self.restart.next_delay(served_since.is_some());
        if delay.is_zero() {
            return self.spawn(now);
        }
        self.phase = Phase::Waiting { until: now + delay };
        Action::Nothing
    }

    fn on_tick(&mut self, beat_age: Duration, now: Instant) -> Action {
        match self.phase {
            Phase::Starting { since } if now.saturating_duration_since(since) >= self.patience.ready_within => {
                self.end(Action::Kill, now)
            }
            Phase::Serving { since }
                if beat_age.min(now.saturating_duration_since(since)) >= self.patience.heartbeat_late =>
            {
                self.end(Action::Abort, now)
            }
            Phase::Draining { until } if now >= until => self.end(Action::Kill, now),
            Phase::Ending { until, .. } if now >= until => self.end(Action::Kill, now),
            Phase::Waiting { until } if now >= until => self.spawn(now),
            _ => Action::Nothing,
        }
    }

    fn on_drain(&mut self, now: Instant) -> Action {
        self.stopping = true;
        match self.phase {
            Phase::Starting { .. } | Phase::Serving { .. } => {
                self.phase = Phase::Draining { until: now + self.patience.drain_deadline };
                Action::AskDrain
            }
            Phase::Waiting { .. } => {
                self.phase = Phase::Stopped;
                Action::Nothing
            }
            _ => Action::Nothing,
        }
    }

    fn end(&mut self, by: Action, now: Instant) -> Action {
        let serving = matches!(self.phase, Phase::Serving { .. } | Phase::Ending { serving: true, .. });
        self.phase = Phase::Ending { until: now + KILL_AFTER, serving };
        by
    }
}

/// SIGABRT has this long before SIGKILL follows; SIGKILL itself is repeated at this pace.
const KILL_AFTER: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PATIENCE: Patience = Patience {
        ready_within: Duration::from_secs(30),
        drain_deadline: Duration::from_secs(20),
        heartbeat_late: Duration::from_secs(10),
        reset_after: Duration::from_secs(300),
    };

    fn life() -> WorkerLife {
        WorkerLife::new(PATIENCE, Restart::new(Duration::from_millis(100), Duration::from_secs(10), 1))
    }

    fn fresh() -> Event {
        Event::Tick { beat_age: Duration::ZERO }
    }

    #[test]
    fn a_crash_after_serving_is_respawned_at_once_and_then_with_growing_delays() {
        let (mut life, now) = (life(), Instant::now());
        assert_eq!(life.on(Event::Start, now), Action::Spawn);
        life.on(Event::Ready, now);
        assert_eq!(life.on(Event::Exited { code: None }, now), Action::Spawn);
        life.on(Event::Ready, now);
        assert_eq!(life.on(Event::Exited { code: None }, now), Action::Nothing);
        assert!(matches!(life.phase(), Phase::Waiting { .. }));
        assert_eq!(life.on(fresh(), now), Action::Nothing);
        assert_eq!(life.on(fresh(), now + Duration::from_millis(100)), Action::Spawn);
    }

    #[test]
    fn a_wrong_configuration_is_never_respawned() {
        let (mut life, now) = (life(), Instant::now());
        life.on(Event::Start, now);
        assert_eq!(life.on(Event::Exited { code: Some(78) }, now), Action::GiveUp);
        assert_eq!(life.on(fresh(), now + Duration::from_secs(86_400)), Action::Nothing);
        assert!(life.has_failed());
    }

    #[test]
    fn a_worker_of_another_build_is_killed_and_never_respawned() {
        let (mut life, now) = (life(), Instant::now());
        life.on(Event::Start, now);
        assert_eq!(life.on(Event::Foreign, now), Action::Kill);
        assert_eq!(life.on(Event::Exited { code: None }, now), Action::GiveUp);
        assert_eq!(life.on(fresh(), now + Duration::from_secs(86_400)), Action::Nothing);
    }

    #[test]
    fn a_hanging_worker_is_aborted_and_then_killed() {
        let (mut life, now) = (life(), Instant::now());
        life.on(Event::Start, now);
        life.on(Event::Ready, now);
        let late = Event::Tick { beat_age: Duration::from_secs(11) };
        assert_eq!(life.on(late, now + Duration::from_secs(1)), Action::Nothing, "it had no chance to beat yet");
        assert_eq!(life.on(late, now + Duration::from_secs(11)), Action::Abort);
        assert_eq!(life.on(late, now + Duration::from_secs(12)), Action::Nothing);
        assert_eq!(life.on(late, now + Duration::from_secs(13)), Action::Kill);
    }

    #[test]
    fn a_worker_that_is_not_ready_in_time_is_killed() {
        let (mut life, now) = (life(), Instant::now());
        life.on(Event::Start, now);
        assert_eq!(life.on(fresh(), now + Duration::from_secs(30)), Action::Kill);
    }

    #[test]
    fn draining_ends_at_its_deadline() {
        let (mut life, now) = (life(), Instant::now());
        life.on(Event::Start, now);
        life.on(Event::Ready, now);
        assert_eq!(life.on(Event::Drain, now), Action::AskDrain);
        assert_eq!(life.on(fresh(), now + Duration::from_secs(20)), Action::Kill);
        assert_eq!(life.on(Event::Exited { code: None }, now + Duration::from_secs(20)), Action::Nothing);
        assert_eq!(life.phase(), Phase::Stopped);
    }

    fn any_event() -> impl Strategy<Value = Event> {
        prop_oneof![
            Just(Event::Start),
            Just(Event::Ready),
            prop_oneof![Just(None), Just(Some(0)), Just(Some(70)), Just(Some(75))]
                .prop_map(|code| Event::Exited { code }),
            Just(Event::SpawnFailed),
            Just(Event::Violated),
            (0u64..40).prop_map(|seconds| Event::Tick { beat_age: Duration::from_secs(seconds) }),
        ]
    }

    proptest! {
        /// Whatever happens, a slot never has two workers, and a drain ends it for good.
        #[test]
        fn any_history_keeps_the_promises(
            history in prop::collection::vec((any_event(), 0u64..30_000), 1..400),
            drained_at in 0usize..400,
        ) {
            let (mut life, mut now, mut running) = (life(), Instant::now(), false);
            for (step, (event, wait_ms)) in history.into_iter().enumerate() {
                now += Duration::from_millis(wait_ms);
                if step == drained_at {
                    life.on(Event::Drain, now);
                }
                // A process that is not there neither speaks nor ends.
                let impossible = matches!(event, Event::Ready | Event::Exited { .. } | Event::Violated) && !running;
                if impossible || (event == Event::SpawnFailed && running) {
                    continue;
                }
                if matches!(event, Event::Exited { .. } | Event::SpawnFailed) {
                    running = false;
                }
                if life.on(event, now) == Action::Spawn {
                    prop_assert!(!running, "two workers in one slot");
                    prop_assert!(step < drained_at, "respawned while stopping");
                    running = true;
                }
                prop_assert!(!(running && life.is_over()), "forgot a running worker");
            }
        }
    }
}
