//! The poll loop: waits for descriptors, signals and deadlines, and performs what the lifecycle decides.
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use hotline::lifecycle::{Event, ExitCode, Generation};
use hotline::sys::Signal;
use hotline::wire::Role;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::Supervisor;
use super::change::Change;
use super::door::VISITORS_MAX;
use super::key_work::KeyWork;

/// Whose descriptor became ready.
#[derive(Clone, Copy)]
enum Source {
    Signals,
    Admin,
    AdminVisitor(u64),
    Page,
    PageVisitor(u64),
    Control(usize, Generation),
    Process(usize, Generation),
    Preflight,
    Errand,
}

/// What one wait brought.
#[derive(Default)]
struct Woken {
    signals: bool,
    admin: bool,
    page: bool,
    admin_visitors: Vec<u64>,
    page_visitors: Vec<u64>,
    controls: Vec<(usize, Generation)>,
    processes: Vec<(usize, Generation)>,
    preflight: bool,
    errand: bool,
}

impl Supervisor {
    /// Fills every slot.
    pub(super) fn start_workers(&mut self) {
        self.notify.say("STATUS=starting the workers");
        for index in 0..self.slots.len() {
            self.feed(index, Event::Start);
        }
    }

    /// Until every worker has left for good.
    pub(super) fn serve(&mut self) -> ExitCode {
        loop {
            let woken = self.wait();
            let now = Instant::now();
            if woken.signals {
                self.take_signals();
            }
            woken.controls.iter().for_each(|(index, of)| self.hear(*index, *of, now));
            woken.processes.iter().for_each(|(index, of)| self.reap(*index, *of, now));
            if woken.preflight {
                self.hear_preflight(now);
            }
            if woken.errand {
                self.hear_errand(now);
            }
            self.visit(&woken, now);
            self.tick(now);
            if self.is_over() {
                return self.failure.unwrap_or(ExitCode::Clean);
            }
        }
    }

    fn take_signals(&mut self) {
        while let Ok(Some(signal)) = self.signals.next() {
            match signal {
                // Ends are noticed by pidfd; the signal only wakes the loop.
                Signal::SIGCHLD => {}
                Signal::SIGHUP => self.reload(None),
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
        for slot in self.slots.iter().filter(|slot| slot.role != Role::Scribe || writers_gone) {
            for process in &slot.processes {
                let _ = process.pidfd.signal(Signal::SIGKILL);
            }
        }
    }

    fn writers_are_gone(&self) -> bool {
        self.slots.iter().all(|slot| slot.role == Role::Scribe || slot.life.is_over())
    }

    /// Public and background workers first; the scribe when they are gone (see `tick`).
    pub(super) fn stop(&mut self) {
        if self.stopping.is_none() {
            self.stopping = Some(Instant::now());
            self.notify.say("STOPPING=1\nSTATUS=draining");
            self.drain(|role| role != Role::Scribe);
        }
    }

    fn drain(&mut self, which: impl Fn(Role) -> bool) {
        for index in 0..self.slots.len() {
            if which(self.slots[index].role) {
                self.feed(index, Event::Retire);
            }
        }
    }

    fn tick(&mut self, now: Instant) {
        for index in 0..self.slots.len() {
            for beat in self.slots[index].beats(&self.board, now) {
                self.feed(index, beat);
            }
            self.feed(index, Event::Tick);
        }
        self.reap_strangers();
        self.cells.bury_orphans(&self.board, now);
        self.shelter(now);
        self.scale(now);
        self.advance_change(now);
        if self.stopping.is_some() && self.writers_are_gone() {
            self.drain(|role| role == Role::Scribe);
        }
        self.scrape_on_time(now);
        self.late_commands(now);
        self.rotate_ticket_keys(now);
        self.look_after_keys(now);
        self.notify.feed_watchdog(now);
    }

    /// Children we never had must not stay as zombies.
    fn reap_strangers(&self) {
        let ours = |pid| {
            let mut workers = self.slots.iter().flat_map(|slot| &slot.processes).map(|process| process.pid);
            let preflight = self.change.as_ref().and_then(Change::preflight);
            let errand = self.key_work.as_ref().and_then(KeyWork::errand);
            workers.any(|worker| worker == pid)
                || preflight.is_some_and(|preflight| preflight.pid == pid)
                || errand.is_some_and(|errand| errand.pid == pid)
        };
        while let Some(pid) = hotline::sys::reap_stranger(ours) {
            tracing::debug!(pid, "a child that is not ours has ended");
        }
    }

    fn is_over(&self) -> bool {
        self.stopping.is_some() && self.slots.iter().all(|slot| slot.life.is_over() && slot.processes.is_empty())
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
        let timeout = PollTimeout::from(if self.page.is_awaited() { 20u8 } else { TICK_MS });
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
                Source::Control(index, of) => woken.controls.push((index, of)),
                Source::Process(index, of) => woken.processes.push((index, of)),
                Source::Preflight => woken.preflight = true,
                Source::Errand => woken.errand = true,
            }
        }
        woken
    }

    fn sources(&self) -> Vec<(Source, BorrowedFd<'_>, PollFlags)> {
        let mut sources = vec![(Source::Signals, self.signals.as_fd(), PollFlags::POLLIN)];
        // A full house does not listen: a connection that is not accepted would wake the loop for ever. Nor does one
        // that is about to move: whoever knocks now is let in by the next image.
        let is_open = !self.is_gathering();
        if is_open && self.admin.visitors.len() < VISITORS_MAX {
            sources.push((Source::Admin, self.admin.listener.as_fd(), PollFlags::POLLIN));
        }
        if is_open && self.page.visitors.len() < VISITORS_MAX {
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
            for process in &slot.processes {
                let mut flags = PollFlags::POLLIN;
                flags.set(PollFlags::POLLOUT, process.link.wants_to_write());
                let of = process.generation;
                if !process.link.is_closed() {
                    sources.push((Source::Control(index, of), process.link.as_fd(), flags));
                }
                sources.push((Source::Process(index, of), process.pidfd.as_fd(), PollFlags::POLLIN));
            }
        }
        if let Some(preflight) = self.change.as_ref().and_then(Change::preflight) {
            sources.push((Source::Preflight, preflight.as_fd(), PollFlags::POLLIN));
        }
        if let Some(errand) = self.key_work.as_ref().and_then(KeyWork::errand) {
            sources.push((Source::Errand, errand.as_fd(), PollFlags::POLLIN));
        }
        sources
    }
}

/// Signals closer together than this are one wish to stop.
const SAME_WISH: Duration = Duration::from_secs(1);
/// How late a deadline may be noticed.
const TICK_MS: u8 = 100;
