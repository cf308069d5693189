//! The rooms of the background worker: speech and, on top of it, the jobs.
//!
//! A library beside the executable, so that fuzz targets, benches and tests reach the same code.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::print_stdout))]

/// The worker's life and its jobs.
pub mod runner;
/// Recordings to transcripts.
pub mod speech;
