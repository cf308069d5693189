//! A change that is under way: where it stands, what it was before, who asked and what to tell them.
use std::rc::Rc;
use std::time::{Duration, Instant};

use hotline::lifecycle::{Generation, RollOut};

use super::plan::Plan;
use super::preflight::Preflight;

/// One change at a time.
pub(super) struct Change {
    /// The visitor of the admin socket who waits for the outcome; nobody when it was a signal.
    pub(super) asked_by: Option<u64>,
    pub(super) stage: Stage,
    /// How the last worker ended while the change was under way.
    last_end: Option<String>,
}

pub(super) enum Stage {
    /// A child reads the settings.
    Checking(Preflight),
    /// Workers read certificate and key again.
    Certificates(Certificates),
    /// Workers are replaced, one slot after the other.
    Rolling { roll_out: RollOut, before: Rc<Plan>, changed: Vec<String> },
}

/// Who has still to answer, and who refused.
pub(super) struct Certificates {
    pub(super) owed: Vec<(usize, Generation)>,
    pub(super) refused: Vec<String>,
    pub(super) until: Instant,
}

impl Change {
    pub(super) fn new(asked_by: Option<u64>, stage: Stage) -> Self {
        Self { asked_by, stage, last_end: None }
    }

    pub(super) fn preflight(&self) -> Option<&Preflight> {
        match &self.stage {
            Stage::Checking(preflight) => Some(preflight),
            _ => None,
        }
    }

    /// Remembers how a worker ended; only one that was on trial can have ended the change.
    pub(super) fn note_end(&mut self, end: &str) {
        if matches!(&self.stage, Stage::Rolling { roll_out, .. } if !roll_out.is_undoing()) {
            self.last_end = Some(end.to_owned());
        }
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

const ANSWER_WITHIN: Duration = Duration::from_secs(5);
