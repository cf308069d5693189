//! Callers over HTTP/1.1: one request after the other, on a new connection each or on one that is kept.
use std::io::{self, ErrorKind, Read};
use std::net::TcpStream;
use std::time::Instant;

use super::load::Errand;
use super::outcome::{Attempt, Ending, Way, Worker};
use crate::support::{Answer, Client, Request, Tls, patience};

/// Calls until the load ends.
pub(super) fn run(way: Way, client: &Client, mut errand: Errand) {
    let mut line = None;
    loop {
        std::thread::park_timeout(errand.pause(1));
        let Some(mut call) = errand.next() else { return };
        if way == Way::New {
            call.request = call.request.header("Connection", "close");
        }
        for _ in 0..call.tries {
            let (attempt, answer) = attempt(way, client, &mut line, &call.request);
            let told = answer.as_ref().map(|answer| (answer.status, answer.header("Location"), answer.body.as_slice()));
            if errand.heard(&call, attempt, told) {
                break;
            }
        }
    }
}

/// A connection, and who is at its other end.
struct Line {
    stream: Counted,
    served_by: Option<Worker>,
}

/// Counts what was read of the answer under way.
struct Counted {
    tls: Tls,
    read: usize,
}

fn attempt(way: Way, client: &Client, line: &mut Option<Line>, request: &Request) -> (Attempt, Option<Answer>) {
    // Left while nothing was under way: no failure.
    let kept = line.take().and_then(Line::if_open);
    let begun = Instant::now();
    let served_by = kept.as_ref().and_then(|line| line.served_by);
    let end = |ending| Attempt { way, served_by, begun, ended: Instant::now(), ending };
    let mut used = match kept.map_or_else(|| Line::open(client), Ok) {
        Ok(used) => used,
        Err(error) => return (end(ending_of(&error, 0)), None),
    };
    used.stream.read = 0;
    match client.send_on(&mut used.stream, request) {
        Ok(answer) => {
            let attempt = end(Ending::Status(answer.status));
            let is_last = answer.header("Connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
            if way == Way::Kept && !is_last {
                used.served_by = answer.header("X-Request-Id").and_then(Worker::from_request_id);
                *line = Some(used);
            }
            (attempt, Some(answer))
        }
        Err(error) => (end(ending_of(&error, used.stream.read)), None),
    }
}

fn ending_of(error: &io::Error, bytes_read: usize) -> Ending {
    match error.kind() {
        ErrorKind::ConnectionRefused => Ending::Refused,
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Ending::Late,
        _ if bytes_read > 0 => Ending::Cut,
        _ => Ending::Silence,
    }
}

impl Line {
    fn open(client: &Client) -> io::Result<Self> {
        let tls = client.secure(TcpStream::connect_timeout(&client.address, patience())?)?;
        Ok(Self { stream: Counted { tls, read: 0 }, served_by: None })
    }

    /// Itself, unless the other side has left it.
    fn if_open(mut self) -> Option<Self> {
        let Tls { conn, sock } = &mut self.stream.tls;
        sock.set_nonblocking(true).ok()?;
        let is_open = loop {
            match conn.read_tls(sock) {
                Ok(0) => break false,
                Ok(_) => match conn.process_new_packets() {
                    Ok(state) if !state.peer_has_closed() => {}
                    _ => break false,
                },
                Err(error) => break error.kind() == ErrorKind::WouldBlock,
            }
        };
        sock.set_nonblocking(false).ok()?;
        is_open.then_some(self)
    }
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.tls.read(into)?;
        self.read += read;
        Ok(read)
    }
}

impl io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.tls.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tls.flush()
    }
}
