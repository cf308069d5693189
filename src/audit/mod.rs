//! The audit trail.
mod event;

pub use event::*;
