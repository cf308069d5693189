//! Reload: new settings and certificates without losing a connection, or everything as it was.
//!
//! A child reads and checks the settings. If nothing changed, workers read their certificate again. If
//! something changed, they are replaced one slot after the other, each only when its successor serves;
//! the first that fails takes the whole change back. What cannot change in a running service is refused.
use std::rc::Rc;
use std::time::{Duration, Instant};

use hotline::config::Config;
use hotline::lifecycle::{Event, Generation, RollOut, Step};
use hotline::telemetry::names;
use hotline::wire::{BUILD_ID, Role, ToWorker};

use super::Supervisor;
use super::change::{Certificates, Change, Image, Rolling, Stage};
use super::differences::{differences, needs_restart};
use super::plan::{Plan, Programs};
use super::preflight::{Preflight, Report};
use super::protocol::Told;

impl Supervisor {
    /// SIGHUP, or a visitor of the admin socket.
    pub(super) fn reload(&mut self, asked_by: Option<u64>) {
        if let Some(reason) = self.is_busy() {
            return self.refuse(asked_by, reason);
        }
        self.notify.reloading();
        tracing::info!("reading the settings again");
        self.check(asked_by, None);
    }

    /// Why no change can begin now.
    pub(super) fn is_busy(&self) -> Option<&'static str> {
        match (&self.change, self.stopping, self.announced) {
            (Some(_), _, _) => Some("another change is under way"),
            (_, Some(_), _) => Some("the service is stopping"),
            (_, _, false) => Some("the service is still starting"),
            _ if self.key_work.is_some() => Some("keys are being changed"),
            _ => None,
        }
    }

    /// Has the settings read by a child: of these programs if they are to follow, else of our own.
    pub(super) fn check(&mut self, asked_by: Option<u64>, programs: Option<Programs>) {
        let reader = programs.as_ref().map_or(&self.plan.programs().own, |programs| &programs.own);
        match Preflight::start(reader, self.settings_file.as_deref(), Instant::now()) {
            Ok(preflight) => self.change = Some(Change::new(asked_by, Stage::Checking { preflight, programs })),
            Err(error) => self.conclude(asked_by, Err(format!("could not start the reader of settings: {error}"))),
        }
    }

    pub(super) fn refuse(&mut self, asked_by: Option<u64>, reason: &str) {
        tracing::warn!(reason, "not now");
        metrics::counter!(names::CHANGES, "outcome" => "refused").increment(1);
        if let Some(visitor) = asked_by {
            self.admin.reply(visitor, &Told::Refused { reason: reason.to_owned() });
        }
    }

    /// The child that reads the settings said something, or time has passed.
    pub(super) fn hear_preflight(&mut self, now: Instant) {
        let Some(Change { stage: Stage::Checking { preflight, programs }, asked_by, .. }) = &mut self.change else {
            return;
        };
        let Some(heard) = preflight.hear(now) else { return };
        let (asked_by, programs) = (*asked_by, programs.take());
        // The child is done; so is this stage.
        self.change = None;
        match (heard, programs) {
            (Ok(report), Some(programs)) => self.prepare_upgrade(asked_by, report, programs, now),
            (Ok(Report { verdict: Ok(config), .. }), None) => self.apply(asked_by, config, now),
            (Ok(Report { verdict: Err(reason), .. }), None) | (Err(reason), _) => self.conclude(asked_by, Err(reason)),
        }
    }

    fn apply(&mut self, asked_by: Option<u64>, config: Config, now: Instant) {
        let changed = differences(&self.plan.config, &config);
        if let Some(reason) = needs_restart(&changed) {
            return self.conclude(asked_by, Err(reason));
        }
        let stage = if changed.is_empty() {
            Stage::Certificates(self.ask_for_certificates(now))
        } else {
            tracing::info!(?changed, "replacing the workers, one after the other");
            let after = Rc::new(self.plan.with_config(config));
            let before = std::mem::replace(&mut self.plan, after);
            self.be_patient();
            let what = format!("changed {}", changed.join(", "));
            Stage::Rolling(Rolling::new(self.roll_out(), before, what, Duration::ZERO))
        };
        self.change = Some(Change::new(asked_by, stage));
        self.advance_change(now);
    }

    /// The log last: everybody else finds it as it was.
    pub(super) fn roll_out(&self) -> RollOut {
        let mut order: Vec<usize> = (0..self.slots.len()).collect();
        order.sort_by_key(|index| self.slots[*index].role);
        RollOut::over(order)
    }

    fn ask_for_certificates(&mut self, now: Instant) -> Certificates {
        let mut owed = Vec::new();
        for (index, slot) in self.slots.iter_mut().enumerate().filter(|(_, slot)| slot.role == Role::Api) {
            if let Some(process) = slot.server()
                && process.link.send(&ToWorker::ReloadCertificate)
            {
                owed.push((index, process.generation));
            }
        }
        Certificates::asked_of(owed, now)
    }

    /// A worker has read its certificate again, or could not.
    pub(super) fn on_certificate(&mut self, index: usize, of: Generation, refused: Option<String>) {
        let name = self.slots[index].name();
        if let Some(Change { stage: Stage::Certificates(certificates), .. }) = &mut self.change {
            certificates.answered((index, of), refused.map(|reason| format!("{name}: {reason}")));
        }
    }

    /// A slot's roll ended. A failure takes the settings back at once: the next spawn is of the old kind.
    pub(super) fn rolled(&mut self, index: usize, succeeded: bool) {
        let Some(Change { stage: Stage::Rolling(rolling), .. }) = &mut self.change else { return };
        rolling.roll_out.rolled(index, succeeded);
        self.take_back_if_undone(index);
    }

    /// A worker of the changed kind ended badly. If it was to hold for a while, that takes the change back, too.
    pub(super) fn ended_badly(&mut self, index: usize, of: &Rc<Plan>) {
        let is_of_new_kind = Rc::ptr_eq(of, &self.plan);
        let Some(Change { stage: Stage::Rolling(rolling), .. }) = &mut self.change else { return };
        if is_of_new_kind && !rolling.grace.is_zero() {
            rolling.roll_out.undo();
            self.take_back_if_undone(index);
        }
    }

    /// The next spawn is of the old kind.
    fn take_back_if_undone(&mut self, index: usize) {
        let Some(Change { stage: Stage::Rolling(rolling), .. }) = &self.change else { return };
        if rolling.roll_out.is_undoing() && !Rc::ptr_eq(&self.plan, &rolling.before) {
            tracing::error!(slot = self.slots[index].name(), "the change failed here; taking it back");
            self.plan = Rc::clone(&rolling.before);
            self.be_patient();
        }
    }

    pub(super) fn advance_change(&mut self, now: Instant) {
        if self.stopping.is_some() {
            if let Some(Change { asked_by, .. }) = self.change.take() {
                self.conclude(asked_by, Err("the service is stopping".to_owned()));
            }
            return self.abandon_key_work();
        }
        self.hear_preflight(now);
        while let Some(change) = &mut self.change {
            let outcome = match &mut change.stage {
                Stage::Checking { .. } => return,
                Stage::Gathering { .. } => return self.leave_when_at_rest(now),
                Stage::Certificates(certificates) => {
                    let living = |(index, of): &(usize, Generation)| self.slots[*index].life.phase_of(*of).is_some();
                    certificates.owed.retain(living);
                    match (certificates.owed.is_empty(), certificates.refused.as_slice()) {
                        (false, _) if now < certificates.until => return,
                        (false, _) => Err("a worker did not read its certificate in time".to_owned()),
                        (true, []) => {
                            Ok("nothing has changed in the settings; certificates were read again".to_owned())
                        }
                        (true, refused) => Err(refused.join("; ")),
                    }
                }
                Stage::Rolling(rolling) => match rolling.roll_out.step() {
                    Step::Wait => return,
                    Step::Roll(slot) => {
                        self.feed(slot, Event::Roll);
                        continue;
                    }
                    Step::Over { succeeded: true } if !rolling.has_held(now) => return,
                    Step::Over { succeeded: true } => Ok(std::mem::take(&mut rolling.what)),
                    Step::Over { succeeded: false } if change.is_for_keys => Err(change.last_end().to_owned()),
                    Step::Over { succeeded: false } => {
                        let reason = format!("everything is as it was: {}", change.last_end());
                        if self.plan.programs().build_id != BUILD_ID {
                            change.stage = Stage::gathering(Image::Former { reason }, now);
                            continue;
                        }
                        Err(reason)
                    }
                },
            };
            let (asked_by, is_for_keys) = (change.asked_by, change.is_for_keys);
            self.change = None;
            if is_for_keys {
                self.workers_have_the_keys(outcome, now);
            } else {
                self.conclude(asked_by, outcome);
            }
        }
    }

    /// Tells everybody who wants to know.
    pub(super) fn conclude(&mut self, asked_by: Option<u64>, outcome: Result<String, String>) {
        let told = match outcome {
            Ok(what) => {
                tracing::info!(what, "done");
                metrics::counter!(names::CHANGES, "outcome" => "done").increment(1);
                Told::Changed { what }
            }
            Err(reason) => {
                tracing::error!(reason, "not done; everything is as it was");
                metrics::counter!(names::CHANGES, "outcome" => "failed").increment(1);
                Told::Refused { reason }
            }
        };
        if self.stopping.is_none() {
            self.notify.say("READY=1");
        }
        if let Some(visitor) = asked_by {
            self.admin.reply(visitor, &told);
        }
    }

    /// Deadlines of the current settings, from now on.
    pub(super) fn be_patient(&mut self) {
        let patience = self.plan.patience();
        self.slots.iter_mut().for_each(|slot| slot.life.set_patience(patience));
    }
}
