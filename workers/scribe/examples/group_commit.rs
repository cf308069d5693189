//! How many records a second become durable while 1, 16 or 256 callers wait for theirs.
//!
//! `cargo run --example group_commit -p hotline-scribe [-- FOLDER]`; the folder says which disk.
#![allow(clippy::unwrap_used, clippy::print_stdout)]
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hotline::audit::{
    AuditClient, AuditKeys, Event, EventType, LogWriter, Outcome, PublishedLog, Publisher, Severity, verify,
};
use hotline::board::Board;
use hotline::config::{Acknowledge, Audit};
use hotline::tlog::{Signer, Store};
use hotline::wire::KeyBytes;
use hotline_scribe::{Desk, Herald, Stop};

fn main() {
    let parent = std::env::args().nth(1);
    for publishes in [false, true] {
        let folder = match &parent {
            Some(parent) => tempfile::tempdir_in(parent).unwrap(),
            None => tempfile::tempdir().unwrap(),
        };
        println!("{}", if publishes { "with a signed head every second" } else { "the log alone" });
        run(folder.path(), publishes);
    }
}

fn run(folder: &Path, publishes: bool) {
    let (board, _fd) = Board::create(1).unwrap();
    let listener = UnixListener::bind(folder.join("scribe.sock")).unwrap();
    let stop = Stop::new().unwrap();
    let (log, store) = (folder.join("audit"), Store::new(folder.join("tlog")));
    std::fs::create_dir(store.folder()).unwrap();
    thread::scope(|threads| {
        threads.spawn(|| {
            let source = "scribe-0@00000000000000aa.1";
            let (writer, _) = LogWriter::open(&log, keys(), 64 << 20).unwrap();
            let mut desk = Desk::new(listener, writer, board.cell(0), source.to_owned()).unwrap();
            if publishes {
                let (log, store) = (log.clone(), store.clone());
                let open = move || Publisher::open(log.clone(), store.clone(), signer(), &[]);
                desk.publish_by(Herald::start(open, Duration::from_secs(1)).unwrap());
            }
            desk.serve(&stop);
            desk.leave(&stop);
        });
        for waiting in [1, 16, 256] {
            measure(folder, waiting);
        }
        stop.ask(Duration::from_secs(10));
    });
    let started = Instant::now();
    let signed_by = [signer().verifier().clone()];
    let report = verify(&log, None, Some(PublishedLog { store: &store, keys: &signed_by })).unwrap();
    let rate = report.records as f64 / started.elapsed().as_secs_f64();
    println!("verified {} records, {} of them published: {rate:.0} records/s", report.records, report.published);
}

fn keys() -> AuditKeys {
    AuditKeys::new(vec![KeyBytes { version: 1, bytes: [7; 32] }]).unwrap()
}

fn signer() -> Signer {
    Signer::new("localhost/hotline", &[7; 32]).unwrap()
}

fn measure(run_dir: &Path, waiting: usize) {
    let config = Audit {
        acknowledge: Acknowledge::All,
        wait_ms_max: 60_000,
        queue_records_max: 100_000,
        batch_records_max: 512,
        segment_bytes_max: 64 << 20,
        origin: "localhost/hotline".to_owned(),
        publish_interval_ms: 10,
        retention_years: 7,
    };
    let client = AuditClient::connect(run_dir, format!("bench-{waiting}@00000000000000aa.1"), &config);
    client.durable_blocking(client.record(event()).unwrap()).unwrap();
    let (records, waits) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let started = Instant::now();
    thread::scope(|threads| {
        for _ in 0..waiting {
            threads.spawn(|| {
                let mut mine = Vec::new();
                while started.elapsed() < MEASURED {
                    let from = Instant::now();
                    client.durable_blocking(client.record(event()).unwrap()).unwrap();
                    mine.push(from.elapsed());
                }
                records.fetch_add(mine.len() as u64, Ordering::Relaxed);
                waits.lock().unwrap().extend(mine);
            });
        }
    });
    let elapsed = started.elapsed();
    let mut waits = waits.into_inner().unwrap();
    waits.sort_unstable();
    let at = |share: usize| waits[(waits.len() - 1) * share / 100];
    let rate = records.into_inner() as f64 / elapsed.as_secs_f64();
    println!("{waiting:>4} waiting: {rate:>9.0} records/s, p50 {:?}, p99 {:?}", at(50), at(99));
}

fn event() -> Event {
    Event {
        event_type: EventType::DataAccess,
        severity: Severity::Low,
        outcome: Outcome::Allowed,
        at_ms: 1_700_000_000_123,
        action: "case.read".to_owned(),
        actor: "6f1c2a1e-8a53-4a44-9d0a-2f6f1f1d7a11".to_owned(),
        subject: "case:0190c1d2-1111-7222-8333-444455556666".to_owned(),
        request_id: "r-00000000000000aa-0-1-42".to_owned(),
        details: r#"{"address":"192.0.2.7","fields":["status","summary"]}"#.to_owned(),
        contains_phi: false,
        affects_financials: false,
    }
}

const MEASURED: Duration = Duration::from_secs(3);
