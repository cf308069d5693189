//! What systemd is told: READY=1, WATCHDOG=1, RELOADING=1, STOPPING=1. Without `$NOTIFY_SOCKET`, nothing.
use std::os::fd::BorrowedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr;
use std::time::{Duration, Instant};

use hotline::sys;
use nix::time::{ClockId, clock_gettime};

/// The way to the service manager, if there is one.
pub(super) struct Notify {
    address: Option<SocketAddr>,
    watchdog_every: Option<Duration>,
    fed_at: Instant,
}

impl Notify {
    pub(super) fn from_environment(now: Instant) -> Self {
        let path = std::env::var("NOTIFY_SOCKET").ok();
        let address = path.and_then(|path| match path.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name).ok(),
            None => SocketAddr::from_pathname(path).ok(),
        });
        let watchdog_us: Option<u64> = std::env::var("WATCHDOG_USEC").ok().and_then(|us| us.parse().ok());
        // Twice as often as asked.
        Self { address, watchdog_every: watchdog_us.map(|us| Duration::from_micros(us / 2)), fed_at: now }
    }

    pub(super) fn say(&self, state: &str) {
        self.send(state, &[]);
    }

    fn send(&self, state: &str, fds: &[BorrowedFd<'_>]) {
        let Some(address) = &self.address else { return };
        if let Err(error) = sys::send_with(address, state, fds) {
            tracing::warn!(%error, state, "could not notify the service manager");
        }
    }

    /// Has a descriptor kept over the death of this process, and handed to the next one.
    pub(super) fn keep(&self, name: &str, fd: BorrowedFd<'_>) {
        // Not polled: a listener or a board that the manager thinks dead is still what callers wait at.
        self.send(&format!("FDSTORE=1\nFDNAME={name}\nFDPOLL=0"), &[fd]);
    }

    /// The opposite of `keep`.
    pub(super) fn forget(&self, name: &str) {
        self.send(&format!("FDSTOREREMOVE=1\nFDNAME={name}"), &[]);
    }

    /// Until the next READY=1. systemd wants to know when, on its own clock.
    pub(super) fn reloading(&self) {
        let now_us = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |now| Duration::from(now).as_micros());
        self.say(&format!("RELOADING=1\nMONOTONIC_USEC={now_us}"));
    }

    /// Called from the main loop only: if the loop hangs, the dog barks.
    pub(super) fn feed_watchdog(&mut self, now: Instant) {
        if self.watchdog_every.is_some_and(|every| now.saturating_duration_since(self.fed_at) >= every) {
            self.fed_at = now;
            self.say("WATCHDOG=1");
        }
    }
}
