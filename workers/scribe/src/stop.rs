//! The wish that the scribe leaves, from the thread that hears it to the one that writes.
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use nix::sys::eventfd::{EfdFlags, EventFd};

/// Asked once; wakes whoever polls it.
#[derive(Clone)]
pub struct Stop {
    inner: Arc<Inner>,
}

struct Inner {
    wake: EventFd,
    until: OnceLock<Instant>,
}

impl Stop {
    pub fn new() -> io::Result<Self> {
        let wake = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        Ok(Self { inner: Arc::new(Inner { wake, until: OnceLock::new() }) })
    }

    /// Asks to leave within that time. The first wish counts.
    pub fn ask(&self, within: Duration) {
        self.inner.until.get_or_init(|| Instant::now() + within);
        // Never read, so the poll keeps seeing it; one write cannot overflow the counter.
        let _ = self.inner.wake.write(1);
    }

    pub fn is_asked(&self) -> bool {
        self.until().is_some()
    }

    /// When to be gone, once asked.
    pub fn until(&self) -> Option<Instant> {
        self.inner.until.get().copied()
    }
}

impl AsFd for Stop {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.wake.as_fd()
    }
}
