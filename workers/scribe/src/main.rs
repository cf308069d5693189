//! `hotline-scribe`: started by `hotline serve`, never by hand.
use std::panic;
use std::process;

use hotline::lifecycle::ExitCode;
use hotline::wire::Role;
use hotline::worker;

fn main() -> process::ExitCode {
    let entered = worker::enter(Role::Scribe);
    abort_on_panic();
    match hotline_scribe::run(entered) {
        Ok(()) => ExitCode::Clean.into(),
        Err(error) => {
            tracing::error!(%error, "could not start");
            error.exit_code().into()
        }
    }
}

/// A half-finished turn is not worth saving: the log recovers, and workers send again.
fn abort_on_panic() {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        report(panic);
        process::abort();
    }));
}
