//! What the recording threads and the sending thread share: the queue, the numbers, the waiters.
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use nix::sys::eventfd::{EfdFlags, EventFd};

use super::{AuditError, Ticket};
use crate::audit::Event;
use crate::config;

pub(super) struct Shared {
    state: Mutex<State>,
    wake: EventFd,
    pub(super) wait_max: Duration,
    pub(super) batch_records_max: usize,
    queue_records_max: u32,
}

impl Shared {
    pub(super) fn new(config: &config::Audit) -> io::Result<Self> {
        let wake = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        let wait_max = Duration::from_millis(config.wait_ms_max);
        Ok(Self {
            state: Mutex::new(State::new(wait_max, Instant::now())),
            wake,
            wait_max,
            batch_records_max: config.batch_records_max.max(1) as usize,
            queue_records_max: config.queue_records_max,
        })
    }

    /// The state is plain data that every method leaves whole, so a panic elsewhere does not spoil it.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Numbers an event and queues it.
    pub(super) fn take(&self, event: Event, now: Instant) -> Result<Ticket, AuditError> {
        if let Some(part) = event.over_limit() {
            return Err(AuditError::TooLong(part));
        }
        let mut state = self.lock();
        if state.not_durable() >= u64::from(self.queue_records_max) {
            return Err(AuditError::Full(self.queue_records_max));
        }
        if state.is_out_of_reach(now) {
            return Err(AuditError::OutOfReach);
        }
        state.recorded += 1;
        state.unsettled_since.get_or_insert(now);
        state.waiting.push_back(event);
        let ticket = Ticket(state.recorded);
        let sleeps = mem::take(&mut state.sender_sleeps);
        drop(state);
        if sleeps {
            self.wake_sender();
        }
        Ok(ticket)
    }

    pub(super) fn wake_sender(&self) {
        // Fails only if it has been woken 2^64 times and not slept since.
        let _ = self.wake.write(1);
    }

    pub(super) fn wake_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    pub(super) fn drain_wake(&self) {
        let _ = self.wake.read();
    }
}

pub(super) struct State {
    waiting: VecDeque<Event>,
    /// Number of the event last taken.
    recorded: u64,
    /// All up to here are on disk.
    durable: u64,
    /// The sender has found nothing to do; whoever brings something wakes it.
    sender_sleeps: bool,
    stopped: bool,
    /// Since when there is no scribe, or one that cannot write.
    trouble_since: Option<Instant>,
    /// Since when something waits without any progress.
    unsettled_since: Option<Instant>,
    wait_max: Duration,
    waiters: BTreeMap<(u64, u64), Waiter>,
    next_waiter: u64,
}

struct Waiter {
    waker: Waker,
    until: Instant,
}

/// What the sender has to do next.
pub(super) enum Work {
    /// Send these; the first has this number.
    Send {
        first_number: u64,
        events: Vec<Event>,
    },
    Nothing,
    Stop,
}

impl State {
    fn new(wait_max: Duration, now: Instant) -> Self {
        Self {
            waiting: VecDeque::new(),
            recorded: 0,
            durable: 0,
            sender_sleeps: false,
            stopped: false,
            trouble_since: Some(now),
            unsettled_since: None,
            wait_max,
            waiters: BTreeMap::new(),
            next_waiter: 0,
        }
    }

    pub(super) fn last_number(&self) -> u64 {
        self.recorded
    }

    pub(super) fn not_durable(&self) -> u64 {
        self.recorded - self.durable
    }

    pub(super) fn is_durable(&self, number: u64) -> bool {
        number <= self.durable
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped
    }

    pub(super) fn is_healthy(&self, now: Instant) -> bool {
        self.trouble_since.is_none() && !self.is_out_of_reach(now)
    }

    fn is_out_of_reach(&self, now: Instant) -> bool {
        let since = [self.trouble_since, self.unsettled_since].into_iter().flatten().min();
        since.is_some_and(|since| now.saturating_duration_since(since) >= self.wait_max)
    }

    /// What gathered since the last call, up to a batch.
    pub(super) fn next_work(&mut self, records_max: usize, bytes_max: usize) -> Work {
        if self.stopped {
            return Work::Stop;
        }
        if self.waiting.is_empty() {
            return Work::Nothing;
        }
        let mut bytes = 0;
        let fits = |event: &&Event| {
            bytes += event.bytes();
            bytes <= bytes_max
        };
        let count = self.waiting.iter().take(records_max).take_while(fits).count().max(1);
        let first_number = self.recorded - self.waiting.len() as u64 + 1;
        Work::Send { first_number, events: self.waiting.drain(..count).collect() }
    }

    /// Whether the sender may sleep; whoever records something then wakes it.
    pub(super) fn may_sleep(&mut self, can_send: bool) -> bool {
        self.sender_sleeps = self.waiting.is_empty() || !can_send;
        self.sender_sleeps && !self.stopped
    }

    /// The scribe has everything up to `number`. Gives who waited for it; nothing if it
    /// speaks of events that never were.
    pub(super) fn acknowledged(&mut self, number: u64, now: Instant) -> Option<Vec<Waker>> {
        if number > self.recorded {
            return None;
        }
        self.trouble_since = None;
        if number > self.durable {
            self.durable = number;
            self.unsettled_since = (self.not_durable() > 0).then_some(now);
        }
        let later = self.waiters.split_off(&(self.durable + 1, 0));
        Some(mem::replace(&mut self.waiters, later).into_values().map(|waiter| waiter.waker).collect())
    }

    pub(super) fn in_trouble(&mut self, now: Instant) {
        self.trouble_since.get_or_insert(now);
    }

    /// Who has waited long enough.
    pub(super) fn expired(&mut self, now: Instant) -> Vec<Waker> {
        self.waiters.extract_if(.., |_, waiter| waiter.until <= now).map(|(_, waiter)| waiter.waker).collect()
    }

    /// Registers a waiter, or gives the one with this id a new waker.
    pub(super) fn wait(&mut self, number: u64, id: Option<u64>, waker: Waker, until: Instant) -> u64 {
        let id = id.unwrap_or_else(|| {
            self.next_waiter += 1;
            self.next_waiter
        });
        self.waiters.insert((number, id), Waiter { waker, until });
        id
    }

    pub(super) fn forget(&mut self, number: u64, id: u64) {
        self.waiters.remove(&(number, id));
    }

    #[cfg(test)]
    pub(super) fn waiters(&self) -> usize {
        self.waiters.len()
    }

    pub(super) fn stop(&mut self) -> Vec<Waker> {
        self.stopped = true;
        mem::take(&mut self.waiters).into_values().map(|waiter| waiter.waker).collect()
    }
}
