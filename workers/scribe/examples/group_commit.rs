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

use hotline::audit::{AuditClient, AuditKeys, Event, EventType, LogWriter, Outcome, Severity, verify};
use hotline::board::Board;
use hotline::config::{Acknowledge, Audit};
use hotline::wire::KeyBytes;
use hotline_scribe::{Desk, Stop};

fn main() {
    let folder = match std::env::args().nth(1) {
        Some(folder) => tempfile::tempdir_in(folder).unwrap(),
        None => tempfile::tempdir().unwrap(),
    };
    let (board, _fd) = Board::create(1).unwrap();
    let listener = UnixListener::bind(folder.path().join("scribe.sock")).unwrap();
    let stop = Stop::new().unwrap();
    thread::scope(|threads| {
        threads.spawn(|| {
            let source = "scribe-0@00000000000000aa.1";
            let keys = AuditKeys::new(vec![KeyBytes { version: 1, bytes: [7; 32] }]).unwrap();
            let (writer, _) = LogWriter::open(&folder.path().join("audit"), keys, 64 << 20).unwrap();
            let mut desk = Desk::new(listener, writer, board.cell(0), source.to_owned()).unwrap();
            desk.serve(&stop);
            desk.leave(&stop);
        });
        for waiting in [1, 16, 256] {
            measure(folder.path(), waiting);
        }
        stop.ask(Duration::from_secs(10));
    });
    let started = Instant::now();
    let report = verify(&folder.path().join("audit"), None, None).unwrap();
    println!("verified {} records in {:?}", report.records, started.elapsed());
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
