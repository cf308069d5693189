//! What is under way: requests, and changes that must be carried through.
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::app::Shared;
use crate::connection::Connection;

/// Counts a change until it is carried through; a drain waits for it.
pub(super) struct Unfinished {
    app: Shared,
}

impl Unfinished {
    pub(super) fn begin(app: &Shared) -> Self {
        app.unfinished.fetch_add(1, Ordering::Relaxed);
        Self { app: Arc::clone(app) }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.app.unfinished.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts a request while it is being answered.
pub(super) struct Flight<'a> {
    app: &'a Shared,
    connection: &'a Connection,
}

impl<'a> Flight<'a> {
    pub(super) fn begin(app: &'a Shared, connection: &'a Connection) -> Self {
        app.meters.in_flight.increment(1.0);
        connection.begin(app.coarse_ms(), &app.config.limits);
        Self { app, connection }
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.app.meters.in_flight.decrement(1.0);
        self.connection.end(self.app.coarse_ms());
    }
}
