//! Waiting for one number, in whatever runtime, for a limited time.
//!
//! The sending thread wakes waiters when their record is on disk, and looks every few milliseconds
//! for those whose time is up; no timer of any runtime is needed.
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Instant;

use super::AuditError;
use super::state::Shared;

pub(super) struct Durable {
    shared: Arc<Shared>,
    number: u64,
    until: Instant,
    /// Set while we are among the waiters.
    waiter: Option<u64>,
}

impl Durable {
    pub(super) fn new(shared: Arc<Shared>, number: u64) -> Self {
        let until = Instant::now() + shared.wait_max;
        Self::until(shared, number, until)
    }

    pub(super) fn until(shared: Arc<Shared>, number: u64, until: Instant) -> Self {
        Self { shared, number, until, waiter: None }
    }
}

impl Future for Durable {
    type Output = Result<(), AuditError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let mut state = this.shared.lock();
        if state.is_durable(this.number) {
            return Poll::Ready(Ok(()));
        }
        if state.is_stopped() || Instant::now() >= this.until {
            return Poll::Ready(Err(AuditError::Late));
        }
        this.waiter = Some(state.wait(this.number, this.waiter, context.waker().clone(), this.until));
        Poll::Pending
    }
}

impl Drop for Durable {
    fn drop(&mut self) {
        if let Some(id) = self.waiter {
            self.shared.lock().forget(self.number, id);
        }
    }
}

/// Runs one future on this thread.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
