//! Whether somebody may do something with a matter: asked each time, for answers from the cache and for live events
//! too, so that what was allowed when a copy was made is not allowed for ever.
//!
//! What decisions are made of is kept beside the board's generation of the case, which every write moves; so a wall
//! that was acknowledged stands on every worker, and asking costs no query while nothing has changed.
use std::collections::HashMap;
use std::sync::Arc;

use hotline_domain::calls::Call;
use hotline_domain::cases::{self, Case, Sight, Sought};
use hotline_domain::evidence::EvidenceItem;
use hotline_domain::policy::{Action, Actor, Decision, Matter, Minute, Permissions};
use hotline_domain::store::StoreError;
use parking_lot::Mutex;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::app::App;
use crate::gate::{Caller, Principal};
use crate::problem::{Problem, Reply};
use crate::trail;

/// The matters that were asked about lately, each with the generation it belongs to.
#[derive(Default)]
pub(crate) struct Matters {
    known: Mutex<HashMap<Uuid, (u64, Arc<Matter>)>>,
}

impl Matters {
    fn find(&self, case: Uuid, generation: u64) -> Option<Arc<Matter>> {
        let known = self.known.lock();
        let (then, matter) = known.get(&case)?;
        (*then == generation).then(|| Arc::clone(matter))
    }

    fn keep(&self, case: Uuid, generation: u64, matter: Arc<Matter>) {
        let mut known = self.known.lock();
        if known.len() >= MATTERS_MAX {
            known.clear();
        }
        known.insert(case, (generation, matter));
    }
}

impl App {
    /// Whether the principal may do that with the case, now.
    pub(crate) async fn may(&self, principal: &Principal, action: Action, case: Uuid) -> Reply<bool> {
        if !principal.may(Permissions::of(action)) {
            return Ok(false);
        }
        let matter = self.matter(case).await.map_err(|error| self.broken(error))?;
        Ok(matter.is_some_and(|matter| self.domain.access.allows(&self.actor_now(principal), action, &matter)))
    }

    /// What the principal sees of the case, now; none if they may not read it.
    pub(crate) async fn sight(&self, principal: &Principal, case: Uuid) -> Reply<Option<Sight>> {
        if !self.may(principal, Action::CaseAccess, case).await? {
            return Ok(None);
        }
        let matter = self.matter(case).await.map_err(|error| self.broken(error))?;
        Ok(matter.map(|matter| self.domain.cases.sight(&self.actor_now(principal), &matter)))
    }

    /// What decisions about a case are made of, as it is now.
    pub(crate) async fn matter(&self, case: Uuid) -> Result<Option<Arc<Matter>>, StoreError> {
        // Taken before the store is asked: what is written meanwhile makes what we keep stale, not wrong.
        let generation = self.board.generation(cases::generation_key(case));
        if let Some(matter) = self.matters.find(case, generation) {
            return Ok(Some(matter));
        }
        let Some(matter) = self.domain.cases.matter(&case.to_string()).await?.map(Arc::new) else { return Ok(None) };
        self.matters.keep(case, generation, Arc::clone(&matter));
        Ok(Some(matter))
    }

    /// The case, for somebody who wants to do that with it. To whom it is denied it is nowhere, but for those who may
    /// read it: they are told why. A denial is recorded.
    pub(crate) async fn case_for(&self, caller: &Caller, action: Action, id: &str) -> Reply<(Case, Matter)> {
        caller.must(Permissions::of(action))?;
        let sought = self.domain.cases.find_for(&caller.principal.actor(), action, id).await;
        let (case, matter) = match sought.map_err(|error| self.broken(error))? {
            Sought::Found(found) => found,
            Sought::Nowhere => return Err(Problem::not_found()),
            Sought::Denied { id, decision } => {
                trail::withheld(self, &caller.visit, action, id, &decision);
                let may_read = self.may(&caller.principal, Action::CaseAccess, id).await?;
                return Err(if may_read { told_why(&decision) } else { Problem::not_found() });
            }
        };
        if shows_content(action) {
            self.must_read(caller, Action::CaseAccess, &matter)?;
        }
        if action == Action::AiUse {
            self.must_read(caller, Action::CaseIdentity, &matter)?;
        }
        Ok((case, matter))
    }

    /// The same for a call.
    pub(crate) async fn call_for(&self, caller: &Caller, action: Action, id: &str) -> Reply<Call> {
        let Ok(id) = Uuid::try_parse(id) else { return Err(Problem::not_found()) };
        let sought = self.domain.calls.find_for(&caller.principal.actor(), action, id).await;
        let (call, matter) = match sought.map_err(|error| self.broken(error))? {
            Sought::Found(found) => found,
            Sought::Nowhere => return Err(Problem::not_found()),
            Sought::Denied { id, decision } => {
                trail::withheld(self, &caller.visit, action, id, &decision);
                return Err(Problem::not_found());
            }
        };
        self.must_read(caller, Action::CallRead, &matter)?;
        Ok(call)
    }

    /// A piece of evidence, for somebody who wants to do that with its case. What it shows is what its people told, so
    /// whoever does not see who they are does not see it.
    pub(crate) async fn evidence_for(&self, caller: &Caller, action: Action, id: &str) -> Reply<(Case, EvidenceItem)> {
        let Ok(id) = Uuid::try_parse(id) else { return Err(Problem::not_found()) };
        let item = self.domain.evidence.find(id).await.map_err(|error| self.broken(error))?;
        let item = item.ok_or_else(Problem::not_found)?;
        Ok((self.case_with_evidence(caller, action, &item.case_id.to_string()).await?, item))
    }

    pub(crate) async fn case_with_evidence(&self, caller: &Caller, action: Action, id: &str) -> Reply<Case> {
        let (case, matter) = self.case_for(caller, action, id).await?;
        self.must_read(caller, Action::CaseIdentity, &matter)?;
        Ok(case)
    }

    fn must_read(&self, caller: &Caller, action: Action, matter: &Matter) -> Reply<()> {
        let actor = caller.principal.actor();
        if self.domain.access.allows(&actor, action, matter) {
            return Ok(());
        }
        let decision = self.domain.access.explain(&actor, action, Some(matter));
        trail::withheld(self, &caller.visit, action, matter.id, &decision);
        Err(Problem::not_found())
    }

    /// As of this minute, on connections that outlive one.
    fn actor_now(&self, principal: &Principal) -> Actor {
        let mut actor = principal.actor();
        actor.when.minute = Minute::of_ms(self.now_ms());
        actor
    }
}

/// What cannot be done without learning what is in the case.
fn shows_content(action: Action) -> bool {
    matches!(action, Action::CaseWrite | Action::CaseArchive | Action::AiUse)
}

/// 403 with the policies' own words.
pub(crate) fn told_why(decision: &Decision) -> Problem {
    let why: Vec<&str> = decision.reasons.iter().filter_map(|reason| reason.why.as_deref()).collect();
    match why.is_empty() {
        true => Problem::forbidden(),
        false => Problem::forbidden().detail(format!("Not allowed: {}.", why.join("; "))),
    }
}

/// For the record.
pub(crate) fn reasons(decision: &Decision) -> Value {
    let policies: Vec<&str> = decision.reasons.iter().map(|reason| reason.policy.as_str()).collect();
    json!({ "policies": policies, "errors": decision.errors })
}

/// At about 400 bytes each.
const MATTERS_MAX: usize = 16_384;
