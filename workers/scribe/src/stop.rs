//! The wish that the scribe leaves, from the thread that hears it to the one that writes.
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::eventfd::{EfdFlags, EventFd};

/// Asked once; wakes whoever polls it.
#[derive(Clone)]
pub struct Stop {
    inner: Arc<Inner>,
}

struct Inner {
    wake: EventFd,
    until: Mutex<Option<Instant>>,
}

impl Stop {
    pub fn new() -> io::Result<Self> {
        let wake = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        Ok(Self { inner: Arc::new(Inner { wake, until: Mutex::new(None) }) })
    }

    /// Asks to leave within that time. Whoever asks again can only be more impatient.
    pub fn ask(&self, within: Duration) {
        let until = Instant::now() + within;
        let mut asked = self.inner.until.lock().unwrap_or_else(PoisonError::into_inner);
        *asked = Some(asked.map_or(until, |before| before.min(until)));
        drop(asked);
        // Never read, so the poll keeps seeing it; one write cannot overflow the counter.
        let _ = self.inner.wake.write(1);
    }

    pub fn is_asked(&self) -> bool {
        self.until().is_some()
    }

    /// When to be gone, once asked.
    pub fn until(&self) -> Option<Instant> {
        *self.inner.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsFd for Stop {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.wake.as_fd()
    }
}
