//! What both sides of exec share: the contracts between the supervisor and its workers.
//!
//! Nothing here knows HTTP, SQL or speech. The supervisor and the command line live in the
//! executable (`main.rs`), where no worker can import them.
#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::print_stdout))]

/// Records, the hash-chained log, its offline verifier, and the client that workers write through.
pub mod audit;
/// The shared memory every process maps: limits, sessions, cache generations, heartbeats.
pub mod board;
/// Parsed once by the supervisor, sent packed to the workers.
pub mod config;
/// Sans-io state machines: worker phases, restart policy, drain deadlines. `now` is an argument.
pub mod lifecycle;
/// The only room with `unsafe`: descriptors, mappings, affinity, process control.
#[allow(unsafe_code)]
pub mod sys;
/// Log set-up, and every metric name as a documented constant.
pub mod telemetry;
/// The keys of TLS session tickets: made, rotated, sealed and opened with.
pub mod tickets;
/// A Merkle log in tiles with signed heads, and its proofs.
pub mod tlog;
/// Envelope encryption and the keys' names.
pub mod vault;
/// Messages between processes: framing, caps, version and build id, permit table.
pub mod wire;
/// A worker's side of its life: hello, welcome, ready, scrape, drain.
pub mod worker;
