//! Ticket keys on their way to the API workers: after the welcome and at each rotation. No other role hears of
//! them, and they are never written down.
use std::time::{Duration, Instant};

use hotline::config::Tls;
use hotline::lifecycle::Generation;
use hotline::telemetry::names;
use hotline::tickets::{NoRandomness, Rotation};
use hotline::wire::{Role, ToWorker};

use super::Supervisor;

/// After the recorder is installed: a series that is there from the start shows the first rotation.
pub(super) fn start(tls: &Tls, now: Instant) -> Result<Rotation, NoRandomness> {
    metrics::counter!(names::TICKET_KEY_ROTATIONS).increment(0);
    Rotation::start(Duration::from_secs(tls.ticket_lifetime_seconds.into()), now)
}

impl Supervisor {
    /// To a worker that was just welcomed.
    pub(super) fn tell_ticket_keys(&mut self, index: usize, of: Generation) {
        if self.slots[index].role == Role::Api {
            let message = ToWorker::TicketKeys(self.tickets.keys().clone());
            self.tell(index, of, &message);
        }
    }

    pub(super) fn rotate_ticket_keys(&mut self, now: Instant) {
        match self.tickets.on(now) {
            Ok(0) => return,
            Ok(rotations) => metrics::counter!(names::TICKET_KEY_ROTATIONS).increment(rotations.into()),
            Err(error) => return tracing::error!(%error, "the ticket keys stay as they are for now"),
        }
        for index in 0..self.slots.len() {
            // Whoever has not said hello yet gets the new ones after its welcome.
            let welcomed = self.slots[index].processes.iter().filter(|process| process.link.is_welcomed());
            for of in welcomed.map(|process| process.generation).collect::<Vec<_>>() {
                self.tell_ticket_keys(index, of);
            }
        }
    }
}
