//! A change that is under way: where it stands, what it was before, who asked and what to tell them.
use std::rc::Rc;
use std::time::{Duration, Instant};

use hotline::lifecycle::{Generation, RollOut};

use super::plan::{Plan, Programs};
use super::preflight::Preflight;

/// One change at a time.
pub(super) struct Change {
    /// The visitor of the admin socket who waits for the outcome; nobody when it was a signal.
    pub(super) asked_by: Option<u64>,
    pub(super) stage: Stage,
    /// A step of `key_work`, which goes on when every worker has been replaced.
    pub(super) is_for_keys: bool,
    /// How the last worker ended while the change was under way.
    last_end: Option<String>,
}

pub(super) enum Stage {
    /// A child reads the settings; of an upgrade, the new image itself.
    Checking { preflight: Preflight, programs: Option<Programs> },
    /// Workers read certificate and key again.
    Certificates(Certificates),
    /// Workers are replaced, one slot after the other.
    Rolling(Rolling),
    /// The supervisor is to be replaced as soon as nothing is under way.
    Gathering { to: Image, until: Instant },
}

impl Stage {
    pub(super) fn gathering(to: Image, now: Instant) -> Self {
        Self::Gathering { to, until: now + GATHER_WITHIN }
    }
}

/// A change on its way through the slots.
pub(super) struct Rolling {
    pub(super) roll_out: RollOut,
    pub(super) before: Rc<Plan>,
    /// To be told at the end.
    pub(super) what: String,
    /// No new worker may end badly until this long after the last one became ready. Zero: nobody watches.
    pub(super) grace: Duration,
    proven_at: Option<Instant>,
}

/// The image of the supervisor that goes on.
#[derive(Clone)]
pub(super) enum Image {
    /// Of a new build, which rolls the workers to this plan.
    Next(Rc<Plan>),
    /// The one before: the upgrade was taken back.
    Former { reason: String },
}

/// Who has still to answer, and who refused.
pub(super) struct Certificates {
    pub(super) owed: Vec<(usize, Generation)>,
    pub(super) refused: Vec<String>,
    pub(super) until: Instant,
}

impl Change {
    pub(super) fn new(asked_by: Option<u64>, stage: Stage) -> Self {
        Self { asked_by, stage, is_for_keys: false, last_end: None }
    }

    /// Replaces every worker, so that all have the keys of now.
    pub(super) fn for_keys(rolling: Rolling) -> Self {
        Self { is_for_keys: true, ..Self::new(None, Stage::Rolling(rolling)) }
    }

    pub(super) fn preflight(&self) -> Option<&Preflight> {
        match &self.stage {
            Stage::Checking { preflight, .. } => Some(preflight),
            _ => None,
        }
    }

    /// Remembers how a worker ended; only one that was on trial can have ended the change.
    pub(super) fn note_end(&mut self, end: &str) {
        if matches!(&self.stage, Stage::Rolling(rolling) if !rolling.roll_out.is_undoing()) {
            self.last_end = Some(end.to_owned());
        }
    }

    /// New visitors and scrapes would only keep the service from coming to rest.
    pub(super) fn is_gathering(&self) -> bool {
        matches!(self.stage, Stage::Gathering { .. })
    }

    pub(super) fn last_end(&self) -> &str {
        self.last_end.as_deref().unwrap_or("a worker did not become ready")
    }
}

impl Certificates {
    pub(super) fn asked_of(owed: Vec<(usize, Generation)>, now: Instant) -> Self {
        Self { owed, refused: Vec::new(), until: now + ANSWER_WITHIN }
    }

    /// That worker answered, or is gone.
    pub(super) fn answered(&mut self, by: (usize, Generation), refused: Option<String>) {
        if let Some(at) = self.owed.iter().position(|owed| *owed == by) {
            self.owed.remove(at);
            self.refused.extend(refused);
        }
    }
}

impl Rolling {
    pub(super) fn new(roll_out: RollOut, before: Rc<Plan>, what: String, grace: Duration) -> Self {
        Self { roll_out, before, what, grace, proven_at: None }
    }

    /// Every slot has the change: true when it has also held for the grace period.
    pub(super) fn has_held(&mut self, now: Instant) -> bool {
        now >= *self.proven_at.get_or_insert(now + self.grace)
    }
}

/// Longer than any worker takes to leave by default.
const GATHER_WITHIN: Duration = Duration::from_secs(60);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
