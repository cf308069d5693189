//! The sole writer of the audit log: what workers report becomes durable here, all of it that is
//! waiting in one write and one `fdatasync`, and only then is it acknowledged.
//!
//! No network, no runtime: one thread, one poll loop. It holds the audit key and nothing else that
//! is secret, and it reads only frames of other processes of this user.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::print_stdout))]

mod drain;
mod pending;
mod scribe;
mod visitor;

pub use drain::{DrainAsker, DrainHeard, drain};
pub use scribe::{Ended, OpenError, Scribe, Settings};
