//! What reaches the desk from other threads: acts of operators, and what the custodian has done.
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, PoisonError};

use hotline::audit::disposal::{DisposalError, Due};
use hotline::telemetry::names;
use hotline::wire::LogAct;
use nix::sys::eventfd::{EfdFlags, EventFd};

/// Wakes whoever polls it while something is inside.
#[derive(Clone)]
pub struct Inbox {
    inner: Arc<Inner>,
}

struct Inner {
    wake: EventFd,
    notes: Mutex<VecDeque<Note>>,
}

/// One thing to attend to.
pub enum Note {
    /// An operator wants something done; the answer goes back under this number.
    Asked { request_id: u64, act: LogAct, uid: u32 },
    /// What is past its time, if anything.
    Found(Result<Option<Due>, DisposalError>),
    /// The files of a disposition are gone.
    Removed(Result<(), DisposalError>),
}

impl Inbox {
    pub fn new() -> io::Result<Self> {
        let wake = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        Ok(Self { inner: Arc::new(Inner { wake, notes: Mutex::default() }) })
    }

    /// False when too much is inside already.
    pub fn put(&self, note: Note) -> bool {
        let mut notes = self.inner.notes.lock().unwrap_or_else(PoisonError::into_inner);
        // The custodian does one thing at a time.
        if matches!(note, Note::Asked { .. }) && notes.len() >= NOTES_MAX {
            metrics::counter!(names::AUDIT_KEEPING_ACTS, "act" => "any", "outcome" => "refused").increment(1);
            return false;
        }
        notes.push_back(note);
        drop(notes);
        // Read again before the counter could overflow.
        let _ = self.inner.wake.write(1);
        true
    }

    pub(crate) fn take(&self) -> Option<Note> {
        let _ = self.inner.wake.read();
        self.inner.notes.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

impl AsFd for Inbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.wake.as_fd()
    }
}

/// Far more than there are visitors at the admin socket.
const NOTES_MAX: usize = 64;
