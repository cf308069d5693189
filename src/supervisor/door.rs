//! The supervisor's two small doors, the admin socket and the metrics page: line-oriented, bounded in
//! connections, bytes and time, never blocking the loop.
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// A client that asks one thing, gets one answer, and is let go.
pub(super) struct Visitor<S> {
    pub(super) id: u64,
    stream: S,
    asked: Vec<u8>,
    answer: Option<Vec<u8>>,
    until: Instant,
}

/// What became of a visitor.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Visit {
    /// Still talking.
    Goes,
    /// The question is complete.
    Asked(Vec<u8>),
    /// Answered, gone, or over its limits.
    Over,
}

impl<S: Read + Write + AsFd> Visitor<S> {
    /// `stream` must be non-blocking.
    pub(super) fn new(id: u64, stream: S, now: Instant) -> Self {
        Self { id, stream, asked: Vec::new(), answer: None, until: now + VISIT_TIME }
    }

    pub(super) fn is_late(&self, now: Instant) -> bool {
        now >= self.until
    }

    pub(super) fn wait_until(&mut self, until: Instant) {
        self.until = until;
    }

    pub(super) fn wants_to_write(&self) -> bool {
        self.answer.is_some()
    }

    pub(super) fn reply(&mut self, answer: Vec<u8>) -> Visit {
        self.answer = Some(answer);
        self.write()
    }

    /// The socket is ready. The question ends where `end` first matches.
    pub(super) fn turn(&mut self, end: &[u8]) -> Visit {
        if self.answer.is_some() {
            return self.write();
        }
        let mut buffer = [0; 4_096];
        match self.stream.read(&mut buffer) {
            Ok(0) => Visit::Over,
            Ok(read) => {
                self.asked.extend_from_slice(&buffer[..read]);
                if self.asked.windows(end.len()).any(|window| window == end) {
                    return Visit::Asked(std::mem::take(&mut self.asked));
                }
                if self.asked.len() > QUESTION_BYTES_MAX { Visit::Over } else { Visit::Goes }
            }
            Err(error) => goes_on(&error),
        }
    }

    fn write(&mut self) -> Visit {
        let Some(answer) = &mut self.answer else { return Visit::Goes };
        while !answer.is_empty() {
            match self.stream.write(answer) {
                Ok(written) => drop(answer.drain(..written)),
                Err(error) => return goes_on(&error),
            }
        }
        Visit::Over
    }
}

impl<S: AsFd> AsFd for Visitor<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn goes_on(error: &io::Error) -> Visit {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::Interrupted => Visit::Goes,
        _ => Visit::Over,
    }
}

/// Visitors of one door at a time; further ones wait in the listener's queue.
pub(super) const VISITORS_MAX: usize = 64;
/// A request for a page or a command is far smaller.
const QUESTION_BYTES_MAX: usize = 16 << 10;
/// A command may have to wait for a worker.
const VISIT_TIME: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    fn visitor() -> (Visitor<UnixStream>, UnixStream, Instant) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let now = Instant::now();
        (Visitor::new(1, ours, now), theirs, now)
    }

    #[test]
    fn a_question_may_come_in_pieces_and_is_answered_once() {
        let (mut visitor, mut client, _) = visitor();
        assert_eq!(visitor.turn(b"\n"), Visit::Goes, "nothing to read yet");
        client.write_all(b"sta").unwrap();
        assert_eq!(visitor.turn(b"\n"), Visit::Goes);
        client.write_all(b"tus\n").unwrap();
        assert_eq!(visitor.turn(b"\n"), Visit::Asked(b"status\n".to_vec()));
        assert_eq!(visitor.reply(b"fine\n".to_vec()), Visit::Over);
        drop(visitor);
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "fine\n");
    }

    #[test]
    fn who_talks_without_end_or_never_is_let_go() {
        let (mut visitor, mut client, now) = visitor();
        client.write_all(&[b'x'; QUESTION_BYTES_MAX + 1]).unwrap();
        let visits: Vec<Visit> =
            (0..6).map(|_| visitor.turn(b"\n")).take_while(|visit| *visit == Visit::Goes).collect();
        assert!(visits.len() <= QUESTION_BYTES_MAX / 4_096, "over its limit");
        assert!(!visitor.is_late(now));
        assert!(visitor.is_late(now + VISIT_TIME));
    }

    #[test]
    fn an_answer_that_does_not_fit_waits_for_its_reader() {
        let (mut visitor, mut client, _) = visitor();
        let long = vec![b'y'; 4 << 20];
        assert_eq!(visitor.reply(long.clone()), Visit::Goes, "the socket is full, the loop goes on");
        assert!(visitor.wants_to_write());
        let reader = std::thread::spawn(move || {
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).unwrap();
            answer
        });
        while visitor.turn(b"\n") == Visit::Goes {
            std::thread::yield_now();
        }
        drop(visitor);
        assert_eq!(reader.join().unwrap(), long);
    }

    #[test]
    fn who_hangs_up_is_gone() {
        let (mut visitor, client, _) = visitor();
        drop(client);
        assert_eq!(visitor.turn(b"\n"), Visit::Over);
    }
}
