//! What `hotline status` shows.
use std::sync::atomic::Ordering;
use std::time::Instant;

use hotline::board::HeartbeatCell;
use hotline::wire::BUILD_ID;

use super::Supervisor;
use super::process::Process;
use super::protocol::{Status, SupervisorStatus, WorkerStatus};
use super::slot::{SlotState, name_of};

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
            audit: self.log_keeping.clone(),
            workers: self.slots.iter().flat_map(|slot| self.slot_status(slot, now)).collect(),
        }
    }

    /// A row for whoever lives there, the resident first; an empty slot has one row, too.
    fn slot_status(&self, slot: &SlotState, now: Instant) -> Vec<WorkerStatus> {
        let resident = slot.resident();
        let mut rows = vec![self.row(slot, resident, slot.phase_name(), now)];
        let others =
            slot.processes.iter().filter(|process| resident.is_none_or(|r| r.generation != process.generation));
        rows.extend(others.map(|process| {
            let phase = slot.life.phase_of(process.generation).map_or("ending", name_of);
            self.row(slot, Some(process), phase, now)
        }));
        // Nobody but leavers: they are rows enough.
        if resident.is_none() && rows.len() > 1 {
            rows.remove(0);
        }
        rows
    }

    fn row(&self, slot: &SlotState, process: Option<&Process>, phase: &str, now: Instant) -> WorkerStatus {
        let cell = process.map(|process| self.board.cell(process.slot.cell));
        let count = |of: fn(&HeartbeatCell<'_>) -> u64| cell.as_ref().map_or(0, of);
        let uptime = process.map(|process| now.saturating_duration_since(process.started));
        WorkerStatus {
            slot: slot.name(),
            role: slot.role.name().to_owned(),
            pid: process.map(|process| process.pid),
            phase: phase.to_owned(),
            generation: process.map_or(0, |process| process.generation),
            build: process.map_or_else(String::new, |process| process.plan.programs().build_id.clone()),
            restarts: slot.restarts,
            uptime_seconds: uptime.unwrap_or_default().as_secs(),
            connections: count(|cell| cell.connections().load(Ordering::Relaxed)),
            requests: count(|cell| cell.requests().load(Ordering::Relaxed)),
            backlog: count(|cell| cell.backlog().load(Ordering::Relaxed)),
            rss_bytes: process.map_or(0, Process::rss_bytes),
            degraded: cell.as_ref().is_some_and(HeartbeatCell::is_degraded),
            listens_to: process.map(|process| process.listens_to.clone()).unwrap_or_default(),
            last_end: slot.last_end.clone(),
            confinement: slot.confinement.filter(|_| slot.life.is_serving()),
        }
    }
}
