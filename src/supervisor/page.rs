//! `GET /metrics` on loopback: a tiny, strict reader of one request, and scrapes that never wait for
//! a worker that hangs.
use std::collections::BTreeSet;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use super::door::{VISITORS_MAX, Visit, Visitor};

/// The listener, everybody inside, and the scrape under way.
pub(super) struct PageDoor {
    pub(super) listener: TcpListener,
    pub(super) address: SocketAddr,
    pub(super) visitors: Vec<Visitor<TcpStream>>,
    next_id: u64,
    pub(super) scrape: Option<Scrape>,
    /// Visitors for the next scrape: the last one was too short ago.
    pub(super) waiting: Vec<u64>,
    pub(super) scrapes: u64,
    pub(super) scraped_at: Instant,
}

/// Snapshots asked for and not yet there.
pub(super) struct Scrape {
    pub(super) id: u64,
    /// Board cells of the workers that still owe theirs.
    pub(super) owed: BTreeSet<u16>,
    pub(super) until: Instant,
    /// Visitors who wait for the page.
    pub(super) clients: Vec<u64>,
}

/// What a visitor wants.
pub(super) enum Wanted {
    Metrics(u64),
    Answered,
}

impl PageDoor {
    pub(super) fn open(bind: SocketAddr, now: Instant) -> io::Result<Self> {
        Self::with(TcpListener::bind(bind)?, 0, now)
    }

    /// The door of an earlier image of the supervisor. Numbers of scrapes go on: answers to old ones are not mistaken.
    pub(super) fn resume(listener: OwnedFd, scrapes: u64, now: Instant) -> io::Result<Self> {
        Self::with(TcpListener::from(listener), scrapes, now)
    }

    fn with(listener: TcpListener, scrapes: u64, now: Instant) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok(Self {
            listener,
            address,
            visitors: Vec::new(),
            next_id: 1,
            scrape: None,
            waiting: Vec::new(),
            scrapes,
            scraped_at: now,
        })
    }

    /// Nobody is inside and nothing is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.visitors.is_empty() && !self.is_awaited()
    }

    /// Somebody waits for the page, so deadlines must be noticed soon.
    pub(super) fn is_awaited(&self) -> bool {
        self.scrape.is_some() || !self.waiting.is_empty()
    }

    pub(super) fn accept(&mut self, now: Instant) {
        while self.visitors.len() < VISITORS_MAX {
            let Ok((stream, _)) = self.listener.accept() else { return };
            if stream.set_nonblocking(true).is_ok() {
                self.visitors.push(Visitor::new(self.next_id, stream, now));
                self.next_id += 1;
            }
        }
    }

    /// Reads and writes; tells who asked for the metrics.
    pub(super) fn turn(&mut self, ready: &[u64], now: Instant) -> Vec<u64> {
        let mut wanting = Vec::new();
        self.visitors.retain_mut(|visitor| {
            if !ready.contains(&visitor.id) {
                return !visitor.is_late(now);
            }
            match visitor.turn(b"\r\n\r\n") {
                Visit::Goes => true,
                Visit::Over => false,
                Visit::Asked(head) => match answer(visitor, &head) {
                    Wanted::Metrics(id) => {
                        wanting.push(id);
                        true
                    }
                    Wanted::Answered => visitor.wants_to_write(),
                },
            }
        });
        wanting
    }

    pub(super) fn reply(&mut self, clients: &[u64], page: &str) {
        let answer = response("200 OK", "text/plain; version=0.0.4; charset=utf-8", page);
        self.visitors
            .retain_mut(|visitor| !clients.contains(&visitor.id) || visitor.reply(answer.clone()) == Visit::Goes);
    }
}

fn answer(visitor: &mut Visitor<TcpStream>, head: &[u8]) -> Wanted {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let text = match line {
        b"GET /metrics HTTP/1.1" | b"GET /metrics HTTP/1.0" => return Wanted::Metrics(visitor.id),
        b"GET /-/healthy HTTP/1.1" | b"GET /-/healthy HTTP/1.0" => ("200 OK", "healthy\n"),
        line if line.starts_with(b"GET ") => ("404 Not Found", "only /metrics and /-/healthy are here\n"),
        _ => ("405 Method Not Allowed", "only GET is answered\n"),
    };
    visitor.reply(response(text.0, "text/plain; charset=utf-8", text.1));
    Wanted::Answered
}

fn response(status: &str, content_type: &str, body: &str) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body.as_bytes()].concat()
}

/// A worker that does not answer in this time is shown as it was.
pub(super) const SCRAPE_WITHIN: Duration = Duration::from_millis(500);
/// Scrapes begin no closer together: a worker that answered more often would break its permit, and the page is
/// open to everybody on this machine.
pub(super) const SCRAPE_APART: Duration = Duration::from_millis(120);
/// Snapshots are fetched this often even if nobody asks, so that a dying worker takes little along.
pub(super) const SCRAPE_EVERY: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;
    use hotline::telemetry::Snapshot;
    use hotline::wire::{FromWorker, Permits, Role, WIRE_VERSION};
    use std::io::{Read, Write};

    /// Sends one request and drives the door until the client has its answer.
    fn ask(request: &str) -> (usize, String) {
        let now = Instant::now();
        let mut door = PageDoor::open("127.0.0.1:0".parse().unwrap(), now).unwrap();
        let mut client = TcpStream::connect(door.address).unwrap();
        client.write_all(request.as_bytes()).unwrap();
        let client = std::thread::spawn(move || {
            let mut text = String::new();
            client.read_to_string(&mut text).map(|_| text).unwrap_or_default()
        });
        let mut wanting = Vec::new();
        while !client.is_finished() {
            door.accept(now);
            let everybody: Vec<u64> = door.visitors.iter().map(|visitor| visitor.id).collect();
            let new = door.turn(&everybody, now);
            door.reply(&new, "hotline_worker_up 1\n");
            wanting.extend(new);
        }
        (wanting.len(), client.join().unwrap())
    }

    #[test]
    fn however_often_the_page_is_wanted_workers_may_answer() {
        let start = Instant::now();
        let mut permits = Permits::new(Role::Scribe);
        let (wire_version, build_id) = (WIRE_VERSION, String::new());
        permits.admit(&FromWorker::Hello { wire_version, build_id, role: Role::Scribe, pid: 1 }, start).unwrap();
        for scrape_id in 0..2_000u32 {
            let snapshot = Snapshot::default();
            let answer = FromWorker::Metrics { scrape_id: scrape_id.into(), snapshot };
            permits.admit(&answer, start + SCRAPE_APART * scrape_id).unwrap();
        }
    }

    #[test]
    fn the_page_is_at_one_address_only() {
        let (wanting, page) = ask("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(wanting, 1);
        assert!(page.starts_with("HTTP/1.1 200 OK\r\n") && page.ends_with("\r\n\r\nhotline_worker_up 1\n"), "{page}");
        for (request, status) in [
            ("GET /-/healthy HTTP/1.1\r\n\r\n", "200"),
            ("GET /metricsx HTTP/1.1\r\n\r\n", "404"),
            ("GET /../metrics HTTP/1.1\r\n\r\n", "404"),
            ("POST /metrics HTTP/1.1\r\n\r\n", "405"),
            ("\r\n\r\n", "405"),
        ] {
            let (wanting, answer) = ask(request);
            assert_eq!(wanting, 0, "{request}");
            assert_eq!(answer.get(9..12), Some(status), "{request}");
        }
    }
}
