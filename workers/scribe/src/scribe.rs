//! The poll loop: gathers from all connections, writes once, acknowledges, looks after its health.
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use hotline::audit::{AuditKeys, LogWriter, Opening, WriterError};
use hotline::board::{Board, HeartbeatCell, WorkerPhase};
use hotline::lifecycle::clock;
use hotline::sys;
use hotline::telemetry::names;
use hotline::wire::KeyBytes;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::drain::DrainHeard;
use crate::pending::{Pending, Written};
use crate::visitor::{Goodbye, Said, Visitor};

/// What a scribe has to know.
pub struct Settings {
    /// The log's folder.
    pub folder: PathBuf,
    pub segment_bytes_max: u64,
    /// `<slot>@<boot>.<generation>`: who this scribe is, and which start of the service it serves.
    pub source: String,
    /// Its cell on the board.
    pub cell: u16,
}

/// A scribe whose log is open.
pub struct Scribe {
    listener: UnixListener,
    drain: DrainHeard,
    board: Arc<Board>,
    settings: Settings,
    boot: String,
    writer: LogWriter,
    visitors: Vec<Visitor>,
    pending: Pending,
    buffer: Vec<u8>,
}

/// Why a scribe cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("could not begin: there is no audit key")]
    NoKey,
    #[error(transparent)]
    Log(#[from] WriterError),
}

/// How a scribe left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All that came is on disk and vouched for.
    Clean,
    /// This many records came and could not be written.
    Unwritten(usize),
}

impl Scribe {
    /// Takes the log over. A predecessor may need a moment to let go of it.
    pub fn open(
        listener: UnixListener,
        drain: DrainHeard,
        board: Arc<Board>,
        keys: &[KeyBytes],
        settings: Settings,
    ) -> Result<Self, OpenError> {
        let until = Instant::now() + LOCK_WAIT;
        let (writer, opening) = loop {
            board.cell(settings.cell).beat(clock::now_ms());
            let keys = AuditKeys::new(keys.to_vec()).ok_or(OpenError::NoKey)?;
            match LogWriter::open(&settings.folder, keys, &settings.source, settings.segment_bytes_max) {
                Err(WriterError::Locked) if Instant::now() < until => thread::sleep(LOCK_RETRY),
                opened => break opened?,
            }
        };
        let boot = settings.source.split_once('@').map_or("", |(_, rest)| rest);
        let boot = boot.split_once('.').map_or(boot, |(boot, _)| boot).to_owned();
        let mut scribe = Self {
            listener,
            drain,
            board,
            boot,
            writer,
            visitors: Vec::new(),
            pending: Pending::default(),
            buffer: vec![0; READ_BYTES],
            settings,
        };
        scribe.report(opening);
        Ok(scribe)
    }

    /// Serves until it is asked to finish.
    pub fn run(mut self) -> Ended {
        let mut quiet_since = None;
        loop {
            let now = Instant::now();
            let was_busy = self.turn(now);
            let until = self.drain.until(now);
            if let Some(until) = until {
                self.cell().set_phase(WorkerPhase::Draining);
                let is_quiet = !was_busy && self.visitors.is_empty() && self.pending.records() == 0;
                quiet_since = if is_quiet { quiet_since.or(Some(now)) } else { None };
                // A worker that lost its connection a moment ago may be about to come again.
                if now >= until || quiet_since.is_some_and(|since| now - since >= QUIET) {
                    return self.finish();
                }
            }
            self.wait(until, now);
        }
    }

    /// One round over everything; whether anything came.
    fn turn(&mut self, now: Instant) -> bool {
        let mut was_busy = self.accept();
        was_busy |= self.gather();
        match self.pending.write(&mut self.writer, now) {
            Written::Nothing => {}
            Written::All { after_trouble } => {
                if let Some(trouble) = after_trouble {
                    tracing::warn!(seconds = trouble.as_secs_f64(), "the audit log can be written again");
                }
                let writer = &self.writer;
                let waiting = self.visitors.iter_mut().filter(|visitor| visitor.is_waiting);
                waiting.for_each(|visitor| visitor.acknowledge(writer.durable(visitor.source())));
            }
            Written::Failed { reason, is_news } => {
                if is_news {
                    tracing::error!(%reason, "the audit log cannot be written; trying again until it can");
                }
                let waiting = self.visitors.iter_mut().filter(|visitor| visitor.is_waiting);
                waiting.for_each(|visitor| visitor.failed(&reason));
            }
        }
        self.visitors.retain_mut(|visitor| keep(visitor.flush(), visitor.source()));
        self.writer.checkpoint_if_due(CHECKPOINT_AGE);
        self.tell_the_board();
        was_busy
    }

    fn accept(&mut self) -> bool {
        let mut came = false;
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    came = true;
                    let uid = sys::peer_uid(&stream).unwrap_or(u32::MAX);
                    let is_ours = uid == 0 || uid == nix::unistd::geteuid().as_raw();
                    if !is_ours || self.visitors.len() >= VISITORS_MAX {
                        metrics::counter!(names::AUDIT_VISITORS_REFUSED).increment(1);
                        tracing::warn!(uid, visitors = self.visitors.len(), "refused a connection");
                    } else if let Ok(visitor) = Visitor::new(stream) {
                        self.visitors.push(visitor);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    if error.kind() != ErrorKind::WouldBlock {
                        tracing::warn!(%error, "could not accept a connection");
                    }
                    return came;
                }
            }
        }
    }

    /// Takes what has come on every connection, while there is room for it.
    fn gather(&mut self) -> bool {
        let before = self.pending.records();
        let mut opened = Vec::new();
        let mut index = 0;
        while index < self.visitors.len() && self.pending.has_room() {
            let visitor = &mut self.visitors[index];
            let read = visitor.read(&mut self.buffer);
            // What came before the end counts, too.
            let heard = hear(visitor, &self.boot, &mut self.pending, &mut opened);
            if keep(heard.and(read), visitor.source()) {
                index += 1;
            } else {
                self.visitors.remove(index);
            }
        }
        for source in &opened {
            self.welcome(source);
        }
        !opened.is_empty() || self.pending.records() > before
    }

    /// Tells a worker how far it has come. Of two connections of one source the older is dead.
    fn welcome(&mut self, source: &str) {
        let newest = self.visitors.iter().rposition(|visitor| visitor.source() == source);
        let mut index = 0;
        self.visitors.retain(|visitor| {
            let is_dead = visitor.source() == source && Some(index) != newest;
            index += 1;
            !is_dead
        });
        if let Some(visitor) = self.visitors.iter_mut().find(|visitor| visitor.source() == source) {
            visitor.welcome(self.writer.durable(source));
        }
    }

    /// What opening the log found goes into the log itself.
    fn report(&mut self, opening: Opening) {
        if opening.trimmed_bytes > 0 {
            tracing::warn!(bytes = opening.trimmed_bytes, "trimmed a record that was not complete");
        }
        if let Some(reason) = &opening.broken {
            tracing::error!(%reason, "the audit log has been changed");
        }
        tracing::info!(records = opening.head.seq, "the audit log is open");
        if !opening.events.is_empty() {
            self.pending.push(&self.settings.source, 1, opening.events);
        }
    }

    fn finish(mut self) -> Ended {
        let left = self.pending.records();
        if left > 0 {
            tracing::error!(records = left, "leaving with records that could not be written");
        }
        if let Err(error) = self.writer.checkpoint() {
            tracing::error!(%error, "leaving without a last checkpoint");
        }
        if left == 0 { Ended::Clean } else { Ended::Unwritten(left) }
    }

    fn tell_the_board(&self) {
        use std::sync::atomic::Ordering::Relaxed;
        let cell = self.cell();
        cell.beat(clock::now_ms());
        cell.set_degraded(self.pending.is_in_trouble());
        cell.connections().store(self.visitors.len() as u64, Relaxed);
        cell.backlog().store(self.pending.records() as u64, Relaxed);
        metrics::gauge!(names::AUDIT_VISITORS).set(self.visitors.len() as f64);
        metrics::gauge!(names::AUDIT_BACKLOG_RECORDS).set(self.pending.records() as f64);
    }

    fn cell(&self) -> HeartbeatCell<'_> {
        self.board.cell(self.settings.cell)
    }

    /// Sleeps until something comes, or it is time to try again, to beat or to leave.
    fn wait(&self, until: Option<Instant>, now: Instant) {
        let mut fds = vec![PollFd::new(self.listener.as_fd(), PollFlags::POLLIN)];
        fds.extend(self.drain.fd().map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        let has_room = self.pending.has_room();
        // A socket nobody reads is left out: its end would be reported over and over.
        for visitor in self.visitors.iter().filter(|visitor| has_room || visitor.wants_to_write()) {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::POLLIN, has_room);
            flags.set(PollFlags::POLLOUT, visitor.wants_to_write());
            fds.push(PollFd::new(visitor.fd(), flags));
        }
        let mut wait = self.pending.retry_in(now).unwrap_or(TICK).min(TICK);
        if let Some(until) = until {
            wait = wait.min(until.saturating_duration_since(now)).min(QUIET);
        }
        let wait = PollTimeout::try_from(wait + Duration::from_millis(1)).unwrap_or(PollTimeout::ZERO);
        // However it ends, the next turn looks at everything.
        let _ = poll(&mut fds, wait);
    }
}

/// Everything a visitor has said; who said who it is comes on the list.
fn hear(visitor: &mut Visitor, boot: &str, pending: &mut Pending, opened: &mut Vec<String>) -> Result<(), Goodbye> {
    while let Some(said) = visitor.next(boot)? {
        match said {
            Said::Open => opened.push(visitor.source().to_owned()),
            Said::Append { first_number, events } => {
                pending.push(visitor.source(), first_number, events);
                visitor.is_waiting = true;
            }
        }
    }
    Ok(())
}

/// Whether a connection goes on.
fn keep(result: Result<(), Goodbye>, source: &str) -> bool {
    match result {
        Ok(()) => true,
        Err(Goodbye::Closed) => {
            tracing::debug!(source, "a worker has left");
            false
        }
        Err(reason) => {
            metrics::counter!(names::AUDIT_VISITORS_REFUSED).increment(1);
            tracing::warn!(source, %reason, "ended a worker's connection");
            false
        }
    }
}

/// All workers of a large machine, each with a connection that is dead and one that is not.
const VISITORS_MAX: usize = 512;
const READ_BYTES: usize = 64 << 10;
/// How late the heart may beat.
const TICK: Duration = Duration::from_millis(500);
/// While draining: nobody there and nothing coming for this long is the end.
const QUIET: Duration = Duration::from_millis(50);
const CHECKPOINT_AGE: Duration = Duration::from_secs(10);
/// An earlier scribe, whose supervisor was killed, drains meanwhile.
const LOCK_WAIT: Duration = Duration::from_secs(10);
const LOCK_RETRY: Duration = Duration::from_millis(20);
