//! The promises of a slot: told one by one, and kept over long random histories of unreliable workers.
use std::collections::BTreeMap;
use std::time::Duration;

use super::*;

const PATIENCE: Patience = Patience {
    ready_within: Duration::from_secs(30),
    drain_deadline: Duration::from_secs(20),
    heartbeat_late: Duration::from_secs(10),
    reset_after: Duration::from_secs(300),
};

fn slot(succession: Succession) -> SlotLife {
    let restart = Restart::new(Duration::from_millis(100), Duration::from_secs(10), 1);
    SlotLife::new(succession, PATIENCE, restart)
}

fn serving(succession: Succession, now: Instant) -> SlotLife {
    let mut life = slot(succession);
    assert_eq!(life.on(Event::Start, now), [Action::Spawn { generation: 1 }]);
    assert_eq!(life.on(Event::Ready { of: 1 }, now), []);
    life
}

const DRAIN_FIRST: Action = Action::Send { to: 1, order: Order::Drain };

#[test]
fn a_crash_after_serving_is_respawned_at_once_and_then_with_growing_delays() {
    let now = Instant::now();
    let mut life = serving(Succession::Overlap, now);
    assert_eq!(life.on(Event::Exited { of: 1, code: None }, now), [Action::Spawn { generation: 2 }]);
    life.on(Event::Ready { of: 2 }, now);
    assert_eq!(life.on(Event::Exited { of: 2, code: None }, now), []);
    assert!(matches!(life.vacancy(), Some(Vacancy::Waiting { .. })));
    assert_eq!(life.on(Event::Tick, now), []);
    assert_eq!(life.on(Event::Tick, now + Duration::from_millis(100)), [Action::Spawn { generation: 3 }]);
}

#[test]
fn a_wrong_configuration_or_another_build_is_never_respawned() {
    for foreign in [false, true] {
        let now = Instant::now();
        let mut life = slot(Succession::Overlap);
        life.on(Event::Start, now);
        if foreign {
            let kill = Action::Send { to: 1, order: Order::Kill };
            assert_eq!(life.on(Event::Foreign { of: 1 }, now), [kill]);
        }
        let code = if foreign { None } else { Some(78) };
        assert_eq!(life.on(Event::Exited { of: 1, code }, now), [Action::GiveUp]);
        assert_eq!(life.on(Event::Tick, now + Duration::from_secs(86_400)), []);
        assert!(life.has_failed() && life.is_over());
    }
}

#[test]
fn a_roll_asks_the_resident_to_leave_only_when_its_successor_is_ready() {
    let now = Instant::now();
    let mut life = serving(Succession::Overlap, now);
    assert_eq!(life.on(Event::Roll, now), [Action::Spawn { generation: 2 }]);
    assert_eq!(life.resident(), Some(1));
    assert_eq!(life.on(Event::Ready { of: 2 }, now), [DRAIN_FIRST, Action::Rolled { succeeded: true }]);
    assert_eq!(life.resident(), Some(2));
    assert!(life.is_serving());
    assert_eq!(life.on(Event::Exited { of: 1, code: Some(0) }, now), []);
}

#[test]
fn a_successor_that_fails_leaves_the_resident_alone() {
    let now = Instant::now();
    for code in [Some(78), Some(75), None] {
        let mut life = serving(Succession::Overlap, now);
        life.on(Event::Roll, now);
        assert_eq!(life.on(Event::Exited { of: 2, code }, now), [Action::Rolled { succeeded: false }]);
        assert!(life.is_serving() && life.resident() == Some(1) && !life.is_rolling());
    }
}

#[test]
fn a_resident_that_crashes_during_a_roll_is_followed_by_the_one_on_trial() {
    let now = Instant::now();
    let mut life = serving(Succession::Overlap, now);
    life.on(Event::Roll, now);
    assert_eq!(life.on(Event::Exited { of: 1, code: None }, now), [], "the next one is on its way");
    let rolled = life.clone().on(Event::Ready { of: 2 }, now);
    assert_eq!(rolled, [Action::Rolled { succeeded: true }]);
    // Even a failure of the kind that is never repeated: it was the new kind's.
    let failed = life.on(Event::Exited { of: 2, code: Some(78) }, now);
    assert_eq!(failed, [Action::Rolled { succeeded: false }, Action::Spawn { generation: 3 }]);
}

#[test]
fn what_has_one_owner_is_handed_over_in_turn_and_taken_back_in_turn() {
    let now = Instant::now();
    let mut life = serving(Succession::InTurn, now);
    assert_eq!(life.on(Event::Roll, now), [DRAIN_FIRST]);
    let spawn = [Action::Spawn { generation: 2 }];
    assert_eq!(life.on(Event::Exited { of: 1, code: Some(0) }, now), spawn);
    let failed = life.on(Event::Exited { of: 2, code: Some(70) }, now);
    assert_eq!(failed, [Action::Rolled { succeeded: false }, Action::Spawn { generation: 3 }]);
}

#[test]
fn a_retired_slot_comes_back_when_it_is_started_again() {
    let now = Instant::now();
    let mut life = serving(Succession::Overlap, now);
    assert_eq!(life.on(Event::Retire, now), [DRAIN_FIRST]);
    assert!(!life.is_serving() && !life.is_over());
    assert_eq!(life.on(Event::Roll, now), [Action::Rolled { succeeded: true }]);
    assert_eq!(life.on(Event::Start, now), [Action::Spawn { generation: 2 }], "it need not wait for the leaver");
    assert_eq!(life.on(Event::Exited { of: 1, code: Some(0) }, now), []);
    life.on(Event::Retire, now);
    assert_eq!(life.on(Event::Exited { of: 2, code: None }, now), [], "nobody wants it back");
    assert!(life.is_over());
}

#[test]
fn who_comes_and_goes_leaves_no_crowd_behind() {
    let now = Instant::now();
    let mut life = serving(Succession::Overlap, now);
    for next in 2..=4 {
        life.on(Event::Retire, now);
        let came = life.on(Event::Start, now);
        assert_eq!(came.is_empty(), next == 4, "generation {next}: {came:?}");
    }
    assert!(!life.is_over(), "it waits");
    assert_eq!(life.on(Event::Tick, now), []);
    assert_eq!(life.on(Event::Exited { of: 2, code: Some(0) }, now), [Action::Spawn { generation: 4 }]);
}

/// xorshift64*: the same history for the same seed on every machine.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides
    }
}

/// What the world knows of the processes, told by the actions alone.
struct World {
    life: SlotLife,
    succession: Succession,
    now: Instant,
    /// Alive: the last order each was given.
    processes: BTreeMap<Generation, Option<Order>>,
    ready: Vec<Generation>,
    rolling: bool,
    /// Something other than the slot's own decisions took a worker from it.
    disturbed: bool,
}

impl World {
    fn feed(&mut self, event: Event) {
        let served = self.takes_work();
        if event == Event::Roll {
            self.rolling = true;
        }
        for action in self.life.on(event, self.now) {
            match action {
                Action::Spawn { generation } => {
                    assert!(self.processes.insert(generation, None).is_none(), "a generation lived twice");
                }
                Action::Send { to, order } => {
                    assert!(self.processes.contains_key(&to), "an order to nobody");
                    self.processes.insert(to, Some(order));
                }
                Action::Rolled { .. } => {
                    assert!(std::mem::take(&mut self.rolling), "a roll ended that nobody began");
                }
                Action::GiveUp => assert!(self.life.has_failed()),
            }
        }
        let gap_is_ours = !matches!(event, Event::Exited { .. } | Event::Violated { .. } | Event::Foreign { .. });
        let planned = event == Event::Retire || self.succession == Succession::InTurn;
        assert!(
            !served || self.takes_work() || !gap_is_ours || planned || self.disturbed,
            "the slot gave its only worker away"
        );
        let working = self.processes.values().filter(|order| order.is_none()).count();
        assert!(working <= 2, "more than a resident and a successor");
        assert!(self.processes.len() <= LEAVERS_MAX + 4, "leavers pile up");
        if self.succession == Succession::InTurn {
            assert!(self.processes.len() <= 1, "two owners of what has one");
        }
        assert!(!self.life.is_over() || self.processes.is_empty(), "forgot a process");
        assert_eq!(self.life.is_rolling(), self.rolling, "a roll was forgotten");
    }

    /// Somebody who said Ready was not asked to leave.
    fn takes_work(&self) -> bool {
        self.processes.iter().any(|(of, order)| order.is_none() && self.ready.contains(of))
    }

    fn step(&mut self, dice: &mut Dice) {
        self.now += Duration::from_millis(dice.throw(3_000));
        let pick = dice.throw(self.processes.len().max(1) as u64) as usize;
        let process = self.processes.iter().nth(pick).map(|(of, order)| (*of, *order));
        self.disturbed = false;
        // Whenever the slot is at rest another image of the supervisor may go on with it.
        if let Some(record) = self.life.record(self.now).filter(|_| dice.throw(4) == 0) {
            assert!(self.processes.len() <= 1 && !self.rolling, "recorded in the middle of something");
            self.life = SlotLife::resume(record, self.succession, PATIENCE, self.now);
        }
        match (dice.throw(12), process) {
            (0, _) => self.feed(Event::Start),
            (1, _) if !self.rolling => self.feed(Event::Roll),
            (2, _) if dice.throw(4) == 0 => self.feed(Event::Retire),
            (3 | 4, Some((of, None))) if !self.ready.contains(&of) => {
                self.ready.push(of);
                self.feed(Event::Ready { of });
            }
            (5, Some((of, None))) if dice.throw(3) == 0 => self.exit(of, [None, Some(70), Some(75)][pick % 3]),
            (5, Some((of, None))) if dice.throw(20) == 0 => self.exit(of, Some(78)),
            (6, Some((of, None))) if dice.throw(4) == 0 => self.feed(Event::Violated { of }),
            (7, Some((of, _))) if dice.throw(3) == 0 => {
                self.disturbed = true;
                self.feed(Event::Beat { of, age: Duration::from_secs(dice.throw(40)) });
            }
            (8 | 9, Some((of, Some(order)))) => {
                self.exit(of, if order == Order::Drain { Some(0) } else { None });
            }
            _ => self.feed(Event::Tick),
        }
    }

    fn exit(&mut self, of: Generation, code: Option<i32>) {
        self.processes.remove(&of);
        self.feed(Event::Exited { of, code });
    }

    /// With workers that obey, everything asked for comes to its end.
    fn settle(&mut self) {
        for _ in 0..400 {
            self.now += Duration::from_secs(1);
            let obeying: Vec<Generation> =
                self.processes.iter().filter(|(_, order)| order.is_some()).map(|(of, _)| *of).collect();
            obeying.into_iter().for_each(|of| self.exit(of, Some(0)));
            let fresh: Vec<Generation> = self.processes.keys().copied().filter(|of| !self.ready.contains(of)).collect();
            for of in fresh {
                self.ready.push(of);
                self.feed(Event::Ready { of });
            }
            self.feed(Event::Tick);
        }
        assert!(!self.rolling, "a roll never ended");
        assert!(self.life.is_over() || self.life.is_serving(), "the slot did not come to rest: {:?}", self.life);
    }
}

/// `HOTLINE_HISTORY_SEED=N` replays one history.
#[test]
fn any_history_keeps_the_promises() {
    let asked: Option<u64> = std::env::var("HOTLINE_HISTORY_SEED").ok().and_then(|seed| seed.parse().ok());
    let first: u64 = asked.unwrap_or_else(|| std::process::id().into());
    let histories = if asked.is_some() { 1 } else { 400 };
    for seed in first..first + histories {
        let succession = if seed % 2 == 0 { Succession::Overlap } else { Succession::InTurn };
        let mut world = World {
            life: slot(succession),
            succession,
            now: Instant::now(),
            processes: BTreeMap::new(),
            ready: Vec::new(),
            rolling: false,
            disturbed: false,
        };
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let kept = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..3_000 {
                world.step(&mut dice);
            }
            world.settle();
        }));
        assert!(kept.is_ok(), "replay with HOTLINE_HISTORY_SEED={seed}");
    }
}
