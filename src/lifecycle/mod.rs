//! When a worker is started, given time, killed, given up: decided without clock, descriptor or log.
pub mod clock;
mod exit_code;
mod restart;
mod worker_life;

pub use exit_code::ExitCode;
pub use restart::Restart;
pub use worker_life::{Action, Event, Patience, Phase, WorkerLife};
