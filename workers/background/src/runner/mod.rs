//! Takes calls from the durable queue, one at a time, and sees each through to a case or a named failure.
//!
//! The main loop beats, leases and listens for the drain; whatever takes long (disk, speech, vectors)
//! runs on blocking threads, so a call of an hour never makes the worker look dead. Every effect is
//! recorded in the audit log before it becomes visible, and becomes visible in one transaction, so a
//! worker may be killed at any point: the lease runs out and another begins the call again.
mod first_administrator;
mod job;
mod life;
mod models;
mod reseal;
mod stop;
#[cfg(test)]
mod testing;
mod told;
mod trail;
mod watch;

pub use life::run;
