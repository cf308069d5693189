//! A slot at rest, in words that another image of the supervisor can read and go on from.
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Generation, Roll, SlotLife, Succession, Tenant, Vacancy};
use crate::lifecycle::{Patience, Phase, ProcessLife, Restart};

/// What there is to know of a slot in which nobody comes or leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotRecord {
    /// Workers that have lived here.
    counted: Generation,
    restart: Restart,
    standing: Standing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Standing {
    Serving { generation: Generation, for_ms: u64 },
    Waiting { in_ms: u64 },
    Stopped,
    Failed,
}

impl SlotLife {
    /// Nothing while the slot is not at rest: somebody starts, leaves or is on trial.
    pub fn record(&self, now: Instant) -> Option<SlotRecord> {
        if self.roll != Roll::None || self.successor.is_some() || !self.leavers.is_empty() {
            return None;
        }
        let standing = match (&self.resident, self.vacancy) {
            (Some(Tenant { generation, life }), _) => match life.phase() {
                Phase::Serving { since } => {
                    Standing::Serving { generation: *generation, for_ms: ms(now.saturating_duration_since(since)) }
                }
                _ => return None,
            },
            (None, Vacancy::Waiting { until }) => Standing::Waiting { in_ms: ms(until.saturating_duration_since(now)) },
            (None, Vacancy::Stopped) => Standing::Stopped,
            (None, Vacancy::Failed) => Standing::Failed,
        };
        Some(SlotRecord { counted: self.generation, restart: self.restart.clone(), standing })
    }

    /// Goes on where a record was taken.
    pub fn resume(record: SlotRecord, succession: Succession, patience: Patience, now: Instant) -> Self {
        let mut life = Self::new(succession, patience, record.restart);
        life.generation = record.counted;
        match record.standing {
            Standing::Serving { generation, for_ms } => {
                // A machine that has not run for so long has a younger worker.
                let since = now.checked_sub(Duration::from_millis(for_ms)).unwrap_or(now);
                life.resident = Some(Tenant { generation, life: ProcessLife::serving(patience, since) });
            }
            Standing::Waiting { in_ms } => {
                life.vacancy = Vacancy::Waiting { until: now + Duration::from_millis(in_ms) };
            }
            Standing::Stopped => {}
            Standing::Failed => life.vacancy = Vacancy::Failed,
        }
        life
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
