//! What each piece of the hot path costs, against reading the clock in the same run.
//!
//! Absolute times belong to a machine; the ratio in the last column travels. `cargo bench -p hotline`.
#![allow(clippy::print_stdout, clippy::expect_used)]

use std::hint::black_box;
use std::time::Instant;

use hotline::audit::{Event, EventType, Outcome, Severity};
use hotline::board::{Board, SessionCell};
use hotline::config::Budget;
use hotline::vault::{Aad, KeyBytes, KeyClass, Vault};
use hotline::wire::{self, ToScribe};

fn main() {
    let (board, _fd) = Board::create(1).expect("memory for a board");
    let budget = Budget { requests: 1_000_000_000, window_seconds: 60 };
    let session = SessionCell {
        user: 1,
        standing: 1,
        epoch: 1,
        expires_at_ms: u64::MAX,
        last_seen_ms: 0,
        revoked: false,
        must_change_password: false,
        lacks_factor: false,
    };
    board.put_session(7, session);
    let vault = Vault::new([(KeyClass::Cache, vec![KeyBytes { version: 1, bytes: [7; 32] }])]);
    let place = Aad { table: "cache", row: "/api/v1/cases/1", column: "answer", version: 1 };
    let case = vec![b'x'; 1_024];
    let sealed = vault.seal(KeyClass::Cache, &place, &case).expect("a key of the class");
    let record = ToScribe::Append { first_number: 1, events: vec![event()] };
    let frame = wire::encode(&record).expect("a small frame");

    let clock_ns = time(Instant::now);
    println!("{:<34} {:>9} {:>12}", "piece", "ns", "clock reads");
    let show = |piece: &str, ns: f64| println!("{piece:<34} {ns:>9.1} {:>12.2}", ns / clock_ns);
    show("clock read", clock_ns);
    let mut now_ms = 1_700_000_000_000;
    show("rate limit taken", {
        time(|| {
            now_ms += 1;
            board.take(42, budget, 1, now_ms)
        })
    });
    show("session looked up", time(|| board.session(7)));
    show("session not there", time(|| board.session(8)));
    show("cache generation compared", time(|| board.generation(9)));
    show("1 KiB sealed", time(|| vault.seal(KeyClass::Cache, &place, &case)));
    show("1 KiB opened", time(|| vault.open(KeyClass::Cache, &place, &sealed)));
    show("audit event framed", time(|| wire::encode(&record)));
    show("audit event unframed", time(|| wire::decode::<ToScribe>(&frame[4..])));
}

fn event() -> Event {
    Event {
        event_type: EventType::DataAccess,
        severity: Severity::Low,
        outcome: Outcome::Allowed,
        at_ms: 1_700_000_000_000,
        action: "case.read".to_owned(),
        actor: "01a2073e-f0ec-70db-9ba3-8b44faf00d3d".to_owned(),
        subject: "01a20740-2087-7537-80e3-3064a06cfdb1".to_owned(),
        request_id: "7f7dbd07518a00010001000000000001".to_owned(),
        details: "{\"address\":\"127.0.0.1\"}".to_owned(),
        contains_phi: false,
        affects_financials: false,
    }
}

/// Nanoseconds of one call: the median of several rounds, so that a disturbed one does not count.
fn time<T>(mut work: impl FnMut() -> T) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let begun = Instant::now();
            (0..CALLS).for_each(|_| drop(black_box(work())));
            begun.elapsed().as_nanos() as f64 / f64::from(CALLS)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

const ROUNDS: usize = 9;
const CALLS: u32 = 20_000;
