//! One slot, over the lives of all its workers: who lives there, who comes, who leaves.
//!
//! At most one resident takes the slot's work, at most one successor is getting ready, and a bounded
//! number of predecessors finish what they began. A roll replaces the resident without a gap: the
//! successor must say Ready before the resident is asked to leave. Until then it is on trial: whatever
//! ends it ends the roll, and the resident never notices.
mod record;
mod words;

use std::time::Instant;

use super::process_life::{Order, Patience, Phase, ProcessLife};
use super::{ExitCode, Restart};

pub use record::SlotRecord;
pub use words::{Action, Event, Generation, Succession, Vacancy};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Roll {
    None,
    /// Asked for, and to be begun when the slot has come to rest.
    Asked,
    /// In turn: the resident was asked to leave, the successor is spawned when it has.
    Leaving,
    /// This generation decides.
    Trial(Generation),
}

#[derive(Clone, Copy, Debug)]
struct Tenant {
    generation: Generation,
    life: ProcessLife,
}

/// The life of one slot.
#[derive(Clone, Debug)]
pub struct SlotLife {
    succession: Succession,
    patience: Patience,
    restart: Restart,
    generation: Generation,
    resident: Option<Tenant>,
    successor: Option<Tenant>,
    leavers: Vec<Tenant>,
    vacancy: Vacancy,
    roll: Roll,
}

impl SlotLife {
    pub fn new(succession: Succession, patience: Patience, restart: Restart) -> Self {
        Self {
            succession,
            patience,
            restart,
            generation: 0,
            resident: None,
            successor: None,
            leavers: Vec::new(),
            vacancy: Vacancy::Stopped,
            roll: Roll::None,
        }
    }

    /// For workers that start from now on.
    pub fn set_patience(&mut self, patience: Patience) {
        self.patience = patience;
    }

    /// The resident takes work.
    pub fn is_serving(&self) -> bool {
        self.resident.is_some_and(|resident| resident.life.is_serving())
    }

    /// Nobody lives here and nobody will come by itself.
    pub fn is_over(&self) -> bool {
        self.is_empty() && !matches!(self.vacancy, Vacancy::Waiting { .. })
    }

    pub fn has_failed(&self) -> bool {
        self.resident.is_none() && self.vacancy == Vacancy::Failed
    }

    /// Why there is no resident; `None` when there is one.
    pub fn vacancy(&self) -> Option<Vacancy> {
        self.resident.is_none().then_some(self.vacancy)
    }

    pub fn is_rolling(&self) -> bool {
        self.roll != Roll::None
    }

    pub fn resident(&self) -> Option<Generation> {
        self.resident.map(|tenant| tenant.generation)
    }

    pub fn phase_of(&self, generation: Generation) -> Option<Phase> {
        self.tenants().find(|tenant| tenant.generation == generation).map(|tenant| tenant.life.phase())
    }

    fn tenants(&self) -> impl Iterator<Item = &Tenant> {
        self.resident.iter().chain(&self.successor).chain(&self.leavers)
    }

    fn is_empty(&self) -> bool {
        self.resident.is_none() && self.successor.is_none() && self.leavers.is_empty()
    }

    pub fn on(&mut self, event: Event, now: Instant) -> Vec<Action> {
        let mut todo = Vec::new();
        match event {
            Event::Start => self.start(now, &mut todo),
            Event::Roll => self.ask_roll(now, &mut todo),
            Event::Retire => self.retire(now, &mut todo),
            Event::Tick => self.on_tick(now, &mut todo),
            Event::Beat { of, age } => self.order(of, &mut todo, |life| life.tick(age, now)),
            Event::Violated { of } => self.order(of, &mut todo, |life| Some(life.violated(now))),
            Event::Foreign { of } => self.order(of, &mut todo, |life| Some(life.foreign(now))),
            Event::Ready { of } => self.on_ready(of, now, &mut todo),
            Event::Exited { of, code } => self.on_exit(of, code, now, &mut todo),
        }
        todo
    }

    /// Lets `decide` look at one worker's life.
    fn order(
        &mut self,
        of: Generation,
        todo: &mut Vec<Action>,
        decide: impl FnOnce(&mut ProcessLife) -> Option<Order>,
    ) {
        let mut tenants = self.resident.iter_mut().chain(&mut self.successor).chain(&mut self.leavers);
        let tenant = tenants.find(|tenant| tenant.generation == of);
        let order = tenant.and_then(|tenant| decide(&mut tenant.life));
        todo.extend(order.map(|order| Action::Send { to: of, order }));
    }

    fn spawn(&mut self, now: Instant, todo: &mut Vec<Action>) -> Tenant {
        self.generation += 1;
        todo.push(Action::Spawn { generation: self.generation });
        Tenant { generation: self.generation, life: ProcessLife::begin(self.patience, now) }
    }

    fn start(&mut self, now: Instant, todo: &mut Vec<Action>) {
        if self.resident.is_some() || matches!(self.vacancy, Vacancy::Waiting { .. }) {
            return;
        }
        if self.must_wait_its_turn() {
            self.vacancy = Vacancy::Waiting { until: now };
            return;
        }
        self.resident = Some(self.spawn(now, todo));
    }

    /// Whoever is retired and started time and again must not leave a crowd of leavers behind.
    fn must_wait_its_turn(&self) -> bool {
        let leavers_max = if self.succession == Succession::InTurn { 0 } else { LEAVERS_MAX };
        self.leavers.len() > leavers_max
    }

    fn retire(&mut self, now: Instant, todo: &mut Vec<Action>) {
        self.settle_roll(false, todo);
        self.vacancy = Vacancy::Stopped;
        let (resident, successor) = (self.resident.take(), self.successor.take());
        for tenant in resident.into_iter().chain(successor) {
            self.dismiss(tenant, now, todo);
        }
    }

    /// Asks a worker to leave; it is remembered until it has.
    fn dismiss(&mut self, mut tenant: Tenant, now: Instant, todo: &mut Vec<Action>) {
        let order = tenant.life.drain(now);
        todo.extend(order.map(|order| Action::Send { to: tenant.generation, order }));
        self.leavers.push(tenant);
    }

    fn ask_roll(&mut self, now: Instant, todo: &mut Vec<Action>) {
        if self.resident.is_none() && self.vacancy == Vacancy::Stopped {
            // Whoever comes later comes as the new kind.
            todo.push(Action::Rolled { succeeded: true });
        } else if self.roll == Roll::None {
            self.roll = Roll::Asked;
            self.begin_roll(now, todo);
        }
    }

    /// Begins the roll that was asked for, if nothing stands in its way.
    fn begin_roll(&mut self, now: Instant, todo: &mut Vec<Action>) {
        if self.roll != Roll::Asked || self.leavers.len() >= LEAVERS_MAX || self.must_wait_its_turn() {
            return;
        }
        match (&mut self.resident, self.succession) {
            (None, _) => {
                let tenant = self.spawn(now, todo);
                self.roll = Roll::Trial(tenant.generation);
                self.resident = Some(tenant);
            }
            (Some(resident), _) if !resident.life.is_serving() => {}
            (Some(_), Succession::Overlap) => {
                let tenant = self.spawn(now, todo);
                self.roll = Roll::Trial(tenant.generation);
                self.successor = Some(tenant);
            }
            (Some(resident), Succession::InTurn) => {
                self.roll = Roll::Leaving;
                let (to, order) = (resident.generation, resident.life.drain(now));
                todo.extend(order.map(|order| Action::Send { to, order }));
            }
        }
    }

    fn settle_roll(&mut self, succeeded: bool, todo: &mut Vec<Action>) {
        if std::mem::replace(&mut self.roll, Roll::None) != Roll::None {
            todo.push(Action::Rolled { succeeded });
        }
    }

    fn on_tick(&mut self, now: Instant, todo: &mut Vec<Action>) {
        if let (None, Vacancy::Waiting { until }) = (&self.resident, self.vacancy)
            && now >= until
            && !self.must_wait_its_turn()
        {
            self.resident = Some(self.spawn(now, todo));
        }
        self.begin_roll(now, todo);
    }

    fn on_ready(&mut self, of: Generation, now: Instant, todo: &mut Vec<Action>) {
        let is_successor = self.successor.is_some_and(|tenant| tenant.generation == of);
        let place = if is_successor { &mut self.successor } else { &mut self.resident };
        let Some(tenant) = place.as_mut().filter(|tenant| tenant.generation == of) else { return };
        if !tenant.life.ready(now) {
            return;
        }
        if is_successor {
            let predecessor = std::mem::replace(&mut self.resident, self.successor.take());
            predecessor.into_iter().for_each(|tenant| self.dismiss(tenant, now, todo));
        }
        if self.roll == Roll::Trial(of) {
            self.settle_roll(true, todo);
        }
        self.begin_roll(now, todo);
    }

    fn on_exit(&mut self, of: Generation, code: Option<i32>, now: Instant, todo: &mut Vec<Action>) {
        let was = |place: &Option<Tenant>| place.is_some_and(|tenant| tenant.generation == of);
        if was(&self.successor) {
            self.successor = None;
            self.settle_roll(false, todo);
        } else if was(&self.resident) {
            self.on_vacated(code, now, todo);
        } else {
            self.leavers.retain(|tenant| tenant.generation != of);
            self.on_tick(now, todo);
        }
    }

    /// The resident is gone.
    fn on_vacated(&mut self, code: Option<i32>, now: Instant, todo: &mut Vec<Action>) {
        let Some(Tenant { generation, life }) = self.resident.take() else { return };
        if let Some(successor) = self.successor.take() {
            // Still on trial, and now the one that everybody waits for.
            self.resident = Some(successor);
            return;
        }
        match self.roll {
            Roll::Leaving => {
                let tenant = self.spawn(now, todo);
                self.roll = Roll::Trial(tenant.generation);
                self.resident = Some(tenant);
                return;
            }
            // The old kind worked; it may come back at once.
            Roll::Trial(of) if of == generation => {
                self.settle_roll(false, todo);
                self.resident = Some(self.spawn(now, todo));
                return;
            }
            _ => {}
        }
        if life.is_foreign() || code == Some(ExitCode::BadConfig as i32) {
            self.vacancy = Vacancy::Failed;
            self.settle_roll(false, todo);
            todo.push(Action::GiveUp);
            return;
        }
        if life.has_proven_itself(now) {
            self.restart.forgive();
        }
        let delay = self.restart.next_delay(life.has_served());
        if delay.is_zero() {
            self.resident = Some(self.spawn(now, todo));
        } else {
            self.vacancy = Vacancy::Waiting { until: now + delay };
        }
        self.begin_roll(now, todo);
    }
}

/// Predecessors that may still be leaving when the next roll begins.
const LEAVERS_MAX: usize = 2;

#[cfg(test)]
#[path = "slot_life_tests.rs"]
mod tests;
