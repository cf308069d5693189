//! Keeps the workers alive and the listeners open, and never dies of a worker.
//!
//! One thread, one poll loop, no public byte. Start: configuration, state folder, keyring, board,
//! listeners, then the workers; `ready` is said when every slot serves. On SIGTERM or SIGINT the public
//! and background workers drain first and the scribe last, so that every record of theirs is written.
mod admin;
mod door;
mod link;
mod listeners;
mod messages;
mod notify;
mod ownership;
mod page;
pub(crate) mod protocol;
mod run_loop;
mod scrape;
mod state;
mod status;
mod worker;

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use hotline::board::Board;
use hotline::config::{Config, Sandbox};
use hotline::lifecycle::{ExitCode, Patience, Restart, WorkerLife};
use hotline::sys::sandbox::Account;
use hotline::sys::{self, Program, Signal, Signals};
use hotline::telemetry::{Merged, Recorder, logging, names};
use hotline::vault::{Keyring, KeyringError};
use hotline::wire::{BUILD_ID, Role, Slot};
use nix::fcntl::Flock;

use admin::AdminDoor;
use notify::Notify;
use page::PageDoor;
use worker::SlotState;

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error(transparent)]
    State(#[from] state::StateError),
    #[error(transparent)]
    Ownership(#[from] ownership::OwnershipError),
    #[error("could not open the keyring: {0}")]
    Keyring(#[from] KeyringError),
    #[error("could not bind {what}: {source}")]
    Bind { what: String, source: io::Error },
    #[error("could not open the worker program {path}: {source} (is it installed beside `hotline`?)")]
    Program { path: PathBuf, source: io::Error },
    #[error("could not prepare the supervisor: {0}")]
    Io(#[from] io::Error),
}

impl StartError {
    /// What the process leaves with: whether starting again could help.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Keyring(KeyringError::Read { .. } | KeyringError::Write { .. }) => ExitCode::TryLater,
            Self::Keyring(_)
            | Self::Ownership(_)
            | Self::Program { .. }
            | Self::State(state::StateError::OpenToOthers { .. }) => ExitCode::BadConfig,
            Self::State(_) | Self::Bind { .. } | Self::Io(_) => ExitCode::TryLater,
        }
    }
}

/// The supervisor's whole state.
struct Supervisor {
    config: Config,
    /// What workers change to.
    account: Option<Account>,
    boot_id: u64,
    started: Instant,
    board: Board,
    board_fd: OwnedFd,
    keyring: Keyring,
    slots: Vec<SlotState>,
    programs: [(Role, Program); 3],
    address: std::net::SocketAddr,
    signals: Signals,
    admin: AdminDoor,
    page: PageDoor,
    notify: Notify,
    recorder: Recorder,
    merged: Merged,
    announced: bool,
    /// Since when the service is draining.
    stopping: Option<Instant>,
    /// Set when the service must end with an error.
    failure: Option<ExitCode>,
    _state_lock: Flock<File>,
}

/// Runs the service until it is told to stop; the exit code is the process's.
pub(crate) fn run(config: Config) -> Result<ExitCode, StartError> {
    logging::start(&config.telemetry, "supervisor");
    if config.workers.sandbox == Sandbox::Off {
        tracing::warn!("workers.sandbox is \"off\": a worker that is taken over can do all that its account can");
    }
    let mut supervisor = Supervisor::prepare(config)?;
    Ok(supervisor.serve())
}

impl Supervisor {
    fn prepare(config: Config) -> Result<Self, StartError> {
        let started = Instant::now();
        // Before any other thread could exist, and before anything that must not be dumped is read.
        let signals = Signals::take(&[Signal::SIGTERM, Signal::SIGINT, Signal::SIGCHLD])?;
        sys::close_to_strangers()?;
        sys::raise_open_files()?;
        let account = ownership::account(&config)?;
        let state_lock = state::take(&config.paths, account.as_ref())?;
        let keyring = Keyring::open_or_create(&config.paths.state_dir)?;
        let boot_id = random_boot_id()?;
        let (board, board_fd) = Board::create(boot_id)?;
        let programs = listeners::programs()?;
        let (listeners, address) = listeners::bind_api(&config)?;
        let scribe = listeners::bind_scribe(&config)?;
        ownership::settle(&config, account.as_ref())?;
        let recorder = Recorder::install();
        metrics::gauge!(names::BUILD_INFO, "build" => BUILD_ID).set(1.0);
        let slots = slots(&config, boot_id, listeners, scribe);
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
            notify: Notify::from_environment(started),
            merged: Merged::default(),
            announced: false,
            stopping: None,
            failure: None,
            _state_lock: state_lock,
            config,
            boot_id,
            started,
            board,
            board_fd,
            keyring,
            slots,
            programs,
            address,
            signals,
            recorder,
        })
    }

    /// Once: every slot serves.
    fn announce(&mut self) {
        if self.announced || !self.slots.iter().all(|slot| slot.life.is_serving()) {
            return;
        }
        self.announced = true;
        let start_ms = self.started.elapsed().as_millis();
        // The line is a contract with scripts; a closed pipe is theirs to explain.
        let _ = writeln!(io::stdout(), "ready https://{}", self.address);
        self.notify.say("READY=1");
        tracing::info!(address = %self.address, metrics = %self.page.address, start_ms, "every slot serves");
    }
}

fn random_boot_id() -> io::Result<u64> {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| io::Error::other("no randomness"))?;
    Ok(u64::from_ne_bytes(bytes))
}

/// The scribe first, then background and API workers; cells on the board in this order.
fn slots(config: &Config, boot_id: u64, listeners: Vec<OwnedFd>, scribe: OwnedFd) -> Vec<SlotState> {
    let workers = &config.workers;
    let patience = Patience {
        ready_within: Duration::from_millis(workers.ready_within_ms),
        drain_deadline: Duration::from_millis(workers.drain_deadline_ms),
        heartbeat_late: Duration::from_millis(workers.heartbeat_late_ms),
        reset_after: Duration::from_millis(workers.backoff_reset_ms),
    };
    let background = (0..workers.background).map(|index| (Role::Background, index, None));
    let api = (0..).zip(listeners).map(|(index, listener)| (Role::Api, index, Some(listener)));
    let all = std::iter::once((Role::Scribe, 0, Some(scribe))).chain(background).chain(api);
    (0..)
        .zip(all)
        .map(|(cell, (role, index, listener))| {
            let first = Duration::from_millis(workers.backoff_first_ms);
            let max = Duration::from_millis(workers.backoff_max_ms);
            let restart = Restart::new(first, max, boot_id ^ u64::from(cell));
            SlotState::new(Slot { role, index, cell }, WorkerLife::new(patience, restart), listener)
        })
        .collect()
}
