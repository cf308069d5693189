//! The public face of the hotline: TLS, HTTP/1.1, HTTP/2 and WebSocket behind one gate.
//!
//! One process for each listener, pinned to a CPU, one thread for all requests. It binds nothing: the
//! listener, the keys and the configuration come from the supervisor that started it.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::print_stdout))]

/// Who begins, who waits, who is refused when the worker is full.
mod admission;
/// What every request of this worker shares.
mod app;
/// How much of its time the request runtime works.
mod busy;
/// Sealed answers, one disposable folder for each slot.
mod cache;
/// From accept to farewell.
mod connection;
/// What the supervisor needs a worker for.
mod duties;
/// Identity, limits, origin, headers: what every request passes.
mod gate;
/// Whether everything an answer needs is there.
mod health;
/// Strict JSON bodies.
mod json;
/// WebSockets and what they are told.
mod live;
/// Whether somebody may do something with a matter.
mod matters;
/// Registered metric handles.
mod meters;
/// `hotline policy check`.
mod policy_check;
/// Refusals, rendered in one place.
mod problem;
/// The domain, as this worker asks it.
mod rooms;
/// The handlers and the generated document.
mod routes;
#[cfg(test)]
mod testing;
mod tls;
/// What goes into the audit log, and who waits for it.
mod trail;
/// Recordings on their way in.
mod upload;
/// The worker's life: start, ticks, drain.
mod worker;

use hotline::wire::Role;

fn main() -> std::process::ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    if let (Some(command), Some(folder)) = (arguments.next(), arguments.next())
        && command == "check-policy"
    {
        return policy_check::run(std::path::Path::new(&folder));
    }
    worker::run(hotline::worker::enter(Role::Api)).into()
}
