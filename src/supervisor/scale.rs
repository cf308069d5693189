//! Lets slots rest and wakes them, as `lifecycle::scale` decides from what the board shows.
//!
//! Before a worker is asked to leave, a sibling accepts at its door; the door stays open, and the slot has it back
//! when it is woken.
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hotline::lifecycle::scale::{Bounds, Direction, Pressure, Scale, of_busy, of_queue, who_rests};
use hotline::lifecycle::{Event, clock};
use hotline::telemetry::names;
use hotline::wire::Role;

use super::Supervisor;
use super::slot::SlotState;

/// When we looked last, and what each role has shown since.
pub(super) struct Scaling {
    api: Scale,
    background: Scale,
    looked: Instant,
}

impl Scaling {
    pub(super) fn new(now: Instant) -> Self {
        for role in [Role::Api, Role::Background] {
            for direction in ["up", "down"] {
                let counter = metrics::counter!(names::SCALINGS, "role" => role.name(), "direction" => direction);
                counter.increment(0);
            }
        }
        Self { api: Scale::default(), background: Scale::default(), looked: now }
    }
}

impl Supervisor {
    /// Looks at who has how much to do. Not while a change goes through the slots, which counts on them.
    pub(super) fn scale(&mut self, now: Instant) {
        let is_due = now.saturating_duration_since(self.scaling.looked) >= LOOK_EVERY;
        if !self.announced || self.stopping.is_some() || self.change.is_some() || !is_due {
            return;
        }
        self.scaling.looked = now;
        for role in [Role::Api, Role::Background] {
            self.scale_role(role, now);
        }
    }

    fn scale_role(&mut self, role: Role, now: Instant) {
        let workers = &self.plan.config.workers;
        let (min, max) = match role {
            Role::Api => (workers.api_min, workers.api),
            _ => (workers.background_min, workers.background),
        };
        let after = Duration::from_millis;
        let bounds = Bounds {
            min,
            max,
            up_after: after(workers.scale_up_after_ms),
            down_after: after(workers.scale_down_after_ms),
        };
        let wanted = self.of_role(role).filter(|slot| !slot.is_resting).count() as u16;
        metrics::gauge!(names::WORKERS_WANTED, "role" => role.name()).set(f64::from(wanted));
        let serving = self.of_role(role).filter(|slot| !slot.is_resting && slot.life.is_serving()).count() as u16;
        let (pressure, shown) = self.pressure(role, serving);
        let scale = if role == Role::Api { &mut self.scaling.api } else { &mut self.scaling.background };
        let Some(direction) = scale.on(pressure, wanted, serving, &bounds, now) else { return };
        let moved = match direction {
            Direction::Up => self.wake(role),
            Direction::Down => self.rest(role, now),
        };
        if let Some(slot) = moved {
            let direction = if direction == Direction::Up { "up" } else { "down" };
            metrics::counter!(names::SCALINGS, "role" => role.name(), "direction" => direction).increment(1);
            tracing::info!(slot, direction, wanted, serving, min, max, shown, "scaled");
        }
    }

    /// What the board shows, in a word and in numbers for the log.
    fn pressure(&self, role: Role, serving: u16) -> (Pressure, String) {
        let workers = &self.plan.config.workers;
        let residents = self.of_role(role).filter(|slot| !slot.is_resting && slot.life.is_serving());
        let cells = residents.filter_map(SlotState::resident).map(|process| self.board.cell(process.slot.cell));
        if role == Role::Api {
            let busy: Vec<u64> = cells.map(|cell| cell.busy_permille().load(Ordering::Relaxed)).collect();
            let pressure = of_busy(&busy, workers.busy_high_permille.into(), workers.busy_low_permille.into());
            return (pressure, format!("busy permille {busy:?}"));
        }
        let (mut since_ms, mut jobs) = (u64::MAX, 0);
        for cell in cells {
            jobs = jobs.max(cell.backlog().load(Ordering::Relaxed));
            since_ms = match cell.waiting_since_ms().load(Ordering::Relaxed) {
                0 => since_ms,
                since => since_ms.min(since),
            };
        }
        let oldest_ms = clock::now_ms().saturating_sub(since_ms);
        let pressure = of_queue(oldest_ms, workers.queue_age_high_ms, jobs, serving);
        (pressure, format!("jobs {jobs}, the oldest has waited {oldest_ms} ms"))
    }

    fn busy_permille(&self, slot: &SlotState) -> u64 {
        let cell = slot.resident().map(|process| self.board.cell(process.slot.cell));
        cell.map_or(0, |cell| cell.busy_permille().load(Ordering::Relaxed))
    }

    fn of_role(&self, role: Role) -> impl Iterator<Item = &SlotState> {
        self.slots.iter().filter(move |slot| slot.role == role)
    }

    /// The first slot that rests.
    fn wake(&mut self, role: Role) -> Option<String> {
        let index = self.slots.iter().position(|slot| slot.role == role && slot.is_resting)?;
        // Still resting while it is started: nobody has crashed.
        self.feed(index, Event::Start);
        self.slots[index].is_resting = false;
        Some(self.slots[index].name())
    }

    /// A slot that serves; never the first, which has duties for all.
    fn rest(&mut self, role: Role, now: Instant) -> Option<String> {
        let may_rest = |slot: &SlotState| slot.role == role && slot.index > 0 && slot.life.is_serving();
        let slots = self.slots.iter().enumerate().filter(|(_, slot)| !slot.is_resting && may_rest(slot));
        let index = who_rests(slots.map(|(index, slot)| (index, self.busy_permille(slot))))?;
        self.slots[index].is_resting = true;
        // Its sibling first …
        self.shelter(now);
        // … then itself.
        self.feed(index, Event::Retire);
        Some(self.slots[index].name())
    }
}

/// As often as workers tell what they have to do.
const LOOK_EVERY: Duration = Duration::from_millis(500);
