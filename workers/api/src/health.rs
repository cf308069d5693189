//! What an answer needs, checked one by one: the store, the keys, the scribe, the background worker,
//! room on the disk.
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hotline::wire::Role;
use parking_lot::Mutex;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;

/// One look at everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Report {
    pub(crate) store: Part,
    pub(crate) keys: Part,
    pub(crate) scribe: Part,
    pub(crate) background: Part,
    pub(crate) disk: Part,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Part {
    #[default]
    Ok,
    Failing,
}

/// The latest report; probes may come often, so the store is not asked for each.
#[derive(Default)]
pub(crate) struct Health {
    latest: Mutex<Report>,
    checked_ms: AtomicU64,
}

impl Health {
    pub(crate) fn latest(&self) -> Report {
        *self.latest.lock()
    }

    pub(crate) async fn check(&self, app: &Arc<App>) -> Report {
        let now_ms = app.now_ms();
        let before_ms = self.checked_ms.load(Ordering::Relaxed);
        // What holds is believed for a while; what does not may have mended itself since.
        let latest = self.latest();
        let fresh_ms = if latest.is_ready() { FRESH_MS } else { FRESH_FAILING_MS };
        if now_ms.saturating_sub(before_ms) < fresh_ms {
            return latest;
        }
        self.checked_ms.store(now_ms, Ordering::Relaxed);
        let report = Report {
            store: part(app.store_answers().await),
            keys: part(app.keys_are_there()),
            scribe: part(app.audit.healthy()),
            background: part(background_breathes(app, now_ms)),
            disk: part(has_room(&app.config.paths.state_dir)),
        };
        let mut latest = self.latest.lock();
        if *latest != report {
            tracing::warn!(?report, "readiness changed");
        }
        *latest = report;
        report
    }
}

impl Report {
    pub(crate) fn is_ready(&self) -> bool {
        [self.store, self.keys, self.scribe, self.background, self.disk] == [Part::Ok; 5]
    }
}

fn part(holds: bool) -> Part {
    if holds { Part::Ok } else { Part::Failing }
}

fn has_room(folder: &Path) -> bool {
    // Not being able to ask is no proof that the disk is full.
    nix::sys::statvfs::statvfs(folder)
        .map_or(true, |disk| disk.blocks_available().saturating_mul(disk.fragment_size()) >= ROOM_BYTES_MIN)
}

/// Any of them will do: they share one queue.
fn background_breathes(app: &App, now_ms: u64) -> bool {
    app.board.has_breathing(Role::Background, now_ms.saturating_sub(app.config.workers.heartbeat_late_ms))
}

const FRESH_FAILING_MS: u64 = 20;
const FRESH_MS: u64 = 1_000;
/// One upload of the largest size and the log of a busy day.
const ROOM_BYTES_MIN: u64 = 256 * 1024 * 1024;
