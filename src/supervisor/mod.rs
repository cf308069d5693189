//! Keeps the workers alive and the listeners open, and never dies of a worker.
//!
//! One thread, one poll loop, no public byte. Start: configuration, state folder, keyring, board,
//! listeners, then the workers; `ready` is said when every slot serves. On SIGTERM or SIGINT the public
//! and background workers drain first and the scribe last, so that every record of theirs is written.
mod admin;
mod cells;
mod change;
mod differences;
mod door;
pub(crate) mod errand;
mod handover;
mod inheritance;
pub(crate) mod key_work;
mod keys;
mod link;
mod listeners;
mod messages;
mod notify;
mod ownership;
mod page;
mod perform;
mod plan;
pub(crate) mod preflight;
mod process;
pub(crate) mod protocol;
mod reload;
mod resume;
mod run_loop;
mod scale;
mod scrape;
mod shelter;
mod slot;
mod state;
mod status;
mod tickets;
mod upgrade;

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Instant;

use hotline::board::Board;
use hotline::config::{Config, Sandbox};
use hotline::lifecycle::ExitCode;
use hotline::sys::sandbox::Account;
use hotline::sys::{self, Signal, Signals};
use hotline::telemetry::{Merged, Recorder, logging, names};
use hotline::tickets::{NoRandomness, Rotation};
use hotline::wire::{BUILD_ID, LogKeeping, Role};
use nix::fcntl::Flock;

use admin::AdminDoor;
use cells::Cells;
use change::Change;
use inheritance::Inheritance;
use key_work::KeyWork;
use keys::KeyHolder;
use notify::Notify;
use page::PageDoor;
use plan::{Plan, Programs};
use scale::Scaling;
use slot::SlotState;

pub(crate) use resume::resume;

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error(transparent)]
    State(#[from] state::StateError),
    #[error(transparent)]
    Ownership(#[from] ownership::OwnershipError),
    #[error("could not open the keyring: {reason}")]
    Keys { reason: String, may_pass: bool },
    #[error("could not bind {what}: {source}")]
    Bind { what: String, source: io::Error },
    #[error("could not open the worker program {path}: {source} (is it installed beside `hotline`?)")]
    Program { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Tickets(#[from] NoRandomness),
    #[error("could not take over from an earlier image of the supervisor: {0} (this option is not for hands)")]
    Handover(#[source] io::Error),
    #[error("could not prepare the supervisor: {0}")]
    Io(#[from] io::Error),
}

impl StartError {
    /// What the process leaves with: whether starting again could help.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Keys { may_pass: true, .. } => ExitCode::TryLater,
            Self::Keys { .. }
            | Self::Ownership(_)
            | Self::Program { .. }
            | Self::State(state::StateError::OpenToOthers { .. }) => ExitCode::BadConfig,
            Self::State(_) | Self::Bind { .. } | Self::Tickets(_) | Self::Handover(_) | Self::Io(_) => {
                ExitCode::TryLater
            }
        }
    }
}

/// The supervisor's whole state.
struct Supervisor {
    /// Where the settings came from, for reading them again.
    settings_file: Option<PathBuf>,
    /// What the next worker is started with.
    plan: Rc<Plan>,
    /// What workers change to.
    account: Option<Account>,
    boot_id: u64,
    started: Instant,
    board: Board,
    board_fd: OwnedFd,
    cells: Cells,
    keys: KeyHolder,
    /// What is being done with keys.
    key_work: Option<KeyWork>,
    /// Numbers what workers are asked to do.
    duties: u64,
    tickets: Rotation,
    /// One for each API slot, held for life: the accept queue survives its worker.
    listeners: Vec<OwnedFd>,
    scribe_listener: OwnedFd,
    slots: Vec<SlotState>,
    address: std::net::SocketAddr,
    signals: Signals,
    admin: AdminDoor,
    page: PageDoor,
    notify: Notify,
    recorder: Recorder,
    merged: Merged,
    /// What the scribe told of the keeping of its log.
    log_keeping: Option<LogKeeping>,
    scaling: Scaling,
    /// The change that is under way.
    change: Option<Change>,
    announced: bool,
    /// Since when the service is draining.
    stopping: Option<Instant>,
    /// Set when the service must end with an error.
    failure: Option<ExitCode>,
    state_lock: Flock<File>,
}

/// Runs the service until it is told to stop; the exit code is the process's.
pub(crate) fn run(config: Config, settings_file: Option<PathBuf>) -> Result<ExitCode, StartError> {
    let inheritance = Inheritance::take();
    logging::start(&config.telemetry, "supervisor");
    if config.workers.sandbox == Sandbox::Off {
        tracing::warn!("workers.sandbox is \"off\": a worker that is taken over can do all that its account can");
    }
    let mut supervisor = Supervisor::prepare(config, settings_file, inheritance)?;
    supervisor.start_workers();
    Ok(supervisor.serve())
}

impl Supervisor {
    fn prepare(
        config: Config,
        settings_file: Option<PathBuf>,
        mut inheritance: Inheritance,
    ) -> Result<Self, StartError> {
        let started = Instant::now();
        // Before any other thread could exist, and before anything that must not be dumped is read.
        let signals = Signals::take(&[Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGCHLD])?;
        sys::close_to_strangers()?;
        sys::raise_open_files()?;
        let account = ownership::account(&config)?;
        let state_lock = state::take(&config.paths, account.as_ref())?;
        let programs = Rc::new(Programs::open(&plan::own_path()?, BUILD_ID)?);
        let keys = KeyHolder::open(&config, &programs.own, started)?;
        let boot_id = random_boot_id()?;
        let (board, board_fd) = match inheritance.board(boot_id) {
            Some(inherited) => inherited,
            None => Board::create(boot_id)?,
        };
        let cells = Cells::beside_orphans(&board, started);
        let (listeners, address) = listeners::bind_api(&config, &mut inheritance)?;
        let scribe_listener = listeners::bind_scribe(&config, account.as_ref(), &mut inheritance)?;
        ownership::settle(&config, account.as_ref())?;
        let notify = Notify::from_environment(started);
        inheritance.give_up_rest(&notify);
        inheritance::entrust(&notify, &listeners, &scribe_listener, &board_fd);
        let recorder = Recorder::install();
        let tickets = tickets::start(&config.tls, started)?;
        metrics::gauge!(names::BUILD_INFO, "build" => BUILD_ID).set(1.0);
        let workers_uid = account.as_ref().map(|account| account.uid);
        let admin = AdminDoor::open(&config.paths.run_dir.join("admin.sock"), workers_uid)
            .map_err(|source| StartError::Bind { what: "the admin socket".to_owned(), source })?;
        if let Some(account) = &account {
            ownership::let_to_the_scribe(&config.paths, account)?;
        }
        Ok(Self {
            admin,
            account,
            page: PageDoor::open(config.telemetry.metrics_bind, started).map_err(|source| StartError::Bind {
                what: format!("telemetry.metrics_bind {}", config.telemetry.metrics_bind),
                source,
            })?,
            notify,
            merged: Merged::default(),
            log_keeping: None,
            slots: slots(&config, boot_id),
            plan: Rc::new(Plan::new(config, programs)),
            settings_file,
            scaling: Scaling::new(started),
            change: None,
            announced: false,
            stopping: None,
            failure: None,
            state_lock,
            boot_id,
            started,
            board,
            board_fd,
            cells,
            keys,
            key_work: None,
            duties: 0,
            tickets,
            listeners,
            scribe_listener,
            address,
            signals,
            recorder,
        })
    }

    /// Once: every slot serves.
    fn announce(&mut self) {
        if self.announced || !self.slots.iter().all(|slot| slot.is_resting || slot.life.is_serving()) {
            return;
        }
        self.announced = true;
        let start_ms = self.started.elapsed().as_millis();
        // The line is a contract with scripts; a closed pipe is theirs to explain.
        let _ = writeln!(io::stdout(), "ready https://{}", self.address);
        self.notify.say("READY=1\nSTATUS=every slot serves");
        tracing::info!(address = %self.address, metrics = %self.page.address, start_ms, "every slot serves");
    }
}

fn random_boot_id() -> io::Result<u64> {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| io::Error::other("no randomness"))?;
    Ok(u64::from_ne_bytes(bytes))
}

/// The scribe first, then background and API workers: in this order they are started and shown.
fn slots(config: &Config, boot_id: u64) -> Vec<SlotState> {
    let workers = &config.workers;
    let background = (0..workers.background).map(|index| (Role::Background, index));
    let api = (0..workers.api).map(|index| (Role::Api, index));
    let all = std::iter::once((Role::Scribe, 0)).chain(background).chain(api);
    all.map(|(role, index)| SlotState::new(role, index, workers, boot_id)).collect()
}
