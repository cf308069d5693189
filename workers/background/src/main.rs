//! `hotline-background`: started by `hotline serve`, never by hand.
#![forbid(unsafe_code)]

use hotline::wire::Role;

fn main() -> std::process::ExitCode {
    let entered = hotline::worker::enter(Role::Background);
    hotline_background::runner::run(entered).into()
}
