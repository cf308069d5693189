//! The desk with real clients, a real log, and a listener that outlives it.
#![allow(clippy::unwrap_used)]
use std::fs;
use std::io::Write;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use hotline::audit::{
    AuditClient, AuditKeys, Event, EventType, LogWriter, Outcome, Severity, Ticket, segments, tail, verify,
};
use hotline::board::Board;
use hotline::config::{Acknowledge, Audit};
use hotline::wire::{self, COMMON_GROUND, FromScribe, KeyBytes, ToScribe, WIRE_VERSION};
use hotline_scribe::{Desk, Stop};

/// What the supervisor keeps across the scribe's lives.
struct House {
    folder: tempfile::TempDir,
    listener: UnixListener,
    board: Board,
    segment_bytes_max: u64,
}

/// How a life of the scribe ends.
#[derive(Clone, Copy)]
enum End {
    Asked,
    Killed,
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("scribe.sock")).unwrap();
        let (board, _fd) = Board::create(1).unwrap();
        Self { folder, listener, board, segment_bytes_max: 1 << 20 }
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("audit")
    }

    fn client(&self, slot: &str) -> AuditClient {
        let config = Audit {
            acknowledge: Acknowledge::All,
            wait_ms_max: 60_000,
            queue_records_max: 10_000,
            batch_records_max: 64,
            segment_bytes_max: self.segment_bytes_max,
            origin: "localhost/hotline".to_owned(),
            publish_interval_ms: 10,
            retention_years: 7,
        };
        AuditClient::connect(self.folder.path(), format!("{slot}@00000000000000aa.1"), &config)
    }

    /// Runs a scribe while `meanwhile` does.
    fn with_scribe<T>(&self, generation: u32, end: End, meanwhile: impl FnOnce() -> T) -> T {
        let stop = Stop::new().unwrap();
        let source = format!("scribe-0@00000000000000aa.{generation}");
        let (writer, _) = LogWriter::open(&self.log(), keys(), self.segment_bytes_max).unwrap();
        let listener = self.listener.try_clone().unwrap();
        thread::scope(|threads| {
            threads.spawn(|| {
                let mut desk = Desk::new(listener, writer, self.board.cell(0), source).unwrap();
                desk.serve(&stop);
                match end {
                    End::Asked => desk.leave(&stop),
                    End::Killed => drop(desk),
                }
            });
            let result = meanwhile();
            stop.ask(Duration::from_secs(60));
            result
        })
    }
}

fn keys() -> AuditKeys {
    AuditKeys::new(vec![KeyBytes { version: 1, bytes: [7; 32] }]).unwrap()
}

fn event(action: &str) -> Event {
    Event {
        event_type: EventType::DataAccess,
        severity: Severity::Low,
        outcome: Outcome::Allowed,
        at_ms: 1_700_000_000_123,
        action: action.to_owned(),
        actor: "4f7a".to_owned(),
        subject: "case/17".to_owned(),
        request_id: "r-1".to_owned(),
        details: r#"{"words":"landlord"}"#.to_owned(),
        contains_phi: false,
        affects_financials: false,
    }
}

fn record(client: &AuditClient, count: usize) -> Vec<Ticket> {
    (0..count).map(|_| client.record(event("case.read")).unwrap()).collect()
}

fn settle(client: &AuditClient, tickets: &[Ticket]) {
    tickets.iter().for_each(|ticket| client.durable_blocking(*ticket).unwrap());
}

/// How often each source's numbers stand in the log: once each, in order.
fn numbers_of(log: &Path, slot: &str) -> Vec<u64> {
    let records = tail(log, 100_000, Some(&keys())).unwrap();
    let of_slot = records.iter().filter(|record| record["source"].as_str().unwrap().starts_with(slot));
    of_slot.map(|record| record["sourceNumber"].as_u64().unwrap()).collect()
}

#[test]
fn every_acknowledged_record_is_in_the_log_once_whatever_happens_to_scribes() {
    let house = House::new();
    let (api, background) = (house.client("api-0"), house.client("background-0"));
    let early = record(&api, 100);
    house.with_scribe(1, End::Killed, || settle(&api, &early));
    let between = (record(&api, 50), record(&background, 70));
    house.with_scribe(2, End::Killed, || {
        settle(&background, &between.1);
        settle(&api, &record(&api, 30));
    });
    settle(&api, &between.0);
    let late = record(&background, 30);
    house.with_scribe(3, End::Asked, || {
        settle(&background, &late);
        drop((api, background));
    });
    assert_eq!(numbers_of(&house.log(), "api-0"), (1..=180).collect::<Vec<_>>());
    assert_eq!(numbers_of(&house.log(), "background-0"), (1..=100).collect::<Vec<_>>());
    let report = verify(&house.log(), Some(&keys()), None).unwrap();
    assert_eq!(report.checkpoint_seq, report.records, "a scribe that is asked to leave vouches for all of it");
}

#[test]
fn what_was_sent_before_the_wish_to_leave_is_written() {
    let house = House::new();
    let mut stream = UnixStream::connect(house.folder.path().join("scribe.sock")).unwrap();
    open(&mut stream, COMMON_GROUND);
    let events: Vec<_> = (0..5).map(|_| event("case.close")).collect();
    wire::write(&mut stream, &ToScribe::Append { first_number: 1, events }).unwrap();
    drop(stream);
    house.with_scribe(1, End::Asked, || ());
    assert_eq!(numbers_of(&house.log(), "api-9"), [1, 2, 3, 4, 5]);
    assert_eq!(numbers_of(&house.log(), "scribe-0"), [1], "audit.stopped");
}

#[test]
fn while_the_disk_takes_nothing_workers_wait_and_the_board_says_so() {
    let mut house = House::new();
    // What comes behind a full bundle begins a segment, so it needs the folder.
    house.segment_bytes_max = 1;
    let client = house.client("api-0");
    house.with_scribe(1, End::Asked, || {
        settle(&client, &record(&client, 256));
        let away = house.folder.path().join("away");
        fs::rename(house.log(), &away).unwrap();
        let waiting = record(&client, 3);
        until(|| house.board.cell(0).is_degraded());
        until(|| !client.healthy());
        fs::rename(&away, house.log()).unwrap();
        settle(&client, &waiting);
        assert!(client.healthy());
        until(|| !house.board.cell(0).is_degraded());
        drop(client);
    });
    assert_eq!(numbers_of(&house.log(), "api-0"), (1..=259).collect::<Vec<_>>());
    assert!(segments(&house.log()).unwrap().len() > 1);
    verify(&house.log(), None, None).unwrap();
}

#[test]
fn who_does_not_keep_to_the_protocol_is_left_and_the_others_are_served() {
    let house = House::new();
    let client = house.client("api-0");
    let path = house.folder.path().join("scribe.sock");
    house.with_scribe(1, End::Asked, || {
        let ends = |act: &dyn Fn(&mut UnixStream)| {
            let mut stream = UnixStream::connect(&path).unwrap();
            act(&mut stream);
            // Whatever it was told before, the end comes.
            while let Ok(Some(_)) = wire::read::<FromScribe>(&mut stream) {}
        };
        ends(&|stream| stream.write_all(&[0xff; 64]).unwrap());
        ends(&|stream| open(stream, COMMON_GROUND + 1));
        ends(&|stream| append(stream, 1, event("case.read")));
        ends(&|stream| (0..2).for_each(|_| open(stream, COMMON_GROUND)));
        ends(&|stream| {
            open(stream, COMMON_GROUND);
            append(stream, 0, event("case.read"));
        });
        ends(&|stream| {
            open(stream, COMMON_GROUND);
            append(stream, 1, event(&"long".repeat(100)));
        });
        ends(&|stream| open_as(stream, COMMON_GROUND, "api-9"));
        ends(&|stream| {
            open_as(stream, COMMON_GROUND, "scribe-0@00000000000000aa.9");
            append(stream, 1, event("audit.release"));
        });
        ends(&|stream| {
            open_as(stream, COMMON_GROUND, "api-8@00000000000000aa.1");
            append(stream, 1, event("case.read"));
            append(stream, 3, event("case.read"));
        });
        settle(&client, &record(&client, 3));
        drop(client);
    });
    assert_eq!(numbers_of(&house.log(), "api-0"), [1, 2, 3]);
    assert_eq!(numbers_of(&house.log(), "api-8"), [1], "what came before the violation counts");
    assert!(numbers_of(&house.log(), "api-9").is_empty());
    assert_eq!(numbers_of(&house.log(), "scribe-0"), [1], "audit.stopped, and nobody in its name");
}

#[test]
fn without_its_descriptors_it_says_why_and_is_not_started_again() {
    #[allow(clippy::disallowed_methods)] // as somebody would start it by hand
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_hotline-scribe")).output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&output.stderr).contains("hotline serve"));
}

fn open(stream: &mut UnixStream, common_ground: u64) {
    open_as(stream, common_ground, "api-9@00000000000000aa.1");
}

fn open_as(stream: &mut UnixStream, common_ground: u64, source: &str) {
    let open = ToScribe::Open { wire_version: WIRE_VERSION, common_ground, source: source.to_owned() };
    // It may have been ended already.
    let _ = wire::write(stream, &open);
}

fn append(stream: &mut UnixStream, first_number: u64, event: Event) {
    let _ = wire::write(stream, &ToScribe::Append { first_number, events: vec![event] });
}

/// Waits for something that another thread will bring about.
fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        thread::yield_now();
    }
}
