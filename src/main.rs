//! The supervisor and the command line in one executable. Both are private to it: no worker can import them.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::print_stdout))]

/// What people and scripts type.
mod cli;
/// Keeps the workers alive and the listeners open.
mod supervisor;

fn main() -> std::process::ExitCode {
    cli::run()
}
