//! A slot and the process that lives in it.
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use hotline::board::Board;
use hotline::lifecycle::{Phase, WorkerLife};
use hotline::sys::sandbox::Account;
use hotline::sys::{self, Pidfd, Program, Spawned};
use hotline::wire::{Confinement, Slot};

use super::link::Link;
use super::listeners::BACKLOG;

/// A place for a worker: it keeps listener, board cell and name whoever lives in it.
pub(super) struct SlotState {
    pub(super) slot: Slot,
    pub(super) life: WorkerLife,
    /// Held for life: the accept queue survives its worker.
    pub(super) listener: Option<OwnedFd>,
    /// The listener has left its port's group: nobody will accept on it for a while.
    is_resting: bool,
    pub(super) process: Option<Process>,
    pub(super) generation: u32,
    pub(super) restarts: u64,
    /// Why the last worker ended, for the log and for `status`.
    pub(super) last_end: String,
    /// What held the newest worker that became ready.
    pub(super) confinement: Option<Confinement>,
}

/// A living worker.
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) pidfd: Pidfd,
    pub(super) link: Link,
    pub(super) started: Instant,
    /// The newest beat on the board, and when we first saw it.
    beat: (u64, Instant),
}

impl SlotState {
    pub(super) fn new(slot: Slot, life: WorkerLife, listener: Option<OwnedFd>) -> Self {
        Self {
            slot,
            life,
            listener,
            is_resting: false,
            process: None,
            generation: 0,
            restarts: 0,
            last_end: String::new(),
            confinement: None,
        }
    }

    /// Forks and executes the next generation.
    pub(super) fn spawn(
        &mut self,
        program: &Program,
        account: Option<&Account>,
        board: &Board,
        board_fd: BorrowedFd<'_>,
    ) -> io::Result<()> {
        self.generation += 1;
        board.cell(self.slot.cell).clear();
        if let Some(listener) = &self.listener
            && std::mem::take(&mut self.is_resting)
        {
            sys::rejoin_group(listener, BACKLOG)?;
        }
        let (ours, theirs) = sys::pair()?;
        let mut handed = vec![theirs.as_fd(), board_fd];
        handed.extend(self.listener.as_ref().map(AsFd::as_fd));
        let spawned = sys::spawn(program, &handed, account)?;
        let link = Link::new(ours, self.slot.role)?;
        let started = Instant::now();
        let Spawned { pid, pidfd } = spawned;
        self.process = Some(Process { pid, pidfd, link, started, beat: (0, started) });
        Ok(())
    }

    /// Nobody will serve here for so long that callers are better off in another slot's queue.
    pub(super) fn is_away(&self, now: Instant) -> bool {
        match self.life.phase() {
            Phase::Waiting { until } => until.saturating_duration_since(now) > AWAY_AFTER,
            Phase::Failed => true,
            _ => false,
        }
    }

    /// Sends new callers to the other slots until the next worker comes.
    pub(super) fn rest(&mut self) {
        let Some(listener) = self.listener.as_ref().filter(|_| !self.is_resting) else { return };
        match sys::leave_group(listener) {
            Ok(()) => tracing::warn!(slot = %self.slot, "new connections go to the other slots"),
            Err(error) => tracing::error!(slot = %self.slot, %error, "could not leave the port's group"),
        }
        self.is_resting = true;
    }

    /// Time since the worker's beat last changed. Beats are wall-clock times, but only their change
    /// counts: when the clock is set, nobody is late.
    pub(super) fn beat_age(&mut self, board: &Board, now: Instant) -> Duration {
        let Some(process) = &mut self.process else { return Duration::ZERO };
        let newest = board.cell(self.slot.cell).last_beat_ms();
        if newest != process.beat.0 {
            process.beat = (newest, now);
        }
        now.saturating_duration_since(process.beat.1)
    }

    pub(super) fn phase_name(&self) -> &'static str {
        match self.life.phase() {
            Phase::Starting { .. } => "starting",
            Phase::Serving { .. } => "serving",
            Phase::Draining { .. } => "draining",
            Phase::Ending { .. } => "ending",
            Phase::Waiting { .. } => "waiting",
            Phase::Stopped => "stopped",
            Phase::Failed => "failed",
        }
    }

    /// Resident memory of the worker; 0 if there is none.
    pub(super) fn rss_bytes(&self) -> u64 {
        let Some(process) = &self.process else { return 0 };
        let statm = fs::read_to_string(format!("/proc/{}/statm", process.pid)).unwrap_or_default();
        let pages: u64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
        pages * PAGE_BYTES
    }
}

/// A client waits a second before it sends its SYN again.
const AWAY_AFTER: Duration = Duration::from_secs(1);
/// On both architectures we ship for.
const PAGE_BYTES: u64 = 4_096;
