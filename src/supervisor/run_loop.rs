//! The poll loop: waits for descriptors, signals and deadlines, and performs what the lifecycle decides.
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use hotline::lifecycle::{Action, Event, ExitCode};
use hotline::sys::{Ended, Signal};
use hotline::telemetry::names;
use hotline::wire::{Role, ToWorker};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::Supervisor;
use super::door::VISITORS_MAX;
use super::worker::SlotState;

/// Whose descriptor became ready.
#[derive(Clone, Copy)]
enum Source {
    Signals,
    Admin,
    AdminVisitor(u64),
    Page,
    PageVisitor(u64),
    Control(usize),
    Process(usize),
}

/// What one wait brought.
#[derive(Default)]
struct Woken {
    signals: bool,
    admin: bool,
    page: bool,
    admin_visitors: Vec<u64>,
    page_visitors: Vec<u64>,
    controls: Vec<usize>,
    processes: Vec<usize>,
}

impl Supervisor {
    /// Until every worker has left for good.
    pub(super) fn serve(&mut self) -> ExitCode {
        self.notify.say("STATUS=starting the workers");
        for index in 0..self.slots.len() {
            self.feed(index, Event::Start);
        }
        loop {
            let woken = self.wait();
            let now = Instant::now();
            if woken.signals {
                self.take_signals();
            }
            // Last words before the end: what a worker wrote is read before its exit is believed.
            woken.controls.iter().for_each(|index| self.hear(*index, now));
            woken.processes.iter().for_each(|index| self.reap(*index, now));
            self.visit(&woken, now);
            self.tick(now);
            if self.is_over() {
                return self.failure.unwrap_or(ExitCode::Clean);
            }
        }
    }

    /// Tells the lifecycle and performs its decision, until it has no more to say.
    pub(super) fn feed(&mut self, index: usize, event: Event) {
        let mut next = Some(event);
        while let Some(event) = next.take() {
            let action = self.slots[index].life.on(event, Instant::now());
            next = self.perform(index, action);
        }
        self.announce();
    }

    fn perform(&mut self, index: usize, action: Action) -> Option<Event> {
        let slot = &mut self.slots[index];
        match action {
            Action::Nothing => {}
            Action::Spawn => return self.spawn(index).err().map(|_| Event::SpawnFailed),
            Action::AskDrain => {
                let deadline_ms = self.config.workers.drain_deadline_ms;
                if let Some(process) = &mut slot.process {
                    process.link.send(&ToWorker::Drain { deadline_ms });
                }
            }
            Action::Abort | Action::Kill => {
                let signal = if action == Action::Abort { Signal::SIGABRT } else { Signal::SIGKILL };
                tracing::error!(slot = %slot.slot, %signal, "ending a worker that does not do its duty");
                if let Some(process) = &slot.process {
                    let _ = process.pidfd.signal(signal);
                }
            }
            Action::GiveUp => self.give_up(index),
        }
        None
    }

    fn spawn(&mut self, index: usize) -> std::io::Result<()> {
        let slot = &mut self.slots[index];
        let role = slot.slot.role;
        let (_, program) = self.programs.iter().find(|(of, _)| *of == role).expect("every role has its program");
        if slot.generation > 0 {
            slot.restarts += 1;
            let reason = slot.last_end.clone();
            metrics::counter!(names::WORKER_RESTARTS, "slot" => slot.slot.to_string(), "reason" => reason).increment(1);
        }
        let spawned = slot.spawn(program, self.account.as_ref(), &self.board, self.board_fd.as_fd());
        match &spawned {
            Ok(()) => {
                let pid = slot.process.as_ref().map_or(0, |process| process.pid);
                tracing::info!(slot = %slot.slot, pid, generation = slot.generation, "worker started");
            }
            Err(error) => tracing::error!(slot = %slot.slot, %error, "could not start a worker"),
        }
        spawned
    }

    fn reap(&mut self, index: usize, now: Instant) {
        let slot = &mut self.slots[index];
        let Some(process) = &slot.process else { return };
        let Ok(Some(ended)) = process.pidfd.try_wait() else { return };
        let code = match ended {
            Ended::Exited(code) => Some(code),
            Ended::Killed(_) => None,
        };
        slot.last_end = match ended {
            Ended::Exited(code) => {
                ExitCode::of(code).map_or_else(|| format!("exit {code}"), |code| format!("{code:?}"))
            }
            Ended::Killed(signal) => signal.to_string(),
        };
        let lived_ms = now.saturating_duration_since(process.started).as_millis();
        tracing::info!(slot = %slot.slot, pid = process.pid, end = %slot.last_end, lived_ms, "worker ended");
        let (name, cell) = (slot.slot.to_string(), slot.slot.cell);
        slot.process = None;
        if code != Some(ExitCode::Clean as i32) {
            self.board.bump_everything();
        }
        self.merged.retire(&name);
        self.no_longer_owed(cell);
        self.feed(index, Event::Exited { code });
    }

    fn give_up(&mut self, index: usize) {
        let slot = &self.slots[index];
        tracing::error!(slot = %slot.slot, end = %slot.last_end, "this worker cannot work as things are; giving it up");
        let api_lives = self.slots.iter().any(|slot| slot.slot.role == Role::Api && !slot.life.has_failed());
        if !self.announced || !api_lives {
            self.failure = Some(ExitCode::BadConfig);
            self.stop();
        }
    }

    fn take_signals(&mut self) {
        while let Ok(Some(signal)) = self.signals.next() {
            match signal {
                // Ends are noticed by pidfd; the signal only wakes the loop.
                Signal::SIGCHLD => {}
                signal => match self.stopping {
                    None => {
                        tracing::info!(%signal, "draining");
                        self.stop();
                    }
                    // Ctrl-C reaches us from the terminal and again from a shell that cleans up.
                    Some(since) if since.elapsed() < SAME_WISH => {}
                    Some(_) => {
                        tracing::warn!(%signal, "asked again: ending the workers now");
                        self.hasten();
                    }
                },
            }
        }
    }

    /// The scribe is left to finish what the others gave it, unless it is the last.
    fn hasten(&self) {
        let writers_gone = self.writers_are_gone();
        for slot in self.slots.iter().filter(|slot| slot.slot.role != Role::Scribe || writers_gone) {
            if let Some(process) = &slot.process {
                let _ = process.pidfd.signal(Signal::SIGKILL);
            }
        }
    }

    fn writers_are_gone(&self) -> bool {
        self.slots.iter().all(|slot| slot.slot.role == Role::Scribe || slot.life.is_over())
    }

    /// Public and background workers first; the scribe when they are gone (see `tick`).
    pub(super) fn stop(&mut self) {
        if self.stopping.is_none() {
            self.stopping = Some(Instant::now());
            self.notify.say("STOPPING=1");
            self.drain(|role| role != Role::Scribe);
        }
    }

    fn drain(&mut self, which: impl Fn(Role) -> bool) {
        for index in 0..self.slots.len() {
            if which(self.slots[index].slot.role) {
                self.feed(index, Event::Drain);
            }
        }
    }

    fn tick(&mut self, now: Instant) {
        for index in 0..self.slots.len() {
            let beat_age = self.slots[index].beat_age(&self.board, now);
            self.feed(index, Event::Tick { beat_age });
        }
        self.rest_those_away(now);
        if self.stopping.is_some() && self.writers_are_gone() {
            self.drain(|role| role == Role::Scribe);
        }
        self.scrape_on_time(now);
        self.late_commands(now);
        self.notify.feed_watchdog(now);
    }

    /// Only while somebody else serves: with nobody there, waiting is better than being refused.
    fn rest_those_away(&mut self, now: Instant) {
        let is_api = |slot: &SlotState| slot.slot.role == Role::Api;
        if self.stopping.is_some() || !self.slots.iter().any(|slot| is_api(slot) && slot.life.is_serving()) {
            return;
        }
        self.slots.iter_mut().filter(|slot| is_api(slot) && slot.is_away(now)).for_each(SlotState::rest);
    }

    fn is_over(&self) -> bool {
        self.stopping.is_some() && self.slots.iter().all(|slot| slot.life.is_over() && slot.process.is_none())
    }

    fn visit(&mut self, woken: &Woken, now: Instant) {
        if woken.admin {
            self.admin.accept(now);
        }
        if woken.page {
            self.page.accept(now);
        }
        for (visitor, uid, ask) in self.admin.turn(&woken.admin_visitors, now) {
            self.command(visitor, uid, ask, now);
        }
        for visitor in self.page.turn(&woken.page_visitors, now) {
            self.scrape_for(visitor, now);
        }
    }

    fn wait(&self) -> Woken {
        let sources = self.sources();
        let mut fds: Vec<PollFd<'_>> = sources.iter().map(|(_, fd, flags)| PollFd::new(*fd, *flags)).collect();
        let timeout = PollTimeout::from(if self.page.scrape.is_some() { 20u8 } else { TICK_MS });
        let mut woken = Woken::default();
        match poll(&mut fds, timeout) {
            Ok(_) => {}
            Err(Errno::EINTR) => return woken,
            Err(error) => {
                tracing::error!(%error, "could not wait for events");
                return woken;
            }
        }
        let ready = fds.iter().map(|fd| fd.any().unwrap_or(true));
        for ((source, _, _), _) in sources.iter().zip(ready).filter(|(_, ready)| *ready) {
            match *source {
                Source::Signals => woken.signals = true,
                Source::Admin => woken.admin = true,
                Source::Page => woken.page = true,
                Source::AdminVisitor(id) => woken.admin_visitors.push(id),
                Source::PageVisitor(id) => woken.page_visitors.push(id),
                Source::Control(index) => woken.controls.push(index),
                Source::Process(index) => woken.processes.push(index),
            }
        }
        woken
    }

    fn sources(&self) -> Vec<(Source, BorrowedFd<'_>, PollFlags)> {
        let mut sources = vec![(Source::Signals, self.signals.as_fd(), PollFlags::POLLIN)];
        // A full house does not listen: a connection that is not accepted would wake the loop for ever.
        if self.admin.visitors.len() < VISITORS_MAX {
            sources.push((Source::Admin, self.admin.listener.as_fd(), PollFlags::POLLIN));
        }
        if self.page.visitors.len() < VISITORS_MAX {
            sources.push((Source::Page, self.page.listener.as_fd(), PollFlags::POLLIN));
        }
        let direction = |writes| if writes { PollFlags::POLLOUT } else { PollFlags::POLLIN };
        for (visitor, _) in &self.admin.visitors {
            sources.push((Source::AdminVisitor(visitor.id), visitor.as_fd(), direction(visitor.wants_to_write())));
        }
        for visitor in &self.page.visitors {
            sources.push((Source::PageVisitor(visitor.id), visitor.as_fd(), direction(visitor.wants_to_write())));
        }
        for (index, slot) in self.slots.iter().enumerate() {
            let Some(process) = &slot.process else { continue };
            let mut flags = PollFlags::POLLIN;
            flags.set(PollFlags::POLLOUT, process.link.wants_to_write());
            if !process.link.is_closed() {
                sources.push((Source::Control(index), process.link.as_fd(), flags));
            }
            sources.push((Source::Process(index), process.pidfd.as_fd(), PollFlags::POLLIN));
        }
        sources
    }
}

/// Signals closer together than this are one wish to stop.
const SAME_WISH: Duration = Duration::from_secs(1);
/// How late a deadline may be noticed.
const TICK_MS: u8 = 100;
