//! The supervisor's end of a worker's control socket: never blocks, bounded both ways.
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use hotline::wire::{self, Decoder, FrameError, FromWorker, Permits, Role, Stage, ToWorker, Violation};

/// One worker's control socket.
pub(super) struct Link {
    stream: UnixStream,
    decoder: Decoder,
    unsent: Vec<u8>,
    permits: Permits,
    closed: bool,
}

/// Why a worker is ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    #[error("{0}")]
    Violation(#[from] Violation),
    #[error("{0}")]
    Frame(#[from] FrameError),
    #[error("could not use the control socket: {0}")]
    Io(#[from] io::Error),
}

impl Link {
    pub(super) fn new(ours: OwnedFd, role: Role) -> io::Result<Self> {
        Self::with(ours, Permits::new(role))
    }

    /// To a worker that serves since an earlier image of the supervisor.
    pub(super) fn resume(ours: OwnedFd, role: Role) -> io::Result<Self> {
        Self::with(ours, Permits::serving(role))
    }

    fn with(ours: OwnedFd, permits: Permits) -> io::Result<Self> {
        let stream = UnixStream::from(ours);
        stream.set_nonblocking(true)?;
        Ok(Self { stream, decoder: Decoder::default(), unsent: Vec::new(), permits, closed: false })
    }

    /// Nothing is half said or half heard.
    pub(super) fn is_between_messages(&self) -> bool {
        self.unsent.is_empty() && self.decoder.is_empty() && !self.closed
    }

    /// Queues a message. False when the worker has not read for so long that the queue is full.
    pub(super) fn send(&mut self, message: &ToWorker) -> bool {
        let Ok(frame) = wire::encode(message) else { return false };
        if self.unsent.len() + frame.len() > UNSENT_BYTES_MAX {
            return false;
        }
        self.unsent.extend_from_slice(&frame);
        let _ = self.flush(); // an error here is seen again, and handled, when the socket is read
        true
    }

    /// Writes what the socket takes.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(written) => drop(self.unsent.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub(super) fn wants_to_write(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Every whole message that has come and that the table allows.
    pub(super) fn receive(&mut self, now: Instant) -> Result<Vec<FromWorker>, LinkError> {
        let mut buffer = [0; 1 << 16];
        let mut messages = Vec::new();
        // A bounded number of reads: one chatty worker must not hold up the others.
        for _ in 0..READS_PER_TURN {
            match self.stream.read(&mut buffer) {
                Ok(0) => {
                    self.closed = true;
                    break;
                }
                // It left without reading all we said; what it said before counts.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                    self.closed = true;
                    break;
                }
                Ok(read) => {
                    self.decoder.push(&buffer[..read]);
                    while let Some(message) = self.decoder.next()? {
                        self.permits.admit(&message, now)?;
                        messages.push(message);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(messages)
    }

    /// The other end is gone, or is not to be heard any more.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    pub(super) fn is_welcomed(&self) -> bool {
        self.permits.stage() != Stage::Unknown
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Eight largest frames.
const UNSENT_BYTES_MAX: usize = 8 << 20;
const READS_PER_TURN: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use hotline::sys;
    use hotline::vault::KeyClass;
    use hotline::wire::{BUILD_ID, LiveEvent, WIRE_VERSION};

    fn link(role: Role) -> (Link, UnixStream) {
        let (ours, theirs) = sys::pair().unwrap();
        (Link::new(ours, role).unwrap(), UnixStream::from(theirs))
    }

    fn hello(role: Role) -> FromWorker {
        FromWorker::Hello { wire_version: WIRE_VERSION, build_id: BUILD_ID.to_owned(), role, pid: 1 }
    }

    #[test]
    fn what_the_table_forbids_ends_the_worker() {
        let (mut link, mut worker) = link(Role::Scribe);
        wire::write(&mut worker, &hello(Role::Scribe)).unwrap();
        assert_eq!(link.receive(Instant::now()).unwrap().len(), 1);
        wire::write(&mut worker, &FromWorker::UnwrapKey { class: KeyClass::Case }).unwrap();
        assert!(matches!(link.receive(Instant::now()), Err(LinkError::Violation(Violation::Key { .. }))));
    }

    #[test]
    fn what_is_no_frame_ends_the_worker() {
        let (mut link, mut worker) = link(Role::Api);
        worker.write_all(&[0xff; 64]).unwrap();
        assert!(matches!(link.receive(Instant::now()), Err(LinkError::Frame(_))));
    }

    #[test]
    fn a_worker_that_does_not_read_costs_a_bounded_queue() {
        let (mut link, worker) = link(Role::Api);
        let event = LiveEvent { topic: "cases".to_owned(), payload: "x".repeat(1_000) };
        let message = ToWorker::Live(event);
        let sent = (0..100_000).take_while(|_| link.send(&message)).count();
        assert!(sent < 100_000 && link.wants_to_write());
        assert!(link.unsent.len() <= UNSENT_BYTES_MAX);
        drop(worker);
        assert!(link.flush().is_err());
    }

    #[test]
    fn last_words_are_heard_though_ours_were_not() {
        let (mut link, mut worker) = link(Role::Scribe);
        assert!(link.send(&ToWorker::Scrape { scrape_id: 1 }));
        wire::write(&mut worker, &hello(Role::Scribe)).unwrap();
        drop(worker);
        assert_eq!(link.receive(Instant::now()).unwrap().len(), 1);
        assert!(link.is_closed());
    }

    #[test]
    fn the_other_end_gone_is_noticed_once() {
        let (mut link, worker) = link(Role::Api);
        drop(worker);
        assert!(link.receive(Instant::now()).unwrap().is_empty());
        assert!(link.is_closed());
    }
}
