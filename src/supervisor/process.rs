//! A living worker, as the supervisor holds it: by pidfd, control socket and board cell.
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use hotline::board::Board;
use hotline::lifecycle::Generation;
use hotline::sys::sandbox::Account;
use hotline::sys::{self, Berth, Pidfd, Spawned};
use hotline::wire::{Role, Slot};

use super::handover::{Luggage, ProcessRecord};
use super::link::Link;
use super::plan::Plan;

/// One worker process.
pub(super) struct Process {
    pub(super) generation: Generation,
    /// Slot and cell, as the worker is told them.
    pub(super) slot: Slot,
    pub(super) pid: u32,
    pub(super) pidfd: Pidfd,
    pub(super) link: Link,
    pub(super) started: Instant,
    /// What it was started with: settings and programs.
    pub(super) plan: Rc<Plan>,
    /// Listeners it was given; it can accept on those and no others.
    pub(super) listeners: u16,
    /// The slots whose listeners it was last told to accept on.
    pub(super) listens_to: Vec<u16>,
    /// Why it cannot start, in its own words.
    pub(super) complaint: Option<String>,
    /// The newest beat on the board, and when we first saw it.
    beat: (u64, Instant),
}

impl Process {
    /// Forks and executes.
    pub(super) fn start(
        plan: &Rc<Plan>,
        generation: Generation,
        slot: Slot,
        board: &Board,
        board_fd: BorrowedFd<'_>,
        listeners: &[BorrowedFd<'_>],
        account: Option<&Account>,
    ) -> io::Result<Self> {
        board.cell(slot.cell).clear();
        let (ours, theirs) = sys::pair()?;
        let mut handed = vec![theirs.as_fd(), board_fd];
        handed.extend_from_slice(listeners);
        let Spawned { pid, pidfd } = sys::spawn(plan.program(slot.role), &handed, account)?;
        let started = Instant::now();
        Ok(Self {
            generation,
            slot,
            pid,
            pidfd,
            link: Link::new(ours, slot.role)?,
            started,
            plan: Rc::clone(plan),
            listeners: u16::try_from(listeners.len()).unwrap_or(u16::MAX),
            // What it does unless it is told otherwise.
            listens_to: if slot.role == Role::Api { vec![slot.index] } else { Vec::new() },
            complaint: None,
            beat: (0, started),
        })
    }

    /// For another image of the supervisor.
    pub(super) fn record(&self, now: Instant) -> ProcessRecord {
        let age = now.saturating_duration_since(self.started);
        ProcessRecord {
            generation: self.generation,
            cell: self.slot.cell,
            pid: self.pid,
            age_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
            listeners: self.listeners,
            listens_to: self.listens_to.clone(),
            control: Berth::of(&self.link),
        }
    }

    /// A worker that serves since an earlier image of the supervisor. It is still our child.
    pub(super) fn resume(
        record: ProcessRecord,
        (role, index): (Role, u16),
        plan: &Rc<Plan>,
        luggage: &Luggage,
        now: Instant,
    ) -> io::Result<Self> {
        Ok(Self {
            generation: record.generation,
            slot: Slot { role, index, cell: record.cell },
            pid: record.pid,
            pidfd: Pidfd::of_child(record.pid)?,
            link: Link::resume(luggage.copy(record.control)?, role)?,
            started: now.checked_sub(Duration::from_millis(record.age_ms)).unwrap_or(now),
            plan: Rc::clone(plan),
            listeners: record.listeners,
            listens_to: record.listens_to,
            complaint: None,
            beat: (0, now),
        })
    }

    /// Time since the worker's beat last changed. Beats are wall-clock times, but only their change
    /// counts: when the clock is set, nobody is late.
    pub(super) fn beat_age(&mut self, board: &Board, now: Instant) -> Duration {
        let newest = board.cell(self.slot.cell).last_beat_ms();
        if newest != self.beat.0 {
            self.beat = (newest, now);
        }
        now.saturating_duration_since(self.beat.1)
    }

    /// Resident memory.
    pub(super) fn rss_bytes(&self) -> u64 {
        let statm = fs::read_to_string(format!("/proc/{}/statm", self.pid)).unwrap_or_default();
        let pages: u64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
        pages * PAGE_BYTES
    }
}

/// On both architectures we ship for.
const PAGE_BYTES: u64 = 4_096;

#[cfg(test)]
mod tests {
    use super::super::plan::{Plan, Programs};
    use super::*;
    use hotline::config::{Config, LoadFrom};

    #[test]
    fn a_clock_that_is_set_makes_nobody_late() {
        let (board, fd) = Board::create(1).unwrap();
        let config = Config::load(LoadFrom::text("")).unwrap();
        let cat = std::path::Path::new("/bin/cat");
        let plan = Rc::new(Plan::new(config, Rc::new(Programs::of_one(cat))));
        let slot = Slot { role: Role::Background, index: 0, cell: 3 };
        let mut process = Process::start(&plan, 1, slot, &board, fd.as_fd(), &[], None).unwrap();
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let year_ms = 365 * 86_400_000;
        // On, a year ahead, back by two, and then silent.
        for (beat_ms, at) in [(2 * year_ms, 1), (3 * year_ms, 2), (year_ms, 3)] {
            board.cell(3).beat(beat_ms);
            assert_eq!(process.beat_age(&board, now + second * at), Duration::ZERO);
        }
        assert_eq!(process.beat_age(&board, now + second * 13), second * 10);
        process.pidfd.signal(sys::Signal::SIGKILL).unwrap();
        process.pidfd.wait().unwrap();
    }
}
