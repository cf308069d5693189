//! Who may do what here: the policies asked about the house's own things, and decisions remembered.
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use metrics::Counter;

pub use hotline_policy::{
    Action, Circumstances, Clearance, Decision, Files, Grant, Matter, Minute, Permissions, Policy, PolicyError,
    Purpose, Reason, Role, Standing, Who, matrix,
};
use hotline_policy::{Ask, Remembered};

/// Who acts, with which standing, at this moment and what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Actor {
    pub who: Who,
    pub when: Circumstances,
}

/// The policies in force. Cheap to clone.
#[derive(Clone)]
pub struct Access(Arc<Inner>);

struct Inner {
    policy: Policy,
    remembered: Remembered,
    /// For the state of a matter: keyed, so that nobody can choose two states that look the same.
    hasher: RandomState,
    meters: Meters,
}

/// Decisions, by where they came from and what they were.
struct Meters {
    asked: [Counter; 2],
    remembered: [Counter; 2],
}

impl Access {
    pub fn load(files: &Files) -> Result<Self, PolicyError> {
        let policy = Policy::load(files)?;
        Ok(Self(Arc::new(Inner {
            policy,
            remembered: Remembered::new(DECISIONS_MAX),
            hasher: RandomState::new(),
            meters: Meters::new(),
        })))
    }

    pub fn policy(&self) -> &Policy {
        &self.0.policy
    }

    /// What somebody of that standing may do at all.
    pub fn permissions(&self, standing: Standing, minute: Minute) -> Permissions {
        if let Some(known) = self.0.remembered.of_house(standing, minute) {
            return known;
        }
        let permissions = self.0.policy.permissions(standing, minute);
        self.0.remembered.note_house(standing, minute, permissions);
        permissions
    }

    /// Whether the actor may do that with this matter, as it is now.
    pub fn allows(&self, actor: &Actor, action: Action, matter: &Matter) -> bool {
        let state = self.0.hasher.hash_one(matter);
        let ask = Ask { who: actor.who, action, matter: matter.id, state, when: actor.when };
        if let Some(allowed) = self.0.remembered.of_matter(&ask) {
            self.0.meters.remembered[usize::from(allowed)].increment(1);
            return allowed;
        }
        let allowed = self.explain(actor, action, Some(matter)).allowed;
        self.0.meters.asked[usize::from(allowed)].increment(1);
        self.0.remembered.note_matter(ask, allowed);
        allowed
    }

    /// The same with its reasons, asked anew.
    pub fn explain(&self, actor: &Actor, action: Action, matter: Option<&Matter>) -> Decision {
        self.0.policy.decide(&actor.who, action, matter, &actor.when)
    }

    pub fn remembered(&self) -> usize {
        self.0.remembered.len()
    }
}

impl Meters {
    fn new() -> Self {
        let of = |source| {
            ["denied", "allowed"].map(|outcome| {
            metrics::counter!(hotline::telemetry::names::POLICY_DECISIONS, "source" => source, "outcome" => outcome)
        })
        };
        Self { asked: of("engine"), remembered: of("memory") }
    }
}

/// At about 150 bytes each.
const DECISIONS_MAX: usize = 32_768;

#[cfg(test)]
impl Actor {
    /// Somebody with that role, two factors, and a reason for everything.
    pub(crate) fn example(user: uuid::Uuid, role: Role) -> Self {
        let who = Who { user, standing: Standing::new(&[role], None, 2) };
        let when = Circumstances { minute: Minute::of_ms(1_767_614_400_000), purpose: Some(Purpose::Intake) };
        Self { who, when }
    }
}
