//! Upgrade: the installed build takes over in this very process, and then replaces the workers one after the other.
//!
//! The new image is first asked what it is and whether it likes the settings. It must share the common ground of
//! this build (`wire::COMMON_GROUND`); a build that does not is refused, and needs a restart. When nothing is under
//! way (every slot at rest, every message whole) this process becomes the new image, with the same pid, children,
//! listeners, board and whoever waits for the outcome. The workers never notice. If one of the new ones fails, or
//! ends badly within the grace period, all are rolled back and the process becomes the old image again.
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::time::Instant;

use hotline::sys::Berth;
use hotline::wire::{BUILD_ID, COMMON_GROUND};

use super::Supervisor;
use super::change::{Change, Image, Stage};
use super::differences::{differences, needs_restart};
use super::handover::{Berths, Handover, Purpose};
use super::plan::{self, Plan, Programs};
use super::preflight::Report;

impl Supervisor {
    /// A visitor of the admin socket wants the installed build to go on.
    pub(super) fn upgrade(&mut self, asked_by: Option<u64>) {
        if let Some(reason) = self.is_busy() {
            return self.refuse(asked_by, reason);
        }
        self.notify.reloading();
        let installed = plan::own_path().map_err(|error| error.to_string());
        // What build it is, it will say itself.
        match installed.and_then(|path| Programs::open(&path, "").map_err(|error| error.to_string())) {
            Ok(programs) => {
                tracing::info!("asking the installed build whether it can go on");
                self.check(asked_by, Some(programs));
            }
            Err(reason) => self.conclude(asked_by, Err(reason)),
        }
    }

    /// The installed build has answered.
    pub(super) fn prepare_upgrade(
        &mut self,
        asked_by: Option<u64>,
        report: Report,
        mut programs: Programs,
        now: Instant,
    ) {
        let runs = [BUILD_ID, &self.plan.programs().build_id];
        if runs.iter().all(|build| *build == report.build_id) {
            return self.conclude(asked_by, Ok(format!("build {BUILD_ID} runs already")));
        }
        match may_follow(&report, &self.plan) {
            Ok(()) => {}
            Err(reason) => return self.conclude(asked_by, Err(reason)),
        }
        let Ok(config) = report.verdict else { return };
        tracing::info!(from = BUILD_ID, to = report.build_id, "upgrading as soon as nothing is under way");
        programs.build_id = report.build_id;
        let to = Image::Next(Rc::new(Plan::new(config, Rc::new(programs))));
        self.change = Some(Change::new(asked_by, Stage::gathering(to, now)));
    }

    pub(super) fn is_gathering(&self) -> bool {
        self.change.as_ref().is_some_and(Change::is_gathering)
    }

    /// Becomes the other image, if nothing is half done.
    pub(super) fn leave_when_at_rest(&mut self, now: Instant) {
        let Some(Change { stage: Stage::Gathering { to, until }, asked_by, .. }) = &self.change else { return };
        let (to, until, asked_by) = (to.clone(), *until, *asked_by);
        let failed = match self.hand_over(&to, asked_by, now) {
            Ok(handover) => {
                let (before, after) = self.plans(&to);
                let program = match &to {
                    Image::Next(_) => &after.programs().own,
                    Image::Former { .. } => &before.programs().own,
                };
                tracing::info!(?handover.purpose, "becoming another image");
                let error = handover.leave_to(program, &self.kept(&before, &after));
                // What the handover took along is still ours.
                self.merged = handover.merged;
                format!("could not become the other image: {error}")
            }
            Err(_) if now < until => return,
            Err(busy) => format!("the service did not come to rest: {busy}"),
        };
        self.change = None;
        let reason = match to {
            Image::Next(_) => failed,
            Image::Former { reason } => format!("{reason}; and the supervisor stays the new one: {failed}"),
        };
        self.conclude(asked_by, Err(reason));
    }

    /// Everything in words; or what is still under way.
    fn hand_over(&mut self, to: &Image, asked_by: Option<u64>, now: Instant) -> Result<Handover, String> {
        if !self.admin.has_nobody_but(asked_by) || !self.page.is_empty() {
            return Err("somebody is still being answered".to_owned());
        }
        if self.cells.have_orphans() {
            return Err("workers of an earlier supervisor have not yet left".to_owned());
        }
        let record = |slot: &super::SlotState| slot.record(now).ok_or_else(|| format!("{} is changing", slot.name()));
        let slots = self.slots.iter().map(record).collect::<Result<_, String>>()?;
        let (before, after) = self.plans(to);
        Ok(Handover {
            purpose: match to {
                Image::Next(_) => Purpose::Upgrade,
                Image::Former { reason } => Purpose::Return { reason: reason.clone() },
            },
            boot_id: self.boot_id,
            uptime_ms: u64::try_from(now.saturating_duration_since(self.started).as_millis()).unwrap_or(u64::MAX),
            settings_file: self.settings_file.clone(),
            before: before.record(),
            after: after.record(),
            tickets: self.tickets.record(now),
            keys: self.keys.record(),
            slots,
            merged: std::mem::take(&mut self.merged),
            own: self.recorder.snapshot(),
            scrapes: self.page.scrapes,
            log_keeping: self.log_keeping.clone(),
            berths: Berths {
                board: Berth::of(&self.board_fd),
                listeners: self.listeners.iter().map(Berth::of).collect(),
                scribe_listener: Berth::of(&self.scribe_listener),
                state_lock: Berth::of(&*self.state_lock),
                admin: Berth::of(&self.admin.listener),
                page: Berth::of(&self.page.listener),
                asker: self.admin.visitors.first().map(|(visitor, uid)| (Berth::of(visitor), *uid)),
            },
        })
    }

    /// The plan that workers have and the one they are to have. Back in the old image there is but one.
    fn plans(&self, to: &Image) -> (Rc<Plan>, Rc<Plan>) {
        let after = match to {
            Image::Next(after) => after,
            Image::Former { .. } => &self.plan,
        };
        (Rc::clone(&self.plan), Rc::clone(after))
    }

    /// The descriptors that a handover tells of.
    fn kept<'a>(&'a self, before: &'a Plan, after: &'a Plan) -> Vec<BorrowedFd<'a>> {
        let mut kept = vec![
            self.board_fd.as_fd(),
            self.scribe_listener.as_fd(),
            self.state_lock.as_fd(),
            self.admin.listener.as_fd(),
            self.page.listener.as_fd(),
        ];
        kept.extend(self.listeners.iter().map(AsFd::as_fd));
        kept.extend(self.admin.visitors.iter().map(|(visitor, _)| visitor.as_fd()));
        kept.extend(self.slots.iter().flat_map(|slot| &slot.processes).map(|process| process.link.as_fd()));
        kept.extend(before.programs().all().chain(after.programs().all()).map(AsFd::as_fd));
        kept
    }
}

/// Whether a build that says this of itself may go on where this one stops.
fn may_follow(report: &Report, plan: &Plan) -> Result<(), String> {
    if report.common_ground != COMMON_GROUND {
        let build = &report.build_id;
        return Err(format!(
            "build {build} shares too little with {BUILD_ID} to follow it in a running service; restart the service, \
             which keeps its listeners and loses nobody"
        ));
    }
    let config = report.verdict.as_ref().map_err(Clone::clone)?;
    needs_restart(&differences(&plan.config, config)).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hotline::config::{Config, LoadFrom};

    fn load(text: &str) -> Config {
        Config::load(LoadFrom::text(text)).unwrap()
    }

    fn answer(common_ground: u64, verdict: Result<Config, String>) -> Result<(), String> {
        let own = Programs::of_one(&std::env::current_exe().unwrap());
        let plan = Plan::new(load(""), Rc::new(own));
        may_follow(&Report { build_id: "0.0.0+next".to_owned(), common_ground, verdict }, &plan)
    }

    #[test]
    fn a_build_follows_only_on_common_ground_and_with_settings_that_can_change() {
        assert_eq!(answer(COMMON_GROUND, Ok(load("[limits]\nconnections_max = 7"))), Ok(()));
        let refused = answer(COMMON_GROUND + 1, Ok(load(""))).unwrap_err();
        assert!(refused.contains("restart the service") && refused.contains("0.0.0+next"), "{refused}");
        let fixed = answer(COMMON_GROUND, Ok(load("[server]\nbind = \"127.0.0.1:1\""))).unwrap_err();
        assert!(fixed.contains("server.bind"), "{fixed}");
        assert_eq!(answer(COMMON_GROUND, Err("wrong".to_owned())), Err("wrong".to_owned()));
    }
}
