//! Tells API workers whose listeners to accept on, so that no caller waits behind a closed door.
use std::time::Instant;

use hotline::lifecycle::shelter::{Standing, assign};
use hotline::telemetry::names;
use hotline::wire::{Role, ToWorker};

use super::Supervisor;
use super::slot::SlotState;

impl Supervisor {
    /// Looks at who serves and tells those for whom something has changed.
    pub(super) fn shelter(&mut self, now: Instant) {
        if self.stopping.is_some() {
            return;
        }
        let board = &self.board;
        let mut api: Vec<&mut SlotState> = self.slots.iter_mut().filter(|slot| slot.role == Role::Api).collect();
        let standings: Vec<Standing> = api
            .iter_mut()
            .map(|slot| Standing {
                is_away: slot.is_away(board, now),
                listeners: slot.resident().map_or(0, |process| process.listeners),
                server: slot.server().map(|process| process.generation),
            })
            .collect();
        let before: Vec<Vec<u16>> = api
            .iter()
            .map(|slot| slot.resident().map(|process| process.listens_to.clone()).unwrap_or_default())
            .collect();
        for (slot, mut listens_to) in api.into_iter().zip(assign(&standings, &before)) {
            let Some(process) = slot.server() else { continue };
            // While the slot's own listener is elsewhere too, its silent worker must find it when it wakes up.
            listens_to.sort_unstable();
            if process.listens_to == listens_to {
                continue;
            }
            let adopted = listens_to.iter().filter(|index| !process.listens_to.contains(index)).count();
            metrics::counter!(names::LISTENERS_SHELTERED).increment(adopted as u64);
            if listens_to.len() > 1 || process.listens_to.len() > 1 {
                tracing::warn!(slot = %process.slot, listeners = ?listens_to, "accepts on these listeners from now on");
            }
            if process.link.send(&ToWorker::Listen { slots: listens_to.clone() }) {
                process.listens_to = listens_to;
            }
        }
    }
}
