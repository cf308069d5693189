//! Decides: facts in, yes or no out, with the policies that said so.
use std::collections::{HashMap, HashSet};

use cedar_policy::{
    Authorizer, Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, PolicySet, Request,
    RestrictedExpression as Value,
};

use uuid::Uuid;

use crate::actions::{Action, Permissions};
use crate::facts::{Circumstances, Matter, Minute, Who};
use crate::files::{self, Files, PolicyError};
use crate::promises;
use crate::roles::{Role, Standing};

/// The policies in force, with what every decision needs made before.
pub struct Policy {
    set: PolicySet,
    digest: String,
    authorizer: Authorizer,
    names: Names,
}

/// What was decided, and by which policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub allowed: bool,
    /// The policies that decided it; of a refusal that nothing permits, none.
    pub reasons: Vec<Reason>,
    /// Policies that could not be evaluated. A refusal in any case.
    pub errors: Vec<String>,
}

/// A policy that decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Its file, line and name.
    pub policy: String,
    /// Its `@why`, if it has one.
    pub why: Option<String>,
}

struct Names {
    user: EntityTypeName,
    role: EntityTypeName,
    matter: EntityTypeName,
    house: EntityUid,
    /// With the groups they belong to, in the order of [`Action::ALL`].
    actions: Vec<Entity>,
}

impl Names {
    fn new() -> Self {
        let name = |text: &str| text.parse().expect("the schema has this type");
        let id = |kind: &str, id: &str| EntityUid::from_type_name_and_id(name(kind), EntityId::new(id));
        let known = files::schema().action_entities().expect("the schema's groups have no cycle");
        let action = |action: &Action| known.get(&id("Action", action.name())).expect("the schema has this action");
        Self {
            user: name("User"),
            role: name("Role"),
            matter: name("Matter"),
            house: id("House", "hotline"),
            actions: Action::ALL.iter().map(|asked| action(asked).clone()).collect(),
        }
    }
}

impl Policy {
    /// The policies of these files, if all of them can be used and none breaks a promise of the house.
    pub fn load(files: &Files) -> Result<Self, PolicyError> {
        let files::Loaded { set, digest } = files::load(files)?;
        let policy = Self { set, digest, authorizer: Authorizer::new(), names: Names::new() };
        match promises::broken(&policy) {
            broken if broken.is_empty() => Ok(policy),
            broken => Err(PolicyError::promises(broken)),
        }
    }

    /// Names the policies in force: hex of a SHA-256 over all of them.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    pub fn count(&self) -> usize {
        self.set.policies().count()
    }

    /// Whether `who` may do that with the matter, or at all.
    pub fn decide(&self, who: &Who, action: Action, matter: Option<&Matter>, when: &Circumstances) -> Decision {
        let response = match self.ask(who, action, matter, when) {
            Ok(response) => response,
            Err(error) => return Decision { allowed: false, reasons: Vec::new(), errors: vec![error] },
        };
        let errors: Vec<String> = response.diagnostics().errors().map(ToString::to_string).collect();
        let reason =
            |id| Reason { policy: ToString::to_string(id), why: self.set.annotation(id, "why").map(str::to_owned) };
        let mut reasons: Vec<Reason> = response.diagnostics().reason().map(reason).collect();
        reasons.sort_by(|a, b| a.policy.cmp(&b.policy));
        // A policy that fails is as if it were not there, and it might have been the one that forbids.
        let allowed = response.decision() == cedar_policy::Decision::Allow && errors.is_empty();
        Decision { allowed, reasons, errors }
    }

    /// What anybody of that standing may do at all: asked of the house, by nobody in particular.
    pub fn permissions(&self, standing: Standing, minute: Minute) -> Permissions {
        let who = Who { user: Uuid::nil(), standing };
        let when = Circumstances { minute, purpose: None };
        Action::ALL.iter().copied().filter(|action| self.decide(&who, *action, None, &when).allowed).collect()
    }

    fn ask(
        &self,
        who: &Who,
        action: Action,
        matter: Option<&Matter>,
        when: &Circumstances,
    ) -> Result<cedar_policy::Response, String> {
        let told = |error: &dyn std::fmt::Display| error.to_string();
        let user = self.user(who.user);
        let resource = matter.map_or_else(|| self.names.house.clone(), |matter| self.matter_id(matter.id));
        let broke_glass = matter.is_some_and(|matter| matter.is_granted(who.user, when.minute));
        let context = circumstances(when, broke_glass)?;
        let action = self.names.actions[action as usize].clone();
        let request =
            Request::new(user.clone(), action.uid(), resource.clone(), context, None).map_err(|error| told(&error))?;
        let mut entities = vec![self.who(who, user)?, action];
        if let Some(matter) = matter {
            entities.push(self.matter(matter, resource)?);
        }
        let entities = Entities::from_entities(entities, None).map_err(|error| told(&error))?;
        Ok(self.authorizer.is_authorized(&request, &self.set, &entities))
    }

    fn who(&self, who: &Who, id: EntityUid) -> Result<Entity, String> {
        let roles = who.standing.roles().map(|role| self.role(role)).collect();
        let Standing { clearance, factors, .. } = who.standing;
        let attributes = HashMap::from([
            ("clearance".to_owned(), Value::new_long(clearance as i64)),
            ("factors".to_owned(), Value::new_long(i64::from(factors))),
        ]);
        Entity::new(id, attributes, roles).map_err(|error| error.to_string())
    }

    fn matter(&self, matter: &Matter, id: EntityUid) -> Result<Entity, String> {
        let user = |user: &Uuid| Value::new_entity_uid(self.user(*user));
        let mut attributes = HashMap::from([
            ("classification".to_owned(), Value::new_long(matter.classification as i64)),
            ("state".to_owned(), Value::new_string(matter.state.clone())),
            ("jurisdiction".to_owned(), Value::new_string(matter.jurisdiction.clone())),
            ("walled".to_owned(), Value::new_set(matter.walled.iter().map(user))),
            ("team".to_owned(), Value::new_set(matter.team.iter().map(user))),
            ("followers".to_owned(), Value::new_set(matter.followers.iter().map(user))),
            ("held".to_owned(), Value::new_bool(matter.held)),
            ("withheld".to_owned(), Value::new_set(matter.withheld.iter().cloned().map(Value::new_string))),
        ]);
        for (name, id) in [("openedBy", &matter.opened_by), ("assignedTo", &matter.assigned_to)] {
            attributes.extend(id.as_ref().map(|id| (name.to_owned(), user(id))));
        }
        Entity::new(id, attributes, HashSet::new()).map_err(|error| error.to_string())
    }

    fn user(&self, id: Uuid) -> EntityUid {
        EntityUid::from_type_name_and_id(self.names.user.clone(), EntityId::new(id.to_string()))
    }

    fn matter_id(&self, id: Uuid) -> EntityUid {
        EntityUid::from_type_name_and_id(self.names.matter.clone(), EntityId::new(id.to_string()))
    }

    fn role(&self, role: Role) -> EntityUid {
        EntityUid::from_type_name_and_id(self.names.role.clone(), EntityId::new(role.name()))
    }
}

fn circumstances(when: &Circumstances, broke_glass: bool) -> Result<Context, String> {
    let (weekday, minute_of_day) = when.minute.of_the_week();
    let mut pairs = vec![
        ("weekday".to_owned(), Value::new_long(weekday)),
        ("minuteOfDay".to_owned(), Value::new_long(minute_of_day)),
        ("brokeGlass".to_owned(), Value::new_bool(broke_glass)),
    ];
    pairs.extend(when.purpose.map(|purpose| ("purpose".to_owned(), Value::new_string(purpose.name().to_owned()))));
    Context::from_pairs(pairs).map_err(|error| error.to_string())
}
