//! Performs what the lifecycle decides: starts, signals, reaps, gives up.
use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;
use std::time::Instant;

use hotline::lifecycle::{Action, Event, ExitCode, Generation, Order};
use hotline::sys::{Ended, Signal};
use hotline::telemetry::names;
use hotline::wire::{Role, Slot, ToWorker};

use super::Supervisor;
use super::process::Process;

impl Supervisor {
    /// Tells the lifecycle and performs its decisions, until it has no more to say.
    pub(super) fn feed(&mut self, index: usize, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for action in self.slots[index].life.on(event, Instant::now()) {
                events.extend(self.perform(index, action));
            }
        }
        self.announce();
    }

    fn perform(&mut self, index: usize, action: Action) -> Option<Event> {
        match action {
            Action::Spawn { generation } => {
                let code = Some(ExitCode::TryLater as i32);
                return self.spawn(index, generation).err().map(|_| Event::Exited { of: generation, code });
            }
            Action::Send { to, order: Order::Drain } => {
                let deadline_ms = self.plan.config.workers.drain_deadline_ms;
                let successor = self.stopping.is_none();
                if let Some(process) = self.slots[index].process(to) {
                    process.link.send(&ToWorker::Drain { deadline_ms, successor });
                }
            }
            Action::Send { to, order } => {
                let signal = if order == Order::Abort { Signal::SIGABRT } else { Signal::SIGKILL };
                let name = self.slots[index].name();
                if let Some(process) = self.slots[index].process(to) {
                    tracing::error!(slot = name, pid = process.pid, %signal, "ending a worker that does not do its duty");
                    let _ = process.pidfd.signal(signal);
                }
            }
            Action::Rolled { succeeded } => self.rolled(index, succeeded),
            Action::GiveUp => self.give_up(index),
        }
        None
    }

    fn spawn(&mut self, index: usize, generation: Generation) -> io::Result<()> {
        let slot = &mut self.slots[index];
        let name = slot.name();
        if generation > 1 && !slot.life.is_rolling() && !slot.is_resting {
            slot.restarts += 1;
            let reason = slot.last_end.clone();
            metrics::counter!(names::WORKER_RESTARTS, "slot" => name.clone(), "reason" => reason).increment(1);
        }
        match self.start(index, generation) {
            Ok(process) => {
                tracing::info!(slot = name, pid = process.pid, generation, "worker started");
                self.slots[index].processes.push(process);
                Ok(())
            }
            Err(error) => {
                tracing::error!(slot = name, %error, "could not start a worker");
                Err(error)
            }
        }
    }

    fn start(&mut self, index: usize, generation: Generation) -> io::Result<Process> {
        let (role, slot) = (self.slots[index].role, self.slots[index].index);
        let cell = self.cells.take().ok_or_else(|| io::Error::other("every cell of the board is taken"))?;
        let listeners: Vec<_> = match role {
            // All of them: while a sibling cannot, it may be asked to accept for it.
            Role::Api => self.listeners.iter().map(AsFd::as_fd).collect(),
            Role::Scribe => vec![self.scribe_listener.as_fd()],
            Role::Background => Vec::new(),
        };
        let slot = Slot { role, index: slot, cell };
        let (board_fd, account) = (self.board_fd.as_fd(), self.account.as_ref());
        let started = Process::start(&self.plan, generation, slot, &self.board, board_fd, &listeners, account);
        if started.is_err() {
            self.cells.give_back(cell);
        }
        started
    }

    /// A worker's pidfd is ready.
    pub(super) fn reap(&mut self, index: usize, of: Generation, now: Instant) {
        let Some(process) = self.slots[index].process(of) else { return };
        let Ok(Some(ended)) = process.pidfd.try_wait() else { return };
        // Its last words may have come after the poll that told us of its end.
        self.hear(index, of, now);
        let slot = &mut self.slots[index];
        let Some(at) = slot.processes.iter().position(|process| process.generation == of) else { return };
        let process = slot.processes.remove(at);
        let (code, end) = match ended {
            Ended::Exited(code) => {
                (Some(code), ExitCode::of(code).map_or_else(|| format!("exit {code}"), |code| format!("{code:?}")))
            }
            Ended::Killed(signal) => (None, signal.to_string()),
        };
        let lived_ms = now.saturating_duration_since(process.started).as_millis();
        let name = slot.name();
        tracing::info!(slot = name, pid = process.pid, generation = of, end, lived_ms, "worker ended");
        if let Some(change) = &mut self.change {
            let said = process.complaint.as_deref();
            change.note_end(&format!(
                "{name} ended with {end}{}",
                said.map(|said| format!(": {said}")).unwrap_or_default()
            ));
        }
        slot.last_end = end;
        if code != Some(ExitCode::Clean as i32) {
            self.board.bump_everything();
            self.ended_badly(index, &process.plan);
        }
        self.merged.retire(&name, of);
        self.no_longer_owed(process.slot.cell);
        self.cells.give_back(process.slot.cell);
        self.feed(index, Event::Exited { of, code });
    }

    fn give_up(&mut self, index: usize) {
        let slot = &self.slots[index];
        let end = &slot.last_end;
        tracing::error!(slot = slot.name(), end, "this worker cannot work as things are; giving it up");
        let api_lives = self.slots.iter().any(|slot| slot.role == Role::Api && !slot.life.has_failed());
        if !self.announced || !api_lives {
            self.failure = Some(ExitCode::BadConfig);
            self.stop();
        }
    }
}
