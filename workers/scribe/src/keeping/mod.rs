//! Keeping the log: legal holds, and once a day the disposal of what is past its time.
//!
//! The desk decides and puts on record; the custodian reads and removes. Nothing is decided while a hold stands, while
//! the log is not in order, or by a clock that cannot be believed, and what was found is decided anew when it is found.
mod acts;

use std::io;
use std::time::{Duration, Instant};

use hotline::audit::disposal::{DisposalError, Due};
use hotline::audit::standing::DISPOSE;
use hotline::audit::{Event, Severity};
use hotline::lifecycle::clock;
use hotline::telemetry::names;
use hotline::wire::{AdminReply, LogHold, LogKeeping};

use crate::custodian::{Custodian, Custody};
use crate::desk::{Desk, own_event};
use crate::inbox::{Inbox, Note};

/// How the desk tells the supervisor something.
pub type Tell = Box<dyn FnMut(Told) + Send>;

/// What it tells.
pub enum Told {
    Reply { request_id: u64, reply: AdminReply },
    Keeping(LogKeeping),
}

/// The part of the desk that keeps the log.
pub struct Keeper {
    pub(crate) inbox: Inbox,
    custodian: Custodian,
    tell: Tell,
    stage: Stage,
    next_look: Instant,
    /// Who asked for this look: operators that wait for its outcome, and the name of the last.
    waiting: Vec<(u64, Instant)>,
    actor: String,
    /// Why the last look came to nothing.
    impediment: Option<String>,
    /// A disposition is on record whose files may still be there.
    is_unfinished: bool,
    told: Option<LogKeeping>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Idle,
    Searching,
    /// What is on record is being removed. `is_bounded`: there may be more.
    Removing {
        is_bounded: bool,
    },
}

impl Keeper {
    /// The first look comes at once.
    pub fn new(custody: Custody, inbox: Inbox, tell: Tell) -> Self {
        Self {
            custodian: Custodian::new(custody, inbox.clone()),
            inbox,
            tell,
            stage: Stage::Idle,
            next_look: Instant::now(),
            waiting: Vec::new(),
            actor: SYSTEM.to_owned(),
            impediment: None,
            is_unfinished: false,
            told: None,
        }
    }

    /// What an earlier life put on record could not be removed yet.
    pub fn is_unfinished(mut self) -> Self {
        self.is_unfinished = true;
        self
    }

    fn reply(&mut self, request_id: u64, act: &'static str, outcome: Result<impl Into<String>, impl Into<String>>) {
        let is_done = if outcome.is_ok() { "done" } else { "refused" };
        metrics::counter!(names::AUDIT_KEEPING_ACTS, "act" => act, "outcome" => is_done).increment(1);
        let reply = match outcome {
            Ok(what) => AdminReply::Done { what: what.into() },
            Err(reason) => AdminReply::Refused { reason: reason.into() },
        };
        (self.tell)(Told::Reply { request_id, reply });
    }

    /// A look is over.
    fn conclude(&mut self, outcome: &'static str, said: Result<String, String>, next: Duration) {
        metrics::counter!(names::AUDIT_DISPOSALS, "outcome" => outcome).increment(1);
        self.stage = Stage::Idle;
        self.next_look = Instant::now() + next;
        self.actor = SYSTEM.to_owned();
        self.impediment = said.as_ref().err().cloned();
        for (request_id, _) in std::mem::take(&mut self.waiting) {
            self.reply(request_id, "dispose", said.clone());
        }
    }
}

impl Desk<'_> {
    pub fn keep_by(&mut self, keeper: Keeper) {
        self.keeper = Some(keeper);
    }

    /// With every turn: what others want or have done, and whether it is time to look again.
    pub(crate) fn keep(&mut self) {
        let Some(mut keeper) = self.keeper.take() else { return };
        while let Some(note) = keeper.inbox.take() {
            match note {
                Note::Asked { request_id, act, uid } => self.asked(&mut keeper, request_id, act, uid),
                Note::Found(found) => self.found(&mut keeper, found),
                Note::Removed(removed) => self.removed(&mut keeper, removed),
            }
        }
        let now = Instant::now();
        if keeper.stage == Stage::Idle && now >= keeper.next_look {
            self.look(&mut keeper);
        }
        let is_late = |(_, since): &(u64, Instant)| now.saturating_duration_since(*since) >= ANSWER_WITHIN;
        while let Some(at) = keeper.waiting.iter().position(is_late) {
            let (request_id, _) = keeper.waiting.remove(at);
            keeper.reply(request_id, "dispose", if keeper.stage == Stage::Idle { Err(UNPUBLISHED) } else { Ok(BEGUN) });
        }
        self.tell_keeping(&mut keeper);
        self.keeper = Some(keeper);
    }

    /// Begins to look for what is past its time, unless something forbids it.
    fn look(&mut self, keeper: &mut Keeper) {
        if keeper.is_unfinished {
            return self.remove(keeper, false);
        }
        // Who has not yet published what it found at its start is not done with reading the oldest records.
        let published_seq = self.herald.as_ref().map_or(0, crate::Herald::settled);
        if published_seq == 0 {
            return;
        }
        let now_ms = now_ms();
        if let Some((outcome, reason)) = self.impediment(now_ms) {
            if outcome != "held" {
                tracing::error!(reason, "no record is disposed of");
            }
            return keeper.conclude(outcome, Err(reason), LOOK_EVERY);
        }
        keeper.stage = Stage::Searching;
        let disposed = self.writer.standing().disposed.clone();
        if let Err(error) = keeper.custodian.search(disposed, now_ms, published_seq) {
            Self::failed(keeper, &error);
        }
    }

    /// What forbids to dispose of anything, and how a look that finds it is counted.
    fn impediment(&mut self, now_ms: i64) -> Option<(&'static str, String)> {
        let holds = self.writer.standing().holds.len();
        if holds > 0 {
            return Some(("held", format!("{} on the log", count(holds, "legal hold"))));
        }
        if !self.writer.is_intact() {
            return Some(("broken", "the log was found broken, and is evidence".to_owned()));
        }
        if !self.writer.believes(now_ms) {
            let said = "the clock cannot be believed: the log stood still for more than 31 days, or the clock jumped; \
                        `hotline audit dispose --today DATE` by somebody who knows the date settles it";
            return Some(("clock", said.to_owned()));
        }
        None
    }

    fn found(&mut self, keeper: &mut Keeper, found: Result<Option<Due>, DisposalError>) {
        let Due { what, is_bounded } = match found {
            Ok(Some(due)) => due,
            Ok(None) => return keeper.conclude("nothing", Ok("no record is past its time".to_owned()), LOOK_EVERY),
            Err(error @ DisposalError::Damaged { .. }) => {
                tracing::error!(%error, "no record is disposed of");
                return keeper.conclude("broken", Err(error.to_string()), LOOK_EVERY);
            }
            Err(error) => return Self::failed(keeper, &error),
        };
        // It took a while to find.
        if let Some((outcome, reason)) = self.impediment(now_ms()) {
            return keeper.conclude(outcome, Err(reason), LOOK_EVERY);
        }
        let details = serde_json::to_string(&what).expect("strings and integers are always JSON");
        let event = Event { actor: keeper.actor.clone(), severity: Severity::High, ..own_event(DISPOSE, details) };
        match self.record_now(Event { subject: what.subject(), ..event }) {
            Ok(record) => {
                tracing::info!(record, first_seq = what.first_seq, last_seq = what.last_seq, "records are disposed of");
                self.remove(keeper, is_bounded);
            }
            Err(error) => Self::failed(keeper, &error),
        }
    }

    /// The disposition is on record. Not before a checkpoint tells of it does the first file go.
    fn remove(&mut self, keeper: &mut Keeper, is_bounded: bool) {
        keeper.is_unfinished = true;
        let Some(disposed) = self.writer.standing().disposed.clone() else { return };
        if let Err(error) = self.writer.checkpoint() {
            return Self::failed(keeper, &error);
        }
        keeper.stage = Stage::Removing { is_bounded };
        if let Err(error) = keeper.custodian.remove(disposed) {
            Self::failed(keeper, &error);
        }
    }

    fn removed(&mut self, keeper: &mut Keeper, removed: Result<(), DisposalError>) {
        if let Err(error) = removed {
            return Self::failed(keeper, &error);
        }
        keeper.is_unfinished = false;
        let Some(disposed) = &self.writer.standing().disposed else { return };
        let (what, record) = (&disposed.what, disposed.record);
        let said = format!("records {} to {} are disposed of; record {record} says so", what.first_seq, what.last_seq);
        match keeper.stage {
            Stage::Removing { is_bounded: true } => keeper.conclude("bounded", Ok(said), MORE_AFTER),
            _ => keeper.conclude("done", Ok(said), LOOK_EVERY),
        }
    }

    fn failed(keeper: &mut Keeper, error: &dyn std::fmt::Display) {
        tracing::error!(%error, "could not dispose of records; trying again");
        keeper.conclude("failed", Err(format!("it failed and is tried again: {error}")), RETRY_AFTER);
    }

    fn tell_keeping(&self, keeper: &mut Keeper) {
        let standing = self.writer.standing();
        let hold = |hold: &hotline::audit::Hold| {
            let hotline::audit::Hold { seq, since, by } = hold.clone();
            LogHold { seq, since, by }
        };
        let keeping = LogKeeping {
            holds: standing.holds.iter().map(hold).collect(),
            disposed: standing.disposed_seq(),
            disposed_at: standing.disposed.as_ref().map(|disposed| disposed.at.clone()).unwrap_or_default(),
            impediment: keeper.impediment.clone().filter(|_| standing.holds.is_empty()),
        };
        if keeper.told.as_ref() != Some(&keeping) {
            metrics::gauge!(names::AUDIT_HOLDS).set(keeping.holds.len() as f64);
            metrics::gauge!(names::AUDIT_DISPOSED_RECORDS).set(keeping.disposed as f64);
            keeper.told = Some(keeping.clone());
            (keeper.tell)(Told::Keeping(keeping));
        }
    }
}

const BEGUN: &str = "it has begun and takes its time; `hotline status` tells how far the log is disposed of";
const UNPUBLISHED: &str =
    "nothing is disposed of before all records are published; the service's log tells what is in the way";

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn now_ms() -> i64 {
    i64::try_from(clock::now_ms()).unwrap_or(i64::MAX)
}

/// Could not be put on record: what was not written is not done.
pub(crate) fn not_written() -> io::Error {
    io::Error::other("the audit log cannot be written now; nothing was done")
}

const SYSTEM: &str = "system";
const LOOK_EVERY: Duration = Duration::from_secs(24 * 3_600);
/// Where one act was not enough; the disk belongs to others in between.
const MORE_AFTER: Duration = Duration::from_secs(60);
const RETRY_AFTER: Duration = Duration::from_secs(600);
/// Before the supervisor gives up waiting for it.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
