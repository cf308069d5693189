//! A worker's side of its life: born with three descriptors, it says who it is, learns what it needs,
//! serves, and leaves when it is asked to or when the supervisor is gone.
//!
//! The control socket has two threads of its own, so that a scrape is answered and a drain is heard
//! even while the worker's own loop is busy; the heartbeat is *not* theirs (see `board::heartbeat`).
mod confinement;
mod control;
mod entry;
#[cfg(test)]
mod tests;

pub use control::{Control, ControlSender, Incoming};
pub use entry::{Entered, enter};
