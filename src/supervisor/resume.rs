//! The first moments of an image that goes on where another stopped: everything that can fail is done on copies, and
//! if it fails this process becomes the image before again.
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hotline::board::Board;
use hotline::lifecycle::ExitCode;
use hotline::sys::{self, Berth, Program, Signal, Signals};
use hotline::telemetry::{Recorder, logging, names};
use hotline::tickets::Rotation;
use hotline::wire::BUILD_ID;
use nix::fcntl::{Flock, FlockArg};

use super::admin::AdminDoor;
use super::cells::Cells;
use super::change::{Change, Rolling, Stage};
use super::handover::{Handover, Luggage, Purpose};
use super::keys::KeyHolder;
use super::notify::Notify;
use super::page::PageDoor;
use super::plan::Plan;
use super::scale::Scaling;
use super::slot::SlotState;
use super::{StartError, Supervisor, ownership};

/// Goes on with what lies at this berth.
pub(crate) fn resume(berth: Berth) -> Result<ExitCode, StartError> {
    // Executed through a descriptor, which would be its name.
    sys::set_name(c"hotline");
    let handover = Handover::open(berth).map_err(StartError::Handover)?;
    let luggage = Luggage::of(&handover).map_err(StartError::Handover)?;
    logging::start(&handover.after.config.telemetry, "supervisor");
    match (Supervisor::unpack(&handover, &luggage), &handover.purpose) {
        (Ok((mut supervisor, after)), purpose) => {
            drop(luggage);
            supervisor.go_on(purpose, after, &handover.before.build_id);
            drop(handover);
            Ok(supervisor.serve())
        }
        (Err(error), Purpose::Upgrade) => Err(go_back(handover, &luggage, &error)),
        (Err(error), Purpose::Return { .. }) => Err(error),
    }
}

/// Becomes the image before, which tells whoever asked. Comes back only if that failed, too.
fn go_back(mut handover: Handover, luggage: &Luggage, error: &StartError) -> StartError {
    let reason = format!("everything is as it was: build {BUILD_ID} could not take over: {error}");
    tracing::error!(reason, "going back");
    handover.purpose = Purpose::Return { reason };
    let [former, ..] = handover.before.programs;
    match luggage.copy(former).and_then(|fd| Program::held(fd, "hotline")) {
        Ok(former) => StartError::Handover(handover.leave_to(&former, &luggage.all())),
        Err(error) => StartError::Handover(error),
    }
}

impl Supervisor {
    /// The supervisor as it was, under the plan of before; and the plan of after.
    fn unpack(handover: &Handover, luggage: &Luggage) -> Result<(Self, Rc<Plan>), StartError> {
        let signals = Signals::take(&[Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGCHLD])?;
        sys::close_to_strangers()?;
        sys::raise_open_files()?;
        let now = Instant::now();
        let started = now.checked_sub(Duration::from_millis(handover.uptime_ms)).unwrap_or(now);
        let copy = |berth: Berth| luggage.copy(berth);

        let before = Rc::new(Plan::resume(handover.before.clone(), luggage)?);
        let after = Rc::new(Plan::resume(handover.after.clone(), luggage)?);
        let account = ownership::account(&after.config)?;
        let berths = &handover.berths;
        let board_fd = copy(berths.board)?;
        let board = Board::map(board_fd.try_clone()?).map_err(|error| StartError::Handover(io::Error::other(error)))?;
        let cells = Cells::taken(handover.slots.iter().filter_map(|slot| slot.process.as_ref()).map(|p| p.cell));
        let resume_slot = |slot: &_| SlotState::resume(Clone::clone(slot), &before, luggage, now);
        let slots = handover.slots.iter().map(resume_slot).collect::<io::Result<Vec<_>>>()?;
        let listeners = berths.listeners.iter().map(|berth| copy(*berth)).collect::<io::Result<Vec<OwnedFd>>>()?;
        let address = listeners.first().and_then(sys::shared_listener_address);
        let asker = berths.asker.map(|(berth, uid)| Ok::<_, io::Error>((copy(berth)?, uid))).transpose()?;
        let workers_uid = account.as_ref().map(|account| account.uid);
        let recorder = Recorder::install();
        metrics::gauge!(names::BUILD_INFO, "build" => BUILD_ID).set(1.0);
        let mut merged = handover.merged.clone();
        merged.retire_own(handover.own.clone());
        let supervisor = Self {
            settings_file: handover.settings_file.clone(),
            plan: Rc::clone(&before),
            account,
            boot_id: handover.boot_id,
            started,
            board,
            board_fd,
            cells,
            keys: KeyHolder::resume(&handover.keys, now),
            key_work: None,
            duties: 0,
            tickets: Rotation::resume(handover.tickets.clone(), now),
            address: address.ok_or_else(|| StartError::Handover(io::Error::other("no listener")))?,
            listeners,
            scribe_listener: copy(berths.scribe_listener)?,
            slots,
            signals,
            admin: AdminDoor::resume(copy(berths.admin)?, workers_uid, asker, now)?,
            page: PageDoor::resume(copy(berths.page)?, handover.scrapes, now)?,
            notify: Notify::from_environment(now),
            recorder,
            merged,
            log_keeping: handover.log_keeping.clone(),
            scaling: Scaling::new(now),
            change: None,
            announced: true,
            stopping: None,
            failure: None,
            // The same lock: it is of the open file, which both images share. Last, as letting a copy of it go
            // would let it go.
            state_lock: lock_again(copy(berths.state_lock)?)?,
        };
        Ok((supervisor, after))
    }

    /// Does what this image was begun for.
    fn go_on(&mut self, purpose: &Purpose, after: Rc<Plan>, former: &str) {
        let asker = self.admin.visitors.first().map(|(visitor, _)| visitor.id);
        match purpose {
            Purpose::Upgrade => {
                tracing::info!(from = former, to = BUILD_ID, "this image goes on; replacing the workers");
                let grace = Duration::from_millis(after.config.workers.upgrade_grace_ms);
                let before = std::mem::replace(&mut self.plan, after);
                self.be_patient();
                let what = format!("upgraded from build {former} to {BUILD_ID}");
                let rolling = Rolling::new(self.roll_out(), before, what, grace);
                self.change = Some(Change::new(asker, Stage::Rolling(rolling)));
            }
            Purpose::Return { reason } => self.conclude(asker, Err(reason.clone())),
        }
    }
}

fn lock_again(fd: OwnedFd) -> io::Result<Flock<File>> {
    Flock::lock(File::from(fd), FlockArg::LockExclusiveNonblock).map_err(|(_, error)| error.into())
}
