//! Cases: opened once, read by those who may, changed only by somebody who saw the newest version.
mod callers;
mod disposal;
#[cfg(test)]
mod disposal_tests;
mod document;
#[cfg(test)]
mod guard_tests;
mod guards;
mod history;
mod list;
mod number;
mod shape;
mod sight;
#[cfg(test)]
mod sight_tests;
mod state;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use hotline::lifecycle::clock;
use hotline::vault::Vault;
use uuid::Uuid;

pub use callers::CaseForCaller;
pub use disposal::{Due, DuePage, DueQuery};
pub use document::generation_key;
pub(crate) use document::{for_list, from_row, to_row};
pub use guards::{Consent, Guard, GuardKind, NewGuard, check_reason};
pub(crate) use guards::{clearance_for, surrounded};
pub use history::{CaseVersion, VersionPage, VersionQuery};
pub use number::CaseNumber;
pub use shape::{Case, CaseChange, CaseOrder, CasePage, Contact, Invalid, ListQuery, NewCase};
pub(crate) use shape::{check_codes, check_text};
pub use sight::Sight;
pub use state::{CaseState, Classification};

use self::list::moment;
use crate::once::Once;
use crate::policy::{Access, Action, Actor, Decision, Matter};
use crate::store::{self, CaseKey, CaseRow, Inserted, Store, StoreError};
use crate::subjects::SubjectKeys;
use crate::triage::UrgencyLevel;

/// The room of cases.
#[derive(Clone)]
pub struct Cases {
    store: Arc<dyn Store>,
    vault: Arc<Vault>,
    keys: SubjectKeys,
    access: Access,
    default_jurisdiction: String,
}

/// What looking for something came to.
pub enum Sought<T> {
    Found(T),
    /// It is there, and not for this actor. To them it looks like nowhere.
    Denied {
        id: Uuid,
        decision: Decision,
    },
    Nowhere,
}

/// Why a case was not opened, listed or changed.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What became of opening a case.
pub enum Opened {
    Done(Box<Case>),
    /// The same request was carried out before; this is what it made, as it was then.
    Before(Box<Case>),
    /// The key was used for another request.
    OtherRequest,
}

/// What became of a change.
pub enum Updated {
    Done(Box<Case>),
    Conflict {
        current_version: u32,
    },
    /// They may read it and not do this.
    Denied(Decision),
    NotFound,
}

impl<T> Sought<T> {
    pub fn found(self) -> Option<T> {
        match self {
            Self::Found(found) => Some(found),
            Self::Denied { .. } | Self::Nowhere => None,
        }
    }
}

impl Cases {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        vault: Arc<Vault>,
        keys: SubjectKeys,
        access: Access,
        default_jurisdiction: String,
    ) -> Self {
        Self { store, vault, keys, access, default_jurisdiction }
    }

    /// The caller chose the id, so that the act could be recorded before it is done.
    pub async fn create(&self, id: Uuid, actor: &Actor, new: NewCase, once: Option<Once>) -> Result<Opened, CaseError> {
        new.check()?;
        let now_ms = clock::now_ms().cast_signed();
        let mut case = self.first_version(id, actor, new, now_ms);
        let (keys, subject) = self.keys.fresh()?;
        for _ in 0..NUMBERS_TRIED_MAX {
            case.case_number = random_number()?.to_string();
            let row = to_row(&keys, &case, now_ms, now_ms)?;
            match self.store.insert_case(row, Some(subject.clone()), once.as_ref().map(Once::row)).await? {
                Inserted::Done => return Ok(Opened::Done(Box::new(case))),
                Inserted::Before { id } => return Ok(Opened::Before(Box::new(self.version(id, 1).await?))),
                Inserted::OtherRequest => return Ok(Opened::OtherRequest),
                Inserted::NumberTaken => {}
                Inserted::QueueFull => return Err(StoreError::Busy.into()),
            }
        }
        Err(StoreError::Busy.into())
    }

    /// The case with this id or number, if there is one that the actor may read.
    pub async fn find(&self, actor: &Actor, id_or_number: &str) -> Result<Sought<Case>, StoreError> {
        let sought = self.find_for(actor, Action::CaseAccess, id_or_number).await?;
        Ok(match sought {
            Sought::Found((case, matter)) => Sought::Found(self.shown(actor, case, &matter)),
            Sought::Denied { id, decision } => Sought::Denied { id, decision },
            Sought::Nowhere => Sought::Nowhere,
        })
    }

    /// As much of a case as this reader of it sees.
    pub fn shown(&self, actor: &Actor, mut case: Case, matter: &Matter) -> Case {
        self.sight(actor, matter).mask(&mut case);
        case
    }

    pub fn sight(&self, actor: &Actor, matter: &Matter) -> Sight {
        Sight::of(&self.access, actor, matter)
    }

    /// The same for something else than reading it; all of it, whatever the actor sees.
    pub async fn find_for(
        &self,
        actor: &Actor,
        action: Action,
        id_or_number: &str,
    ) -> Result<Sought<(Case, Matter)>, StoreError> {
        let Some((case, matter)) = self.look_up(id_or_number).await? else { return Ok(Sought::Nowhere) };
        if !self.access.allows(actor, action, &matter) {
            return Ok(Sought::Denied { id: case.id, decision: self.access.explain(actor, action, Some(&matter)) });
        }
        if case.erased { Err(StoreError::Erased) } else { Ok(Sought::Found((case, matter))) }
    }

    /// What decisions about a case are made of, whoever asks.
    pub async fn matter(&self, id_or_number: &str) -> Result<Option<Matter>, StoreError> {
        Ok(self.look_up(id_or_number).await?.map(|(_, matter)| matter))
    }

    async fn look_up(&self, id_or_number: &str) -> Result<Option<(Case, Matter)>, StoreError> {
        let number = || CaseNumber::parse(id_or_number).map(|number| CaseKey::Number(number.to_string()));
        let Some(key) = Uuid::parse_str(id_or_number).ok().map(CaseKey::Id).or_else(number) else { return Ok(None) };
        self.store.case(key).await?.map(|row| self.with_matter(&row)).transpose()
    }

    /// An erased one without its content.
    fn with_matter(&self, row: &CaseRow) -> Result<(Case, Matter), StoreError> {
        let case = for_list(&self.keys, row)?;
        let matter = guards::matter_of(&case, &row.guards)?;
        Ok((case, matter))
    }

    pub(crate) async fn subject_of(&self, case: Uuid) -> Result<Uuid, StoreError> {
        let row = self.store.case(CaseKey::Id(case)).await?;
        Ok(row.ok_or(StoreError::Malformed { what: "no such case" })?.subject)
    }

    /// Changes the version that the caller saw.
    pub async fn update(
        &self,
        actor: &Actor,
        id_or_number: &str,
        expected_version: u32,
        mut change: CaseChange,
    ) -> Result<Updated, CaseError> {
        change.check()?;
        let found = self.find_for(actor, Action::CaseAccess, id_or_number).await?.found();
        let Some((mut case, matter)) = found else { return Ok(Updated::NotFound) };
        let archives = change.state == Some(CaseState::Archived) && case.state != CaseState::Archived;
        for action in [Some(Action::CaseWrite), archives.then_some(Action::CaseArchive)].into_iter().flatten() {
            if !self.access.allows(actor, action, &matter) {
                return Ok(Updated::Denied(self.access.explain(actor, action, Some(&matter))));
            }
        }
        if case.version != expected_version {
            return Ok(Updated::Conflict { current_version: case.version });
        }
        let created_at_ms = moment("/createdAt", Some(&case.created_at))?.unwrap_or_default();
        let now_ms = clock::now_ms().cast_signed();
        let sight = self.sight(actor, &matter);
        sight.keep_unseen(&case, &mut change);
        apply(&mut case, change)?;
        case.version += 1;
        case.updated_at = clock::rfc3339(now_ms);
        case.updated_by = Some(actor.who.user);
        let subject = self.subject_of(case.id).await?;
        let keys = self.keys.of(subject).await?;
        let row = to_row(&keys, &case, created_at_ms, now_ms)?;
        Ok(match self.store.update_case(row).await? {
            store::Updated::Done => {
                sight.mask(&mut case);
                Updated::Done(Box::new(case))
            }
            store::Updated::Conflict { current_version } => Updated::Conflict { current_version },
            store::Updated::NotFound => Updated::NotFound,
        })
    }

    async fn version(&self, id: Uuid, version: u32) -> Result<Case, StoreError> {
        let row = self.store.case_version(id, version).await?;
        from_row(&self.keys, &row.ok_or(StoreError::Malformed { what: "a key without its case" })?)
    }

    fn first_version(&self, id: Uuid, actor: &Actor, new: NewCase, now_ms: i64) -> Case {
        Case {
            id,
            case_number: String::new(),
            version: 1,
            state: CaseState::New,
            classification: new.classification.unwrap_or(Classification::Confidential),
            title: new.title,
            caller_name: new.caller_name,
            contact: new.contact,
            narrative: new.narrative,
            jurisdiction: new.jurisdiction.unwrap_or_else(|| self.default_jurisdiction.clone()),
            language: new.language,
            urgency: new.urgency.unwrap_or(UrgencyLevel::Routine),
            issues: new.issues,
            deadlines: Vec::new(),
            assigned_to: new.assigned_to,
            call_id: None,
            created_by: Some(actor.who.user),
            created_at: clock::rfc3339(now_ms),
            updated_at: clock::rfc3339(now_ms),
            updated_by: Some(actor.who.user),
            masked: Vec::new(),
            erased: false,
        }
    }
}

pub(crate) fn random_number() -> Result<CaseNumber, StoreError> {
    CaseNumber::random().ok_or_else(|| StoreError::Failed("no randomness".to_owned()))
}

fn apply(case: &mut Case, change: CaseChange) -> Result<(), Invalid> {
    if case.state == CaseState::Archived {
        return Err(Invalid { pointer: "/state", reason: "an archived case stays as it is".to_owned() });
    }
    if let Some(state) = change.state {
        if !case.state.may_become(state) {
            let reason = format!("a case that is {} cannot become {}", case.state.name(), state.name());
            return Err(Invalid { pointer: "/state", reason });
        }
        case.state = state;
    }
    fn put<T>(field: &mut T, new: Option<T>) {
        if let Some(new) = new {
            *field = new;
        }
    }
    put(&mut case.title, change.title);
    put(&mut case.jurisdiction, change.jurisdiction);
    put(&mut case.urgency, change.urgency);
    put(&mut case.issues, change.issues);
    put(&mut case.classification, change.classification);
    put(&mut case.caller_name, change.caller_name.map(Some));
    put(&mut case.contact, change.contact.map(Some));
    put(&mut case.narrative, change.narrative.map(Some));
    put(&mut case.language, change.language.map(Some));
    put(&mut case.assigned_to, change.assigned_to.map(Some));
    Ok(())
}

/// Two in a row taken is a one-in-10^7 event with a million cases.
const NUMBERS_TRIED_MAX: u32 = 8;
