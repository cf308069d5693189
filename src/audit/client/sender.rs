//! The thread behind the client: it gathers, sends, waits for acknowledgements and connects again.
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::connection::{Connection, Lost};
use super::state::{Shared, Work};
use crate::audit::Event;
use crate::telemetry::names;
use crate::wire::{self, FRAME_BYTES_MAX, FromScribe, ToScribe};

pub(super) struct Sender {
    shared: Arc<Shared>,
    path: PathBuf,
    source: String,
    /// Encoded and not yet acknowledged, oldest first.
    frames: VecDeque<Frame>,
    /// The first of `frames` that this connection was not given.
    next_frame: usize,
    connection: Option<Connection>,
    retry: Retry,
}

struct Frame {
    last_number: u64,
    bytes: Vec<u8>,
    encoded: Instant,
}

impl Sender {
    pub(super) fn new(shared: Arc<Shared>, path: PathBuf, source: String) -> Self {
        let retry = Retry { at: Instant::now(), delay: RETRY_FIRST };
        Self { shared, path, source, frames: VecDeque::new(), next_frame: 0, connection: None, retry }
    }

    /// Works until the last client is gone.
    pub(super) fn run(mut self) {
        loop {
            let now = Instant::now();
            self.reconnect(now);
            if self.give_work() {
                return;
            }
            if let Err(lost) = self.exchange(now) {
                self.lose(&lost, now);
            }
            self.wake_expired(now);
            self.sleep(now);
        }
    }

    fn reconnect(&mut self, now: Instant) {
        if self.connection.is_some() || now < self.retry.at {
            return;
        }
        match Connection::open(&self.path, &self.source) {
            Ok(connection) => {
                metrics::counter!(names::AUDIT_CONNECTS).increment(1);
                self.connection = Some(connection);
            }
            Err(lost) => self.lose(&lost, now),
        }
    }

    /// Hands the connection its next frame if it has room; true when there is nothing left to live for.
    fn give_work(&mut self) -> bool {
        if !self.can_send() {
            return self.shared.lock().is_stopped();
        }
        if self.next_frame == self.frames.len() {
            let work = self.shared.lock().next_work(self.shared.batch_records_max, BATCH_BYTES_MAX);
            match work {
                Work::Stop => return true,
                Work::Nothing => return false,
                Work::Send { first_number, events } => self.frames.push_back(Frame::new(first_number, events)),
            }
        }
        if let Some(connection) = &mut self.connection {
            connection.send(&self.frames[self.next_frame].bytes);
            self.next_frame += 1;
        }
        false
    }

    fn can_send(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.is_welcome && connection.is_idle())
    }

    fn exchange(&mut self, now: Instant) -> Result<(), Lost> {
        let Some(connection) = &mut self.connection else { return Ok(()) };
        connection.flush()?;
        for message in connection.receive()? {
            match message {
                FromScribe::Durable { number } => self.acknowledged(number, now)?,
                FromScribe::Failed { reason } => {
                    tracing::error!(reason, "the audit log cannot be written");
                    self.shared.lock().in_trouble(now);
                }
            }
        }
        Ok(())
    }

    fn acknowledged(&mut self, number: u64, now: Instant) -> Result<(), Lost> {
        let mut state = self.shared.lock();
        let waiting = state.acknowledged(number, now).ok_or(Lost::Unknown(number))?;
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
        while let Some(frame) = self.frames.pop_front_if(|frame| frame.last_number <= number) {
            self.next_frame = self.next_frame.saturating_sub(1);
            metrics::histogram!(names::AUDIT_WAIT_SECONDS).record((now - frame.encoded).as_secs_f64());
        }
        if let Some(connection) = self.connection.as_mut().filter(|connection| !connection.is_welcome) {
            connection.is_welcome = true;
            self.next_frame = 0;
            self.retry.delay = RETRY_FIRST;
        }
        Ok(())
    }

    /// Starts over with a new connection; everything that was not acknowledged will be sent again.
    fn lose(&mut self, lost: &Lost, now: Instant) {
        let is_news = self.connection.take().is_some_and(|connection| connection.is_welcome);
        if is_news {
            tracing::warn!(reason = %lost, "lost the connection to the scribe");
        } else {
            tracing::debug!(reason = %lost, "no connection to the scribe yet");
        }
        self.next_frame = 0;
        self.shared.lock().in_trouble(now);
        self.retry.later(now);
    }

    fn wake_expired(&self, now: Instant) {
        let expired = self.shared.lock().expired(now);
        expired.into_iter().for_each(Waker::wake);
    }

    /// Sleeps until there is news, or it is time to look at the clock.
    fn sleep(&self, now: Instant) {
        let can_send = self.can_send();
        let mut state = self.shared.lock();
        let not_durable = state.not_durable();
        let may_sleep = state.may_sleep(can_send) && !(can_send && self.next_frame < self.frames.len());
        drop(state);
        metrics::gauge!(names::AUDIT_QUEUE_RECORDS).set(not_durable as f64);
        if !may_sleep {
            return;
        }
        let wait = match (&self.connection, not_durable) {
            (None, _) => self.retry.at.saturating_duration_since(now).min(TICK),
            (Some(_), 0) => IDLE_TICK,
            (Some(_), _) => TICK,
        };
        let mut fds = vec![PollFd::new(self.shared.wake_fd(), PollFlags::POLLIN)];
        if let Some(connection) = &self.connection {
            let writing = if connection.is_idle() { PollFlags::empty() } else { PollFlags::POLLOUT };
            fds.push(PollFd::new(connection.fd(), PollFlags::POLLIN | writing));
        }
        let timeout = PollTimeout::try_from(wait + Duration::from_millis(1)).unwrap_or(PollTimeout::ZERO);
        // However it ends, the loop looks at everything.
        let _ = poll(&mut fds, timeout);
        self.shared.drain_wake();
    }
}

impl Frame {
    fn new(first_number: u64, events: Vec<Event>) -> Self {
        let last_number = first_number + events.len() as u64 - 1;
        let bytes = wire::encode(&ToScribe::Append { first_number, events })
            .expect("an event's length is checked when it is taken, and a batch fills half a frame");
        Self { last_number, bytes, encoded: Instant::now() }
    }
}

/// When to try the next connection.
struct Retry {
    at: Instant,
    delay: Duration,
}

impl Retry {
    fn later(&mut self, now: Instant) {
        self.at = now + self.delay;
        self.delay = (self.delay * 2).min(RETRY_MAX);
    }
}

/// Half a frame leaves room for whatever the estimate of an event's length misses.
const BATCH_BYTES_MAX: usize = FRAME_BYTES_MAX / 2;
const RETRY_FIRST: Duration = Duration::from_millis(5);
/// A scribe starts in a few milliseconds; whoever waits for it should not wait for us.
const RETRY_MAX: Duration = Duration::from_millis(250);
/// How much longer than allowed a waiter may wait.
const TICK: Duration = Duration::from_millis(20);
const IDLE_TICK: Duration = Duration::from_secs(1);
