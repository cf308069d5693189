//! The harness: starts the real supervisor on free ports, speaks to it as a client would, and on
//! failure prints what every process logged.
mod aged;
mod browser;
mod http;
mod installation;
mod notify;
mod program;
mod service;
mod systemd;
mod token;
mod wait;

pub use aged::AgedHouse;
pub use browser::Browser;
pub use http::{Answer, Client, Request, Tls};
pub use installation::Installation;
pub use notify::ServiceManager;
pub use program::Program;
pub use service::{Hotline, Role, binaries, models, repository, sample_call, signal};
pub use systemd::Machine;
pub use token::{PIN as TOKEN_PIN, SoftToken};
pub use wait::{patience, until};

/// Waits for a condition; fails with the condition's text when patience ends.
#[macro_export]
macro_rules! assert_eventually {
    ($condition:expr) => {
        $crate::support::until(stringify!($condition), || $condition)
    };
}
