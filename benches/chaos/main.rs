//! Kills, reloads, upgrades and restarts the real service under load, and counts what its callers notice.
//!
//! `make chaos`; benches/README.md says how to read it. Exit code 1 when a promise was broken.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods)] // a tool may panic and starts processes
#![allow(dead_code, unused_imports, unreachable_pub)] // shares the harness of the tests and needs a part of it

mod storm;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::process::ExitCode;

use clap::Parser;

/// Chaos under load. Another profile of the build is cargo's to choose: `cargo bench --profile dev --bench chaos -- …`.
#[derive(Parser)]
struct Arguments {
    /// The same seed makes the same order of faults.
    #[arg(long, env = "HOTLINE_SEED", default_value_t = 1)]
    seed: u64,
    /// `kill -9` of workers.
    #[arg(long, default_value_t = 200)]
    kills: usize,
    #[arg(long, default_value_t = 20)]
    reloads: usize,
    #[arg(long, default_value_t = 10)]
    upgrades: usize,
    /// `kill -9` of the supervisor, with a service manager that starts the next one.
    #[arg(long, default_value_t = 5)]
    supervisor_kills: usize,
    /// Callers of each kind: new connections, kept connections, HTTP/2.
    #[arg(long, default_value_t = 3)]
    callers: usize,
    /// Requests in a second, of all callers together.
    #[arg(long, default_value_t = 300)]
    rate: usize,
    /// What a worker's successor waits for at most after repeated crashes; 1 shows how fast a process is replaced.
    #[arg(long, default_value_t = 200)]
    backoff_max_ms: u64,
    /// Said by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let Arguments { seed, kills, reloads, upgrades, supervisor_kills, callers, rate, backoff_max_ms, bench: _ } =
        Arguments::parse();
    let report =
        storm::run(&storm::Plan { seed, kills, reloads, upgrades, supervisor_kills, callers, rate, backoff_max_ms });
    println!("{report}\n{}", report.json());
    if report.broken_promises().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
