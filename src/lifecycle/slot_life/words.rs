//! What happens to a slot, what is to be done about it, and why nobody may live there.
use std::time::{Duration, Instant};

use crate::lifecycle::Order;

/// Counts the workers that have lived in a slot.
pub type Generation = u32;

/// How a successor follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Succession {
    /// Ready before the resident leaves.
    Overlap,
    /// After the resident has left: what it owns has one owner (the audit log).
    InTurn,
}

/// What happens to a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The slot is to be filled.
    Start,
    /// The resident is to be replaced.
    Roll,
    /// Nobody is to live here any more.
    Retire,
    /// Time passes.
    Tick,
    /// Time passes for this worker; `age` is the time since its last heartbeat.
    Beat { of: Generation, age: Duration },
    /// The worker said Ready.
    Ready { of: Generation },
    /// The process ended (`None`: by a signal), or could not be started.
    Exited { of: Generation, code: Option<i32> },
    /// The worker broke the protocol.
    Violated { of: Generation },
    /// The worker is of another build.
    Foreign { of: Generation },
}

/// What the shell has to do, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Spawn {
        generation: Generation,
    },
    Send {
        to: Generation,
        order: Order,
    },
    /// The roll is over. When it did not succeed, whatever it was for must be taken back before the next
    /// action is performed: that may be the spawn of a worker of the old kind.
    Rolled {
        succeeded: bool,
    },
    /// The slot has failed for good; tell why.
    GiveUp,
}

/// Why nobody is the resident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vacancy {
    /// Crashed; the next one comes at `until`.
    Waiting { until: Instant },
    /// Nobody is wanted.
    Stopped,
    /// Cannot work as things are; starting again would not help.
    Failed,
}
