//! The client against scribes that die, fail, stay away or misbehave.
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

use super::super::testing::{SOURCE, event, keys};
use super::super::{Batch, LogWriter, verify};
use super::*;
use crate::config::Acknowledge;
use crate::wire::{self, FromScribe, ToScribe};

/// A log, and a socket that outlives whoever serves it.
struct House {
    folder: tempfile::TempDir,
    listener: UnixListener,
}

/// How one life of a scribe ends.
#[derive(Clone, Copy)]
enum End {
    /// With its connection.
    Peaceful,
    /// After this many frames: the last one is on disk, its acknowledgement is not sent.
    BeforeAcknowledging(usize),
    /// After this many frames, the last of which it read and threw away.
    BeforeWriting(usize),
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("scribe.sock")).unwrap();
        Self { folder, listener }
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("audit")
    }

    fn client(&self, wait_ms_max: u64, queue_records_max: u32) -> AuditClient {
        let config = config::Audit {
            acknowledge: Acknowledge::All,
            wait_ms_max,
            queue_records_max,
            batch_records_max: 16,
            segment_bytes_max: 1 << 20,
            origin: "localhost/hotline".to_owned(),
            publish_interval_ms: 10,
            retention_years: 7,
        };
        AuditClient::connect(self.folder.path(), SOURCE.to_owned(), &config)
    }

    /// One life of a scribe with one connection.
    fn serve(&self, end: End) {
        let (mut writer, _) = LogWriter::open(&self.log(), keys(), 1 << 20).unwrap();
        let (mut stream, _) = self.listener.accept().unwrap();
        let mut source = String::new();
        let mut frames = 0;
        while let Ok(Some(message)) = wire::read::<ToScribe>(&mut stream) {
            match message {
                ToScribe::Open { source: name, .. } => source = name,
                ToScribe::Append { first_number, events } => {
                    frames += 1;
                    if matches!(end, End::BeforeWriting(last) if frames == last) {
                        return;
                    }
                    writer.append(&[Batch { source: source.clone(), first_number, events }]).unwrap();
                    if matches!(end, End::BeforeAcknowledging(last) if frames == last) {
                        return;
                    }
                }
            }
            acknowledge(&mut stream, writer.durable(&source));
        }
    }
}

fn acknowledge(stream: &mut UnixStream, number: u64) {
    // The client may be gone already.
    let _ = wire::write(stream, &FromScribe::Durable { number });
}

/// Waits for something that another thread will bring about.
fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        thread::yield_now();
    }
}

#[test]
fn nothing_is_lost_and_nothing_is_written_twice_when_scribes_die() {
    let house = House::new();
    let client = house.client(60_000, 10_000);
    thread::scope(|threads| {
        for _ in 0..4 {
            let client = client.clone();
            threads.spawn(move || {
                for _ in 0..50 {
                    let ticket = client.record(event("case.read")).unwrap();
                    client.durable_blocking(ticket).unwrap();
                }
            });
        }
        house.serve(End::BeforeAcknowledging(3));
        house.serve(End::BeforeWriting(5));
        house.serve(End::BeforeAcknowledging(1));
        house.serve(End::BeforeWriting(1));
        threads.spawn(|| house.serve(End::Peaceful));
        assert!(client.flush_blocking(Duration::from_secs(60)));
        until(|| client.shared.lock().last_number() == 200);
        assert!(client.flush_blocking(Duration::from_secs(60)));
        // The last client ends the last scribe.
        drop(client);
    });
    assert_eq!(verify(&house.log(), Some(&keys()), None).unwrap().records, 200);
}

#[test]
fn what_gathers_while_the_scribe_is_away_arrives_in_order() {
    let house = House::new();
    let client = house.client(60_000, 1_000);
    let tickets: Vec<_> = (0..100).map(|_| client.record(event("case.read")).unwrap()).collect();
    thread::scope(|threads| {
        threads.spawn(|| house.serve(End::Peaceful));
        client.durable_blocking(tickets[99]).unwrap();
        client.durable_blocking(tickets[0]).unwrap();
        drop(client);
    });
    let numbers: Vec<_> = super::super::tail(&house.log(), 1_000, None)
        .unwrap()
        .iter()
        .map(|record| record["sourceNumber"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, (1..=100).collect::<Vec<_>>());
}

#[test]
fn a_full_queue_refuses() {
    let house = House::new();
    let client = house.client(60_000, 3);
    (0..3).for_each(|_| assert!(client.record(event("case.read")).is_ok()));
    assert_eq!(client.record(event("case.read")), Err(AuditError::Full(3)));
}

#[test]
fn without_a_scribe_waiting_ends_and_then_nothing_is_taken() {
    let house = House::new();
    let client = house.client(30, 1_000_000);
    let ticket = client.record(event("case.read")).unwrap();
    assert_eq!(client.durable_blocking(ticket), Err(AuditError::Late));
    until(|| client.record(event("case.read")) == Err(AuditError::OutOfReach));
    assert!(!client.healthy());
    assert!(!client.flush_blocking(Duration::from_millis(1)));
    // A scribe that comes makes all good again.
    thread::scope(|threads| {
        threads.spawn(|| house.serve(End::Peaceful));
        until(|| client.flush_blocking(Duration::from_secs(1)));
        assert!(client.healthy());
        until(|| client.record(event("case.read")).is_ok());
        drop(client);
    });
}

#[test]
fn a_scribe_that_cannot_write_makes_us_unwell_until_it_can() {
    let house = House::new();
    let client = house.client(60_000, 10);
    let (mut stream, _) = house.listener.accept().unwrap();
    assert!(matches!(wire::read(&mut stream).unwrap(), Some(ToScribe::Open { .. })));
    acknowledge(&mut stream, 0);
    until(|| client.healthy());
    let ticket = client.record(event("case.read")).unwrap();
    assert!(matches!(wire::read(&mut stream).unwrap(), Some(ToScribe::Append { first_number: 1, .. })));
    wire::write(&mut stream, &FromScribe::Failed { reason: "no space left".to_owned() }).unwrap();
    until(|| !client.healthy());
    acknowledge(&mut stream, 1);
    client.durable_blocking(ticket).unwrap();
    assert!(client.healthy());
}

#[test]
fn an_acknowledgement_of_what_never_was_ends_the_connection() {
    let house = House::new();
    let client = house.client(60_000, 10);
    let (mut stream, _) = house.listener.accept().unwrap();
    acknowledge(&mut stream, 7);
    let (mut again, _) = house.listener.accept().unwrap();
    acknowledge(&mut again, 0);
    until(|| client.healthy());
}

#[test]
fn an_event_too_long_for_the_log_is_refused() {
    let house = House::new();
    let client = house.client(60_000, 10);
    let mut long = event("case.read");
    long.subject = "x".repeat(257);
    assert_eq!(client.record(long), Err(AuditError::TooLong("subject")));
}

#[test]
fn giving_up_a_wait_leaves_no_waiter_behind() {
    let house = House::new();
    let client = house.client(60_000, 10);
    let ticket = client.record(event("case.read")).unwrap();
    let mut wait = Box::pin(client.durable(ticket));
    let mut context = std::task::Context::from_waker(Waker::noop());
    assert!(wait.as_mut().poll(&mut context).is_pending());
    assert_eq!(client.shared.lock().waiters(), 1);
    drop(wait);
    assert_eq!(client.shared.lock().waiters(), 0);
}
