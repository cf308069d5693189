//! The control socket: a reader thread that answers scrapes and passes on the rest, a writer thread
//! behind a bounded queue, so that telling the supervisor something never blocks a request.
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::board::Board;
use crate::lifecycle::ExitCode;
use crate::telemetry::{Recorder, names};
use crate::tickets::TicketKeys;
use crate::vault::KeyClass;
use crate::wire::{
    self, AdminCall, AdminReply, Confinement, Duty, DutyOutcome, FrameError, FromWorker, KeyBytes, LiveEvent,
    LogKeeping, ToWorker,
};

/// The control socket before the worker serves.
pub struct Control {
    stream: UnixStream,
    recorder: Recorder,
    drain_deadline_ms: u64,
    /// Tells an orphan whether another supervisor has come: the board has another boot's number then.
    board: Arc<Board>,
    boot_id: u64,
    /// Came while something else was waited for.
    ticket_keys: Option<TicketKeys>,
    confinement: Confinement,
}

/// What the worker must react to.
pub enum Incoming {
    Live(LiveEvent),
    TicketKeys(TicketKeys),
    Admin {
        request_id: u64,
        call: AdminCall,
    },
    /// Something that only a worker with log and store can do.
    Duty {
        request_id: u64,
        duty: Duty,
    },
    /// Accept on the listeners of these slots and no others.
    Listen {
        slots: Vec<u16>,
    },
    /// Read certificate and key again.
    ReloadCertificate,
    /// Asked to leave, or the supervisor is gone. `successor`: somebody goes on with this slot's work.
    Drain {
        deadline_ms: u64,
        successor: bool,
    },
}

/// Tells the supervisor things; cheap to clone.
#[derive(Clone)]
pub struct ControlSender {
    queue: SyncSender<Outgoing>,
    confinement: Confinement,
}

struct Outgoing {
    message: FromWorker,
    written: Option<SyncSender<()>>,
}

impl Control {
    pub(super) fn new(
        stream: UnixStream,
        recorder: Recorder,
        drain_deadline_ms: u64,
        board: Arc<Board>,
        confinement: Confinement,
    ) -> io::Result<Self> {
        // A supervisor that does not read for this long is as good as gone.
        stream.set_write_timeout(Some(Duration::from_secs(10)))?;
        let boot_id = board.boot_id();
        Ok(Self { stream, recorder, drain_deadline_ms, board, boot_id, ticket_keys: None, confinement })
    }

    /// Asks for a data key. Blocks; only before serving.
    pub fn key(&mut self, class: KeyClass) -> io::Result<Vec<KeyBytes>> {
        self.say(&FromWorker::UnwrapKey { class })?;
        loop {
            if let ToWorker::Key { class: got, versions } = self.hear()?
                && got == class
            {
                return Ok(versions);
            }
        }
    }

    /// The newest ticket keys, which the supervisor sends to API workers unasked. Blocks; only before serving.
    pub fn ticket_keys(&mut self) -> io::Result<TicketKeys> {
        loop {
            match self.ticket_keys.take() {
                Some(keys) => return Ok(keys),
                None => drop(self.hear()?),
            }
        }
    }

    /// Why this worker cannot begin, for the operator who asked for it.
    pub fn cannot_start(&mut self, reason: &str) {
        let reason = reason.chars().take(REASON_CHARS_MAX).collect();
        // Nobody to tell it to is no further misfortune.
        let _ = self.say(&FromWorker::CannotStart { reason });
    }

    /// The next message; what cannot wait is done at once.
    fn hear(&mut self) -> io::Result<ToWorker> {
        let Some(message) = wire::read(&mut self.stream).map_err(io::Error::other)? else { ExitCode::Clean.exit() };
        match &message {
            ToWorker::Scrape { scrape_id } => {
                let (scrape_id, snapshot) = (*scrape_id, self.recorder.snapshot());
                self.say(&FromWorker::Metrics { scrape_id, snapshot })?;
            }
            ToWorker::TicketKeys(keys) => self.ticket_keys = Some(keys.clone()),
            ToWorker::Drain { .. } => ExitCode::Clean.exit(),
            _ => {}
        }
        Ok(message)
    }

    /// Starts listening. `on` is called on a thread of its own; it must not block for long.
    pub fn serve(self, on: impl FnMut(Incoming) + Send + 'static) -> ControlSender {
        let (queue, outgoing) = sync_channel(QUEUE_MESSAGES_MAX);
        let sender = ControlSender { queue, confinement: self.confinement };
        let writer = self.stream.try_clone().expect("a descriptor can be duplicated at start");
        let upkeep = self.recorder.clone();
        let answers = sender.clone();
        start("control-write", move || write_all(writer, &outgoing, &upkeep));
        start("control-read", move || read_all(self, &answers, on));
        sender
    }

    fn say(&mut self, message: &FromWorker) -> io::Result<()> {
        wire::write(&mut self.stream, message).map_err(io::Error::other)
    }
}

impl ControlSender {
    /// The first accept is armed and the store is open; tells what holds this process, too.
    pub fn ready(&self) {
        self.send(FromWorker::Ready(self.confinement));
    }

    /// Tells every other worker. Dropped, and counted, when the queue is full: live events may be
    /// missed, requests may not wait.
    pub fn publish(&self, event: LiveEvent) {
        let outgoing = Outgoing { message: FromWorker::Publish(event), written: None };
        if let Err(TrySendError::Full(_)) = self.queue.try_send(outgoing) {
            metrics::counter!(names::LIVE_EVENTS_DROPPED).increment(1);
        }
    }

    pub fn admin_reply(&self, request_id: u64, reply: AdminReply) {
        self.send(FromWorker::AdminReply { request_id, reply });
    }

    pub fn duty_done(&self, request_id: u64, outcome: Result<DutyOutcome, String>) {
        self.send(FromWorker::DutyDone { request_id, outcome });
    }

    /// How the audit log stands with its keeping.
    pub fn log_keeping(&self, keeping: LogKeeping) {
        self.send(FromWorker::LogKeeping(keeping));
    }

    pub fn certificate_reloaded(&self, refused: Option<String>) {
        self.send(FromWorker::CertificateReloaded { refused });
    }

    /// Last words; returns when they are written.
    pub fn drained(&self) {
        let (written, done) = sync_channel(1);
        if self.queue.send(Outgoing { message: FromWorker::Drained, written: Some(written) }).is_ok() {
            let _ = done.recv_timeout(Duration::from_secs(1));
        }
    }

    fn send(&self, message: FromWorker) {
        // An error means the writer ended because the supervisor is gone; the reader drains us.
        let _ = self.queue.send(Outgoing { message, written: None });
    }
}

fn write_all(mut stream: UnixStream, outgoing: &Receiver<Outgoing>, recorder: &Recorder) {
    loop {
        match outgoing.recv_timeout(UPKEEP_EVERY) {
            Ok(Outgoing { message, written }) => {
                match wire::write(&mut stream, &message) {
                    Ok(()) => {}
                    Err(FrameError::Io(_)) => return, // the reader notices, too, and drains us
                    // Too long to be sent; the next message may not be.
                    Err(error) => tracing::error!(%error, "could not tell the supervisor"),
                }
                if let Some(written) = written {
                    let _ = written.send(());
                }
            }
            Err(RecvTimeoutError::Timeout) => recorder.upkeep(),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn read_all(mut control: Control, answers: &ControlSender, mut on: impl FnMut(Incoming)) {
    loop {
        match wire::read(&mut control.stream) {
            Ok(Some(ToWorker::Scrape { scrape_id })) => {
                let snapshot = control.recorder.snapshot();
                answers.send(FromWorker::Metrics { scrape_id, snapshot });
            }
            Ok(Some(ToWorker::Live(event))) => on(Incoming::Live(event)),
            Ok(Some(ToWorker::TicketKeys(keys))) => on(Incoming::TicketKeys(keys)),
            Ok(Some(ToWorker::Admin { request_id, call })) => on(Incoming::Admin { request_id, call }),
            Ok(Some(ToWorker::Duty { request_id, duty })) => on(Incoming::Duty { request_id, duty }),
            Ok(Some(ToWorker::Listen { slots })) => on(Incoming::Listen { slots }),
            Ok(Some(ToWorker::ReloadCertificate)) => on(Incoming::ReloadCertificate),
            Ok(Some(ToWorker::Drain { deadline_ms, successor })) => on(Incoming::Drain { deadline_ms, successor }),
            Ok(Some(ToWorker::Welcome(_) | ToWorker::Key { .. })) => {}
            Ok(None) | Err(_) => break,
        }
    }
    // The supervisor is gone. Nobody will enforce the deadline but we ourselves.
    let deadline_ms = control.drain_deadline_ms;
    let orphaned = Instant::now();
    on(Incoming::Drain { deadline_ms, successor: false });
    let mut is_superseded = false;
    while orphaned.elapsed() < Duration::from_millis(deadline_ms) {
        if !is_superseded && control.board.boot_id() != control.boot_id {
            is_superseded = true;
            on(Incoming::Drain { deadline_ms, successor: true });
        }
        thread::sleep(SUCCESSOR_POLL);
    }
    tracing::error!("did not drain in time after the supervisor was gone");
    ExitCode::Bug.exit()
}

fn start(name: &str, body: impl FnOnce() + Send + 'static) {
    let builder = thread::Builder::new().name(name.to_owned()).stack_size(256 << 10);
    builder.spawn(body).expect("a worker can make its control threads at start");
}

const REASON_CHARS_MAX: usize = 1_000;
/// How soon an orphan notices that the next supervisor has taken over the board.
const SUCCESSOR_POLL: Duration = Duration::from_millis(20);
/// Answers and events waiting for the supervisor.
const QUEUE_MESSAGES_MAX: usize = 4_096;
/// Histograms fold their samples this often.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);
