//! What is being done with keys, one thing at a time: put on record, done by a child, taken to every worker.
//!
//! No act without its record: where the log cannot be written, nothing is done. A new data key is handed to every
//! worker before the first seals with it, so that nobody reads what they cannot open (`vault::rotation`).
use std::rc::Rc;
use std::time::{Duration, Instant};

use hotline::audit::{Event as AuditEvent, EventType, Outcome, Severity};
use hotline::lifecycle::{Generation, clock};
use hotline::telemetry::names;
use hotline::vault::KeyClass;
use hotline::wire::{Duty, DutyOutcome, Role, SealedCount, ToWorker};

use super::Supervisor;
use super::change::{Change, Rolling};
use super::errand::{Act, Errand, Request};
use super::protocol::{KeysAsk, Told};

/// One task from beginning to end.
pub(super) struct KeyWork {
    /// What somebody wants.
    task: KeysAsk,
    /// The visitor who waits for the outcome; nobody when it was the clock.
    asked_by: Option<u64>,
    actor: String,
    stage: Stage,
}

enum Stage {
    /// A worker tells what is sealed under which version.
    Counting(Asked),
    /// A worker puts the act on record.
    Recording(Asked),
    /// A child does it.
    AtWork { act: Act, errand: Errand },
    /// Workers are replaced, one after the other.
    Rolling { after: Act, what: String },
}

/// Who is to answer, and by when. Nobody else's word counts.
struct Asked {
    of: Option<(usize, Generation)>,
    request_id: u64,
    until: Instant,
}

impl KeyWork {
    pub(super) fn errand(&self) -> Option<&Errand> {
        match &self.stage {
            Stage::AtWork { errand, .. } => Some(errand),
            _ => None,
        }
    }

    fn awaits(&self, from: (usize, Generation), id: u64) -> bool {
        let (Stage::Counting(asked) | Stage::Recording(asked)) = &self.stage else { return false };
        (asked.of, asked.request_id) == (Some(from), id)
    }
}

impl Supervisor {
    /// A visitor of the admin socket.
    pub(super) fn keys_asked(&mut self, visitor: u64, uid: u32, ask: KeysAsk, now: Instant) {
        if ask == KeysAsk::List {
            let listing = self.keys.listing.clone();
            return self.admin.reply(visitor, &Told::Keys(listing));
        }
        tracing::info!(uid, ?ask, "told about keys");
        self.admin.wait_longer(visitor, now);
        self.begin_key_work(ask, Some(visitor), format!("uid:{uid}"), now);
    }

    /// With every turn of the loop: what is late, what is due.
    pub(super) fn look_after_keys(&mut self, now: Instant) {
        self.keys.tell_age();
        match self.key_work.as_ref().map(|work| &work.stage) {
            Some(Stage::AtWork { .. }) => self.hear_errand(now),
            Some(Stage::Counting(asked) | Stage::Recording(asked)) if now >= asked.until => {
                self.end_key_work(Err("the worker that was to do its part did not answer in time".to_owned()), now);
            }
            Some(_) => {}
            None => {
                let rotation_seconds = self.plan.config.keys.kek_rotation_seconds;
                if self.is_busy().is_none() && self.keys.kek_is_due(rotation_seconds, now) {
                    tracing::info!("the key over the keys is due");
                    self.begin_key_work(KeysAsk::RotateKek, None, "system".to_owned(), now);
                }
            }
        }
    }

    fn begin_key_work(&mut self, task: KeysAsk, asked_by: Option<u64>, actor: String, now: Instant) {
        if let Some(reason) = self.is_busy() {
            count(task, "refused");
            return self.refuse(asked_by, reason);
        }
        let nobody = Asked { of: None, request_id: 0, until: now + DUTY_WITHIN };
        self.key_work = Some(KeyWork { task, asked_by, actor, stage: Stage::Counting(nobody) });
        match task {
            KeysAsk::Sealed | KeysAsk::Destroy { class: KeyClass::Case | KeyClass::Call | KeyClass::Person, .. } => {
                self.ask_duty(Duty::CountSealed, Stage::Counting, now);
            }
            _ => self.put_on_record(now),
        }
    }

    fn put_on_record(&mut self, now: Instant) {
        let Some(work) = &self.key_work else { return };
        let duty = Duty::Record(Box::new(event(work.task, &work.actor, Outcome::Allowed, String::new())));
        self.ask_duty(duty, Stage::Recording, now);
    }

    /// Asks any API worker that serves; without one the task ends here.
    fn ask_duty(&mut self, duty: Duty, stage: impl FnOnce(Asked) -> Stage, now: Instant) {
        let request_id = self.next_duty_id();
        let of = self.send_duty(request_id, duty);
        if of.is_none() {
            return self.end_key_work(Err("no API worker is serving; try again".to_owned()), now);
        }
        if let Some(work) = &mut self.key_work {
            work.stage = stage(Asked { of, request_id, until: now + DUTY_WITHIN });
        }
    }

    /// Tells who was asked.
    fn send_duty(&mut self, request_id: u64, duty: Duty) -> Option<(usize, Generation)> {
        let mut api = self.slots.iter_mut().enumerate().filter(|(_, slot)| slot.role == Role::Api);
        let (index, process) = api.find_map(|(index, slot)| Some((index, slot.server()?)))?;
        process.link.send(&ToWorker::Duty { request_id, duty }).then_some((index, process.generation))
    }

    fn next_duty_id(&mut self) -> u64 {
        self.duties += 1;
        self.duties
    }

    /// A worker has done its part, or says why not.
    pub(super) fn on_duty_done(
        &mut self,
        from: (usize, Generation),
        request_id: u64,
        outcome: Result<DutyOutcome, String>,
        now: Instant,
    ) {
        let Some(work) = self.key_work.as_ref().filter(|work| work.awaits(from, request_id)) else { return };
        match (work.task, outcome) {
            (_, Err(reason)) => self.end_key_work(Err(reason), now),
            (KeysAsk::Sealed, Ok(DutyOutcome::Sealed(counts))) => {
                let asked_by = work.asked_by;
                self.key_work = None;
                if let Some(visitor) = asked_by {
                    self.admin.reply(visitor, &Told::Sealed { counts });
                }
            }
            (KeysAsk::Destroy { class, version }, Ok(DutyOutcome::Sealed(counts))) => {
                match still_sealed(&counts, class, version) {
                    0 => self.put_on_record(now),
                    count => {
                        let class = class.name();
                        let reason = format!(
                            "{count} values are still sealed under version {version} of the {class} key; they are \
                             sealed anew in the background, `hotline keys rewrap` shows how far it is"
                        );
                        self.end_key_work(Err(reason), now);
                    }
                }
            }
            (KeysAsk::Check, Ok(DutyOutcome::Recorded)) => self.send_errand(Act::Check, now),
            (KeysAsk::RotateKek, Ok(DutyOutcome::Recorded)) => self.send_errand(Act::RotateKek, now),
            (KeysAsk::Rotate { class }, Ok(DutyOutcome::Recorded)) => self.send_errand(Act::AddNext(class), now),
            (KeysAsk::Destroy { class, version }, Ok(DutyOutcome::Recorded)) => {
                self.send_errand(Act::Destroy(class, version), now);
            }
            (_, Ok(_)) => self.end_key_work(Err("a worker answered something else".to_owned()), now),
        }
    }

    fn send_errand(&mut self, act: Act, now: Instant) {
        let request = Request::new(act, &self.plan.config);
        match Errand::start(&self.plan.programs().own, &request, now) {
            Ok(errand) => {
                if let Some(work) = &mut self.key_work {
                    work.stage = Stage::AtWork { act, errand };
                }
            }
            Err(error) => self.end_key_work(Err(format!("could not start what changes keys: {error}")), now),
        }
    }

    /// The child said something, or its time is over.
    pub(super) fn hear_errand(&mut self, now: Instant) {
        let Some(KeyWork { stage: Stage::AtWork { act, errand }, .. }) = &mut self.key_work else { return };
        let act = *act;
        match errand.hear(now) {
            None => {}
            Some(Err(failed)) => self.end_key_work(Err(failed.reason), now),
            Some(Ok(done)) => {
                let what = self.keys.take(done, now);
                match act {
                    Act::Open | Act::Check | Act::RotateKek => self.end_key_work(Ok(what), now),
                    after @ (Act::AddNext(_) | Act::ActivateNext(_) | Act::Destroy(..)) => {
                        self.take_to_workers(after, what)
                    }
                }
            }
        }
    }

    /// Replaces every worker, as a reload does, under the same settings.
    fn take_to_workers(&mut self, after: Act, what: String) {
        tracing::info!(what, "replacing the workers, one after the other");
        self.notify.reloading();
        if let Some(work) = &mut self.key_work {
            work.stage = Stage::Rolling { after, what: what.clone() };
        }
        let rolling = Rolling::new(self.roll_out(), Rc::clone(&self.plan), what, Duration::ZERO);
        self.change = Some(Change::for_keys(rolling));
    }

    /// The workers have been replaced, or one of them could not be.
    pub(super) fn workers_have_the_keys(&mut self, outcome: Result<String, String>, now: Instant) {
        self.notify.say("READY=1");
        let Some(KeyWork { stage: Stage::Rolling { after, what }, .. }) = &self.key_work else { return };
        let (after, what) = (*after, what.clone());
        match (outcome, after) {
            // Whoever was not replaced has the keys of before, which open all there is.
            (Err(reason), _) => self.end_key_work(Err(format!("{what}, but not every worker has it: {reason}")), now),
            (Ok(_), Act::AddNext(class)) => self.send_errand(Act::ActivateNext(class), now),
            (Ok(_), _) => self.end_key_work(Ok(what), now),
        }
    }

    /// The service is stopping. A child at work is left to it for as long as we live; it can be cut off anywhere.
    pub(super) fn abandon_key_work(&mut self) {
        if self.key_work.as_ref().is_some_and(|work| work.errand().is_none()) {
            self.end_key_work(Err("the service is stopping".to_owned()), Instant::now());
        }
    }

    /// Tells everybody who wants to know, and the log that an act failed.
    fn end_key_work(&mut self, outcome: Result<String, String>, now: Instant) {
        let Some(KeyWork { task, asked_by, actor, stage }) = self.key_work.take() else { return };
        let was_recorded = matches!(stage, Stage::AtWork { .. } | Stage::Rolling { .. });
        let told = match outcome {
            Ok(what) => {
                tracing::info!(what, "done");
                count(task, "done");
                Told::Changed { what }
            }
            Err(reason) => {
                tracing::error!(reason, ?task, "not done");
                count(task, "failed");
                self.keys.failed(now);
                if was_recorded {
                    let details = serde_json::json!({ "reason": reason }).to_string();
                    let duty = Duty::Record(Box::new(event(task, &actor, Outcome::Failed, details)));
                    let request_id = self.next_duty_id();
                    // That it was tried is on record in any case.
                    let _ = self.send_duty(request_id, duty);
                }
                Told::Refused { reason }
            }
        };
        if let Some(visitor) = asked_by {
            self.admin.reply(visitor, &told);
        }
    }
}

fn still_sealed(counts: &[SealedCount], class: KeyClass, version: u16) -> u64 {
    let of_it = counts.iter().filter(|count| (count.class, count.version) == (class, version));
    of_it.map(|count| count.count).sum()
}

/// The record of an act.
pub(crate) fn event(task: KeysAsk, actor: &str, outcome: Outcome, details: String) -> AuditEvent {
    let subject = match task {
        KeysAsk::RotateKek => "kek".to_owned(),
        KeysAsk::Rotate { class } => class.name().to_owned(),
        KeysAsk::Destroy { class, version } => format!("{}:{version}", class.name()),
        KeysAsk::List | KeysAsk::Sealed | KeysAsk::Check => String::new(),
    };
    AuditEvent {
        event_type: EventType::SystemChange,
        severity: if matches!(task, KeysAsk::Destroy { .. }) { Severity::Critical } else { Severity::High },
        outcome,
        at_ms: i64::try_from(clock::now_ms()).unwrap_or(i64::MAX),
        action: format!("keys.{}", name(task)),
        actor: actor.to_owned(),
        subject,
        request_id: String::new(),
        details,
        contains_phi: false,
        affects_financials: false,
    }
}

fn name(task: KeysAsk) -> &'static str {
    match task {
        KeysAsk::List => "list",
        KeysAsk::Sealed => "sealed",
        KeysAsk::Check => "check",
        KeysAsk::RotateKek | KeysAsk::Rotate { .. } => "rotate",
        KeysAsk::Destroy { .. } => "destroy",
    }
}

fn count(task: KeysAsk, outcome: &'static str) {
    metrics::counter!(names::KEY_ACTS, "act" => name(task), "outcome" => outcome).increment(1);
}

/// For a record on disk, or a look at every row.
const DUTY_WITHIN: Duration = Duration::from_secs(30);
