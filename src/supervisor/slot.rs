//! A slot and the processes that live in it: mostly one, two while one follows the other.
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hotline::board::Board;
use hotline::config::Workers;
use hotline::lifecycle::{Event, Generation, Phase, Restart, SlotLife, Succession, Vacancy};
use hotline::wire::{Confinement, Role};

use super::handover::{Luggage, SlotStateRecord};
use super::plan::{Plan, patience};
use super::process::Process;

/// A place for a worker: it keeps its name, its listener and its history whoever lives in it.
pub(super) struct SlotState {
    pub(super) role: Role,
    pub(super) index: u16,
    pub(super) life: SlotLife,
    pub(super) processes: Vec<Process>,
    pub(super) restarts: u64,
    /// Why the last worker ended, for the log and for `status`.
    pub(super) last_end: String,
    /// What held the newest worker that became ready.
    pub(super) confinement: Option<Confinement>,
    /// Not needed at the moment: a sibling has its door.
    pub(super) is_resting: bool,
    /// Since when nobody takes the slot's work; `None` while somebody does.
    idle_since: Option<Instant>,
}

impl SlotState {
    /// `seed` keeps slots that crashed together from coming back together.
    pub(super) fn new(role: Role, index: u16, workers: &Workers, seed: u64) -> Self {
        let first = Duration::from_millis(workers.backoff_first_ms);
        let max = Duration::from_millis(workers.backoff_max_ms);
        let restart = Restart::new(first, max, seed ^ (u64::from(index) << 8 | role as u64));
        Self {
            role,
            index,
            life: SlotLife::new(succession(role), patience(workers), restart),
            processes: Vec::new(),
            restarts: 0,
            last_end: String::new(),
            confinement: None,
            is_resting: false,
            idle_since: None,
        }
    }

    /// For another image of the supervisor; nothing while the slot is not at rest.
    pub(super) fn record(&self, now: Instant) -> Option<SlotStateRecord> {
        let (life, serves) = (self.life.record(now)?, self.life.is_serving());
        let rest = match self.processes.as_slice() {
            [] => !serves,
            [one] => serves && one.link.is_between_messages() && one.pidfd.is_running(),
            _ => false,
        };
        rest.then(|| SlotStateRecord {
            role: self.role,
            index: self.index,
            life,
            restarts: self.restarts,
            last_end: self.last_end.clone(),
            confinement: self.confinement,
            is_resting: self.is_resting,
            process: self.processes.first().map(|process| process.record(now)),
        })
    }

    /// As it was in an earlier image of the supervisor.
    pub(super) fn resume(
        record: SlotStateRecord,
        plan: &Rc<Plan>,
        luggage: &Luggage,
        now: Instant,
    ) -> io::Result<Self> {
        let (role, index) = (record.role, record.index);
        let process = record.process.map(|process| Process::resume(process, (role, index), plan, luggage, now));
        Ok(Self {
            role,
            index,
            life: SlotLife::resume(record.life, succession(role), plan.patience(), now),
            processes: process.transpose()?.into_iter().collect(),
            restarts: record.restarts,
            last_end: record.last_end,
            confinement: record.confinement,
            is_resting: record.is_resting,
            idle_since: None,
        })
    }

    /// `api-0`: what operators call it.
    pub(super) fn name(&self) -> String {
        format!("{}-{}", self.role.name(), self.index)
    }

    pub(super) fn process(&mut self, generation: Generation) -> Option<&mut Process> {
        self.processes.iter_mut().find(|process| process.generation == generation)
    }

    /// The worker that takes the slot's work, or will.
    pub(super) fn resident(&self) -> Option<&Process> {
        let resident = self.life.resident()?;
        self.processes.iter().find(|process| process.generation == resident)
    }

    pub(super) fn resident_mut(&mut self) -> Option<&mut Process> {
        let resident = self.life.resident()?;
        self.process(resident)
    }

    /// The resident, if it serves.
    pub(super) fn server(&mut self) -> Option<&mut Process> {
        if !self.is_resting && self.life.is_serving() { self.resident_mut() } else { None }
    }

    /// What the lifecycle must hear of all who live here.
    pub(super) fn beats(&mut self, board: &Board, now: Instant) -> Vec<Event> {
        let beat = |process: &mut Process| Event::Beat { of: process.generation, age: process.beat_age(board, now) };
        self.processes.iter_mut().map(beat).collect()
    }

    /// Nobody takes this slot's work and it shows: callers in its queue are better off with a sibling.
    pub(super) fn is_away(&mut self, board: &Board, now: Instant) -> bool {
        if self.is_resting {
            return true;
        }
        let serves = self.life.is_serving();
        let beat_age = self.resident_mut().map(|process| process.beat_age(board, now));
        if serves && beat_age.is_some_and(|age| age < SILENT_AFTER) {
            self.idle_since = None;
            return false;
        }
        let since = *self.idle_since.get_or_insert(now);
        let long_wait = match self.life.vacancy() {
            Some(Vacancy::Waiting { until }) => until.saturating_duration_since(now) > AWAY_AFTER,
            Some(Vacancy::Stopped | Vacancy::Failed) => true,
            None => false,
        };
        long_wait || serves || now.saturating_duration_since(since) > AWAY_AFTER
    }

    pub(super) fn phase_name(&self) -> &'static str {
        let phase = self.life.resident().and_then(|resident| self.life.phase_of(resident));
        match (phase, self.life.vacancy()) {
            (Some(phase), _) => name_of(phase),
            (None, Some(Vacancy::Waiting { .. })) => "waiting",
            (None, Some(Vacancy::Failed)) => "failed",
            (None, _) if self.is_resting => "resting",
            (None, _) if self.processes.is_empty() => "stopped",
            (None, _) => "draining",
        }
    }
}

/// The log has one writer; everybody else is replaced without a gap.
fn succession(role: Role) -> Succession {
    if role == Role::Scribe { Succession::InTurn } else { Succession::Overlap }
}

pub(super) fn name_of(phase: Phase) -> &'static str {
    match phase {
        Phase::Starting { .. } => "starting",
        Phase::Serving { .. } => "serving",
        Phase::Draining { .. } => "draining",
        Phase::Ending { .. } => "ending",
    }
}

/// A client waits a second before it sends its SYN again.
const AWAY_AFTER: Duration = Duration::from_secs(1);
/// A worker beats twice a second; one that is silent this long accepts nothing, whatever becomes of it.
const SILENT_AFTER: Duration = Duration::from_secs(2);
