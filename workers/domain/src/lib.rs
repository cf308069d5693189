//! What the product knows, without HTTP.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::print_stdout))]

/// Recognises recordings by their bytes.
pub mod audio;
/// Where everything is kept.
pub mod store;
/// What a call said.
pub mod transcript;

/// What a call is about, how fast it presses, which dates run.
pub mod triage;
