//! The loop: take what has come, write it, acknowledge, see who else is there.
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hotline::audit::{Batch, Event, EventType, LogWriter, Outcome, Severity};
use hotline::board::HeartbeatCell;
use hotline::lifecycle::clock;
use hotline::sys;
use hotline::telemetry::names;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::geteuid;

use crate::herald::Herald;
use crate::keeping::{Keeper, not_written};
use crate::stop::Stop;
use crate::visitor::{Left, Visitor};

/// The log and all who write to it.
pub struct Desk<'a> {
    listener: UnixListener,
    cell: HeartbeatCell<'a>,
    visitors: Vec<Visitor>,
    /// Taken and not yet on disk.
    pending: Vec<Batch>,
    /// Under which name, and from which number on, the scribe reports its own events.
    own_source: String,
    own_next: u64,
    /// Set while the disk does not take what is pending.
    failing: Option<Failing>,
    /// Publishes what is durable. Gone before the log is given up, as fields are dropped in their order.
    pub(crate) herald: Option<Herald>,
    pub(crate) writer: LogWriter,
    /// Sees to it that the log is kept as long as it must be.
    pub(crate) keeper: Option<Keeper>,
}

struct Failing {
    retry_at: Instant,
}

impl<'a> Desk<'a> {
    pub fn new(
        listener: UnixListener,
        writer: LogWriter,
        cell: HeartbeatCell<'a>,
        own_source: String,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let own_next = writer.durable(&own_source) + 1;
        Ok(Self {
            listener,
            writer,
            cell,
            visitors: Vec::new(),
            pending: Vec::new(),
            own_source,
            own_next,
            failing: None,
            herald: None,
            keeper: None,
        })
    }

    pub fn publish_by(&mut self, herald: Herald) {
        herald.is_durable(self.writer.head().seq);
        self.herald = Some(herald);
    }

    /// Queues events of the scribe itself.
    pub fn report(&mut self, events: impl IntoIterator<Item = Event>) {
        let events: Vec<_> = events.into_iter().collect();
        let first_number = self.own_next;
        self.own_next += events.len() as u64;
        self.pending.push(Batch { source: self.own_source.clone(), first_number, events });
    }

    /// Works until it is asked to leave.
    pub fn serve(&mut self, stop: &Stop) {
        while !stop.is_asked() {
            self.turn(Some(stop), TURN_MAX);
        }
    }

    /// Takes what workers that are leaving still send, and closes the log with a checkpoint.
    pub fn leave(mut self, stop: &Stop) {
        self.report([stopped()]);
        // What is on record and not yet removed is removed by the next scribe.
        self.keeper = None;
        loop {
            let took = self.turn(None, DRAIN_TURN);
            if !took && self.visitors.is_empty() && self.pending.is_empty() {
                break;
            }
            // Asked for each time: it may be shortened.
            if stop.until().is_none_or(|until| Instant::now() >= until) {
                if !self.pending.is_empty() {
                    tracing::warn!(records = self.backlog(), "left before all was done");
                }
                break;
            }
        }
        match self.writer.checkpoint() {
            Ok(()) => tracing::info!(seq = self.writer.head().seq, hash = self.writer.head().hash, "log closed"),
            Err(error) => tracing::error!(%error, "left without a checkpoint"),
        }
    }

    /// One round; tells whether anybody sent anything.
    fn turn(&mut self, stop: Option<&Stop>, wait_max: Duration) -> bool {
        self.wait(stop, wait_max);
        self.cell.beat(clock::now_ms());
        self.welcome();
        let before = self.pending.len();
        if self.failing.is_none() {
            self.read();
        }
        let took = self.pending.len() > before;
        self.commit();
        self.acknowledge();
        self.keep();
        self.writer.checkpoint_if_due(CHECKPOINT_AGE_MAX);
        self.cell.connections().store(self.visitors.len() as u64, Ordering::Relaxed);
        self.cell.backlog().store(self.backlog(), Ordering::Relaxed);
        metrics::gauge!(names::AUDIT_BACKLOG_RECORDS).set(self.backlog() as f64);
        took
    }

    /// Records taken that are not on disk.
    fn backlog(&self) -> u64 {
        self.pending.iter().map(|batch| batch.events.len() as u64).sum()
    }

    fn wait(&self, stop: Option<&Stop>, wait_max: Duration) {
        let reading = if self.failing.is_some() { PollFlags::empty() } else { PollFlags::POLLIN };
        let mut fds = vec![PollFd::new(self.listener.as_fd(), PollFlags::POLLIN)];
        fds.extend(stop.map(|stop| PollFd::new(stop.as_fd(), PollFlags::POLLIN)));
        fds.extend(self.keeper.iter().map(|keeper| PollFd::new(keeper.inbox.as_fd(), PollFlags::POLLIN)));
        fds.extend(self.visitors.iter().map(|visitor| {
            let writing = if visitor.is_owed() { PollFlags::POLLOUT } else { PollFlags::empty() };
            PollFd::new(visitor.fd(), reading | writing)
        }));
        let now = Instant::now();
        let wait = match &self.failing {
            Some(failing) => failing.retry_at.saturating_duration_since(now).min(wait_max),
            None if self.pending.is_empty() => wait_max,
            None => Duration::ZERO,
        };
        // However it ends, the turn looks at everything.
        let _ = poll(&mut fds, PollTimeout::try_from(wait).unwrap_or(PollTimeout::ZERO));
        if self.failing.is_some() {
            // Who hangs up while nothing is read would end every poll at once.
            std::thread::sleep(wait.min(FAILING_PAUSE));
        }
    }

    fn welcome(&mut self) {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    let is_ours = sys::peer_uid(&stream).is_ok_and(|uid| uid == geteuid().as_raw());
                    if !is_ours || self.visitors.len() >= VISITORS_MAX {
                        metrics::counter!(names::AUDIT_CONNECTIONS_REFUSED).increment(1);
                        tracing::warn!(is_ours, visitors = self.visitors.len(), "refused a connection");
                        continue;
                    }
                    match Visitor::new(stream) {
                        Ok(visitor) => self.visitors.push(visitor),
                        Err(error) => tracing::warn!(%error, "could not take a connection"),
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    tracing::warn!(%error, "could not take a connection");
                    return;
                }
            }
        }
    }

    fn read(&mut self) {
        let (pending, writer) = (&mut self.pending, &self.writer);
        let durable = |source: &str| writer.durable(source);
        self.visitors.retain_mut(|visitor| stays(visitor, |visitor| visitor.read(pending, durable)));
    }

    fn commit(&mut self) {
        if self.pending.is_empty() || self.failing.as_ref().is_some_and(|failing| Instant::now() < failing.retry_at) {
            return;
        }
        match self.writer.append(&self.pending) {
            Ok(_) => {
                self.pending.clear();
                if let Some(herald) = &self.herald {
                    herald.is_durable(self.writer.head().seq);
                }
                if self.failing.take().is_some() {
                    tracing::info!("the audit log is written again");
                    self.cell.set_degraded(false);
                }
            }
            Err(error) => {
                if self.failing.is_none() {
                    tracing::error!(%error, "workers wait until the audit log can be written again");
                    self.cell.set_degraded(true);
                }
                self.failing = Some(Failing { retry_at: Instant::now() + RETRY_EVERY });
                let reason = error.to_string();
                let (visitors, pending) = (&mut self.visitors, &self.pending);
                visitors.retain_mut(|visitor| {
                    let waits = pending.iter().any(|batch| Some(batch.source.as_str()) == visitor.source());
                    !waits || stays(visitor, |visitor| visitor.fail(&reason))
                });
            }
        }
    }

    /// Puts an event of the scribe itself on record now, or not at all; tells the number of its record.
    pub(crate) fn record_now(&mut self, event: Event) -> io::Result<u64> {
        self.commit();
        if !self.pending.is_empty() {
            return Err(not_written());
        }
        self.report([event]);
        self.commit();
        if self.pending.is_empty() {
            return Ok(self.writer.head().seq);
        }
        self.pending.clear();
        self.own_next -= 1;
        // Whoever comes next finds out whether it can be written again.
        self.failing = None;
        self.cell.set_degraded(false);
        Err(not_written())
    }

    fn acknowledge(&mut self) {
        let writer = &self.writer;
        self.visitors.retain_mut(|visitor| {
            let number = visitor.source().map(|source| writer.durable(source));
            stays(visitor, |visitor| match number {
                Some(number) => visitor.acknowledge(number),
                None => visitor.flush(),
            })
        });
    }
}

fn stays(visitor: &mut Visitor, act: impl FnOnce(&mut Visitor) -> Result<(), Left>) -> bool {
    let Err(left) = act(visitor) else { return true };
    let source = visitor.source().unwrap_or("nobody");
    match left {
        Left::Closed => tracing::debug!(source, "a worker left"),
        _ => {
            metrics::counter!(names::AUDIT_CONNECTIONS_REFUSED).increment(1);
            tracing::warn!(source, reason = %left, "ended a connection");
        }
    }
    false
}

/// A life of the scribe begins.
pub(crate) fn started(generation: u32) -> Event {
    own_event("audit.started", format!("{{\"generation\":{generation}}}"))
}

/// It ends as asked.
fn stopped() -> Event {
    own_event("audit.stopped", String::new())
}

pub(crate) fn own_event(action: &str, details: String) -> Event {
    Event {
        event_type: EventType::SystemChange,
        severity: Severity::Low,
        outcome: Outcome::Allowed,
        at_ms: i64::try_from(clock::now_ms()).unwrap_or(i64::MAX),
        action: action.to_owned(),
        actor: "system".to_owned(),
        subject: "audit".to_owned(),
        request_id: String::new(),
        details,
        contains_phi: false,
        affects_financials: false,
    }
}

/// Often enough for the heartbeat, which may be seconds late.
const TURN_MAX: Duration = Duration::from_millis(500);
/// How long silence must last before the log is closed.
const DRAIN_TURN: Duration = Duration::from_millis(20);
const RETRY_EVERY: Duration = Duration::from_millis(250);
const FAILING_PAUSE: Duration = Duration::from_millis(20);
/// A tail cut off after a crash can hide at most the records of this time.
const CHECKPOINT_AGE_MAX: Duration = Duration::from_secs(10);
/// Far more than there are slots, with their predecessors still closing.
const VISITORS_MAX: usize = 256;
