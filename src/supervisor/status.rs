//! What `hotline status` shows.
use std::sync::atomic::Ordering;
use std::time::Instant;

use hotline::wire::BUILD_ID;

use super::Supervisor;
use super::protocol::{Status, SupervisorStatus, WorkerStatus};
use super::worker::SlotState;

impl Supervisor {
    pub(super) fn status(&self, now: Instant) -> Status {
        Status {
            supervisor: SupervisorStatus {
                pid: std::process::id(),
                version: BUILD_ID.to_owned(),
                uptime_seconds: now.saturating_duration_since(self.started).as_secs(),
            },
            address: self.address.to_string(),
            metrics: self.page.address.to_string(),
            workers: self.slots.iter().map(|slot| self.worker_status(slot, now)).collect(),
        }
    }

    fn worker_status(&self, slot: &SlotState, now: Instant) -> WorkerStatus {
        let cell = self.board.cell(slot.slot.cell);
        let uptime = slot.process.as_ref().map(|process| now.saturating_duration_since(process.started));
        WorkerStatus {
            slot: slot.slot.to_string(),
            role: slot.slot.role.name().to_owned(),
            pid: slot.process.as_ref().map(|process| process.pid),
            phase: slot.phase_name().to_owned(),
            generation: slot.generation,
            restarts: slot.restarts,
            uptime_seconds: uptime.unwrap_or_default().as_secs(),
            connections: cell.connections().load(Ordering::Relaxed),
            requests: cell.requests().load(Ordering::Relaxed),
            backlog: cell.backlog().load(Ordering::Relaxed),
            rss_bytes: slot.rss_bytes(),
            degraded: cell.is_degraded(),
            last_end: slot.last_end.clone(),
            confinement: slot.confinement.filter(|_| slot.life.is_serving()),
        }
    }
}
