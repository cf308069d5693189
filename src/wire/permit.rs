//! What a worker may ask, when, and how often: a table. Anything else ends the worker.
//!
//! The public worker may be taken over by what it parses; then this table is what is left between it
//! and the keys.
use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::message::{FromWorker, Role};
use crate::vault::KeyClass;

/// The kinds of message a worker sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    AdminReply,
    CannotStart,
    CertificateReloaded,
    Drained,
    DutyDone,
    Hello,
    LogKeeping,
    Metrics,
    Publish,
    Ready,
    UnwrapKey,
}

/// How far a worker has come, as far as its permissions go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Exec'ed; may only say who it is.
    Unknown,
    /// Welcomed; fetches its keys and opens what it needs.
    Starting,
    /// Said Ready.
    Serving,
}

/// How often within a stage.
#[derive(Clone, Copy, Debug)]
enum Times {
    Once,
    PerMinute(u32),
}

/// A message that the table does not allow. The worker that sent it is ended.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Violation {
    #[error("{role:?} may not send {kind:?} while {stage:?}")]
    NotNow { role: Role, stage: Stage, kind: Kind },
    #[error("{role:?} sent {kind:?} too often while {stage:?}")]
    TooOften { role: Role, stage: Stage, kind: Kind },
    #[error("{role:?} may not have the {class:?} key")]
    Key { role: Role, class: KeyClass },
}

/// One worker's standing with the table.
pub struct Permits {
    role: Role,
    stage: Stage,
    used: HashMap<Kind, (u32, Instant)>,
}

impl Permits {
    pub fn new(role: Role) -> Self {
        Self { role, stage: Stage::Unknown, used: HashMap::new() }
    }

    /// A worker that said Ready to an earlier image of the supervisor.
    pub fn serving(role: Role) -> Self {
        Self { stage: Stage::Serving, ..Self::new(role) }
    }

    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// Allows the message or says why not. `Hello` and `Ready` move the worker to its next stage.
    pub fn admit(&mut self, message: &FromWorker, now: Instant) -> Result<(), Violation> {
        let (role, stage, kind) = (self.role, self.stage, Kind::of(message));
        let row = PERMITTED.iter().find(|(in_stage, of_kind, _)| (*in_stage, *of_kind) == (stage, kind));
        let Some((_, _, times)) = row else { return Err(Violation::NotNow { role, stage, kind }) };
        // Whoever has no log has nothing to say about one.
        if kind == Kind::LogKeeping && role != Role::Scribe {
            return Err(Violation::NotNow { role, stage, kind });
        }
        if let FromWorker::UnwrapKey { class } = message
            && !keys_of(role).contains(class)
        {
            return Err(Violation::Key { role, class: *class });
        }
        if !self.count(kind, *times, now) {
            return Err(Violation::TooOften { role, stage, kind });
        }
        match kind {
            Kind::Hello => self.enter(Stage::Starting),
            Kind::Ready => self.enter(Stage::Serving),
            _ => {}
        }
        Ok(())
    }

    fn count(&mut self, kind: Kind, times: Times, now: Instant) -> bool {
        let (used, since) = self.used.entry(kind).or_insert((0, now));
        let limit = match times {
            Times::Once => 1,
            Times::PerMinute(limit) => {
                if now.saturating_duration_since(*since) >= Duration::from_secs(60) {
                    (*used, *since) = (0, now);
                }
                limit
            }
        };
        *used += 1;
        *used <= limit
    }

    fn enter(&mut self, stage: Stage) {
        self.stage = stage;
        self.used.clear();
    }
}

impl Kind {
    fn of(message: &FromWorker) -> Self {
        match message {
            FromWorker::AdminReply { .. } => Self::AdminReply,
            FromWorker::CannotStart { .. } => Self::CannotStart,
            FromWorker::CertificateReloaded { .. } => Self::CertificateReloaded,
            FromWorker::Drained => Self::Drained,
            FromWorker::DutyDone { .. } => Self::DutyDone,
            FromWorker::Hello { .. } => Self::Hello,
            FromWorker::LogKeeping(_) => Self::LogKeeping,
            FromWorker::Metrics { .. } => Self::Metrics,
            FromWorker::Publish(_) => Self::Publish,
            FromWorker::Ready(_) => Self::Ready,
            FromWorker::UnwrapKey { .. } => Self::UnwrapKey,
        }
    }
}

/// The data keys a role needs for its duty; the rest it can never ask for.
pub fn keys_of(role: Role) -> &'static [KeyClass] {
    use KeyClass::{Audit, BlindIndex, Cache, Call, Case, LogSigning, Person, Token};
    match role {
        Role::Api => &[Cache, Case, Call, BlindIndex, Person, Token],
        Role::Background => &[Case, Call, BlindIndex, Person],
        Role::Scribe => &[Audit, LogSigning],
    }
}

const PERMITTED: &[(Stage, Kind, Times)] = &[
    (Stage::Unknown, Kind::Hello, Times::Once),
    // Eight classes; some slack for a worker that asks again.
    (Stage::Starting, Kind::UnwrapKey, Times::PerMinute(20)),
    (Stage::Starting, Kind::Ready, Times::Once),
    (Stage::Starting, Kind::Metrics, Times::PerMinute(600)),
    (Stage::Starting, Kind::Drained, Times::Once),
    (Stage::Starting, Kind::CannotStart, Times::Once),
    (Stage::Serving, Kind::UnwrapKey, Times::PerMinute(20)),
    // A scrape each 100 ms is more than any monitoring asks.
    (Stage::Serving, Kind::Metrics, Times::PerMinute(600)),
    // 2,000 writes a second, each telling two topics.
    (Stage::Serving, Kind::Publish, Times::PerMinute(240_000)),
    (Stage::Serving, Kind::AdminReply, Times::PerMinute(6_000)),
    (Stage::Serving, Kind::CertificateReloaded, Times::PerMinute(600)),
    (Stage::Serving, Kind::DutyDone, Times::PerMinute(600)),
    (Stage::Serving, Kind::LogKeeping, Times::PerMinute(6_000)),
    (Stage::Serving, Kind::Drained, Times::Once),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Confinement, LogKeeping};

    const READY: FromWorker =
        FromWorker::Ready(Confinement { uid: 0, no_new_privileges: true, calls_filtered: true, landlock_abi: 0 });

    fn hello(role: Role) -> FromWorker {
        FromWorker::Hello { wire_version: 1, build_id: String::new(), role, pid: 1 }
    }

    #[test]
    fn a_worker_says_who_it_is_first_and_once() {
        let now = Instant::now();
        let mut permits = Permits::new(Role::Api);
        assert!(matches!(permits.admit(&READY, now), Err(Violation::NotNow { .. })));
        permits.admit(&hello(Role::Api), now).unwrap();
        assert!(matches!(permits.admit(&hello(Role::Api), now), Err(Violation::NotNow { .. })));
        permits.admit(&READY, now).unwrap();
        assert_eq!(permits.stage(), Stage::Serving);
        assert!(permits.admit(&READY, now).is_err());
    }

    #[test]
    fn a_role_gets_its_own_keys_and_no_others() {
        let now = Instant::now();
        for role in [Role::Api, Role::Background, Role::Scribe] {
            let mut permits = Permits::new(role);
            permits.admit(&hello(role), now).unwrap();
            for class in KeyClass::ALL {
                let allowed = permits.admit(&FromWorker::UnwrapKey { class }, now).is_ok();
                assert_eq!(allowed, keys_of(role).contains(&class), "{role:?} {class:?}");
            }
        }
        assert!(!keys_of(Role::Api).contains(&KeyClass::Audit), "the public worker cannot read the log");
    }

    #[test]
    fn only_the_scribe_tells_how_the_log_is_kept() {
        let now = Instant::now();
        for role in [Role::Api, Role::Background, Role::Scribe] {
            let mut permits = Permits::serving(role);
            let told = permits.admit(&FromWorker::LogKeeping(LogKeeping::default()), now);
            assert_eq!(told.is_ok(), role == Role::Scribe, "{role:?}");
        }
    }

    #[test]
    fn a_budget_per_minute_comes_back() {
        let start = Instant::now();
        let mut permits = Permits::new(Role::Api);
        permits.admit(&hello(Role::Api), start).unwrap();
        permits.admit(&READY, start).unwrap();
        let ask = FromWorker::UnwrapKey { class: KeyClass::Case };
        (0..20).for_each(|_| permits.admit(&ask, start).unwrap());
        assert!(matches!(permits.admit(&ask, start), Err(Violation::TooOften { .. })));
        permits.admit(&ask, start + Duration::from_secs(60)).unwrap();
    }
}
