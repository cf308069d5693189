//! Connections: taken from the listener, secured, served, watched, and let go.
//!
//! Nothing here waits without a bound. Deadlines of idle and half-spoken connections are looked after
//! by one sweep each second (see `registry`), because a timer for each request costs more than a request.
mod accept;
mod intake;
mod introduction;
mod registry;
mod serve;
mod watched;

pub(crate) use accept::{Doors, accept_until_drained};
pub(crate) use intake::{Intake, IntakeError};
pub(crate) use registry::{Connection, Connections};

#[cfg(test)]
pub(crate) mod tests;
