//! Cases: opened once, read by those who may, changed only by somebody who saw the newest version.
mod document;
mod number;
mod shape;
mod state;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use hotline::lifecycle::clock;
use hotline::vault::Vault;
use jiff::Timestamp;
use uuid::Uuid;

pub use document::generation_key;
pub(crate) use document::{from_row, to_row, urgency_name};
pub use number::CaseNumber;
pub use shape::{Case, CaseChange, CasePage, Contact, Invalid, ListQuery, NewCase};
pub(crate) use shape::{check_codes, check_text};
pub use state::{CaseState, Classification};

use crate::once::Once;
use crate::policy::{Actor, Permissions};
use crate::store::{self, CaseFilter, CaseKey, CasePosition, Inserted, Store, StoreError};
use crate::triage::UrgencyLevel;

/// The room of cases.
#[derive(Clone)]
pub struct Cases {
    store: Arc<dyn Store>,
    vault: Arc<Vault>,
    default_jurisdiction: String,
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
    Conflict { current_version: u32 },
    NotFound,
}

impl Cases {
    pub(crate) fn new(store: Arc<dyn Store>, vault: Arc<Vault>, default_jurisdiction: String) -> Self {
        Self { store, vault, default_jurisdiction }
    }

    /// The caller chose the id, so that the act could be recorded before it is done.
    pub async fn create(&self, id: Uuid, actor: &Actor, new: NewCase, once: Option<Once>) -> Result<Opened, CaseError> {
        new.check()?;
        let now_ms = clock::now_ms().cast_signed();
        let mut case = self.first_version(id, actor, new, now_ms);
        for _ in 0..NUMBERS_TRIED_MAX {
            case.case_number = random_number()?.to_string();
            let row = to_row(&self.vault, &case, now_ms, now_ms)?;
            match self.store.insert_case(row, once.as_ref().map(Once::row)).await? {
                Inserted::Done => return Ok(Opened::Done(Box::new(case))),
                Inserted::Before { id } => return Ok(Opened::Before(Box::new(self.version(id, 1).await?))),
                Inserted::OtherRequest => return Ok(Opened::OtherRequest),
                Inserted::NumberTaken => {}
                Inserted::QueueFull => return Err(StoreError::Busy.into()),
            }
        }
        Err(StoreError::Busy.into())
    }

    /// The case with this id or number, if there is one that the actor may see.
    pub async fn find(&self, actor: &Actor, id_or_number: &str) -> Result<Option<Case>, StoreError> {
        let number = || CaseNumber::parse(id_or_number).map(|number| CaseKey::Number(number.to_string()));
        let Some(key) = Uuid::parse_str(id_or_number).ok().map(CaseKey::Id).or_else(number) else { return Ok(None) };
        let Some(row) = self.store.case(key).await? else { return Ok(None) };
        let case = from_row(&self.vault, &row)?;
        Ok(visible_to(actor, case.classification).then_some(case))
    }

    pub async fn list(&self, actor: &Actor, query: ListQuery) -> Result<CasePage, CaseError> {
        let limit = query.limit.unwrap_or(PAGE_DEFAULT);
        if !(1..=PAGE_MAX).contains(&limit) {
            let reason = format!("must be from 1 to {PAGE_MAX}");
            return Err(Invalid { pointer: "/limit", reason }.into());
        }
        let after = query.cursor.as_deref().map(position).transpose()?;
        let filter = CaseFilter {
            state: query.state.map(|state| state.name().to_owned()),
            urgency: query.urgency.map(|level| urgency_name(level).to_owned()),
            assigned_to: query.assigned_to,
            created_by: query.created_by,
            from_ms: moment("/from", query.from.as_deref())?,
            to_ms: moment("/to", query.to.as_deref())?,
            changed_from_ms: None,
            classifications: classes_of(actor),
        };
        // One more than asked for tells whether there is a next page.
        let mut rows = self.store.cases(filter, after, limit + 1).await?;
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let next_cursor = rows
            .last()
            .filter(|_| more)
            .map(|row| cursor(CasePosition { created_at_ms: row.created_at_ms, id: row.id }));
        let cases = rows.iter().map(|row| from_row(&self.vault, row)).collect::<Result<_, _>>()?;
        Ok(CasePage { cases, next_cursor })
    }

    /// At most so many of the cases that have changed since that moment, in the order of their changes.
    pub async fn changed_since(&self, actor: &Actor, since_ms: i64, limit: u32) -> Result<Vec<Case>, StoreError> {
        let (changed_from_ms, classifications) = (Some(since_ms), classes_of(actor));
        let filter = CaseFilter { changed_from_ms, classifications, ..CaseFilter::default() };
        let rows = self.store.cases(filter, None, limit).await?;
        rows.iter().map(|row| from_row(&self.vault, row)).collect()
    }

    /// Changes the version that the caller saw.
    pub async fn update(
        &self,
        actor: &Actor,
        id_or_number: &str,
        expected_version: u32,
        change: CaseChange,
    ) -> Result<Updated, CaseError> {
        change.check()?;
        let Some(mut case) = self.find(actor, id_or_number).await? else { return Ok(Updated::NotFound) };
        if case.version != expected_version {
            return Ok(Updated::Conflict { current_version: case.version });
        }
        let created_at_ms = moment("/createdAt", Some(&case.created_at))?.unwrap_or_default();
        let now_ms = clock::now_ms().cast_signed();
        apply(&mut case, change)?;
        case.version += 1;
        case.updated_at = clock::rfc3339(now_ms);
        case.updated_by = Some(actor.user);
        let row = to_row(&self.vault, &case, created_at_ms, now_ms)?;
        Ok(match self.store.update_case(row).await? {
            store::Updated::Done => Updated::Done(Box::new(case)),
            store::Updated::Conflict { current_version } => Updated::Conflict { current_version },
            store::Updated::NotFound => Updated::NotFound,
        })
    }

    async fn version(&self, id: Uuid, version: u32) -> Result<Case, StoreError> {
        let row = self.store.case_version(id, version).await?;
        from_row(&self.vault, &row.ok_or(StoreError::Malformed { what: "a key without its case" })?)
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
            created_by: Some(actor.user),
            created_at: clock::rfc3339(now_ms),
            updated_at: clock::rfc3339(now_ms),
            updated_by: Some(actor.user),
        }
    }
}

/// The classes of cases that the actor may see, by name.
fn classes_of(actor: &Actor) -> Vec<String> {
    let visible = Classification::ALL.into_iter().filter(|class| visible_to(actor, *class));
    visible.map(|class| class.name().to_owned()).collect()
}

/// The one place that says who may see a case at all.
pub fn visible_to(actor: &Actor, classification: Classification) -> bool {
    actor.permissions.contain(Permissions::CASE_ACCESS) && is_cleared(actor, classification)
}

/// Whether what is marked so may be seen by the actor, in a case or in the call it came from.
pub(crate) fn is_cleared(actor: &Actor, classification: Classification) -> bool {
    actor.permissions.contain(match classification {
        Classification::TopSecret => Permissions::TOP_SECRET_READ,
        Classification::Restricted => Permissions::RESTRICTED_READ,
        Classification::Public | Classification::Internal | Classification::Confidential => Permissions::NONE,
    })
}

pub(crate) fn random_number() -> Result<CaseNumber, StoreError> {
    CaseNumber::random().ok_or_else(|| StoreError::Failed("no randomness".to_owned()))
}

fn apply(case: &mut Case, change: CaseChange) -> Result<(), Invalid> {
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

fn moment(pointer: &'static str, text: Option<&str>) -> Result<Option<i64>, Invalid> {
    let parse = |text: &str| text.parse::<Timestamp>().map(Timestamp::as_millisecond);
    let reason = || "must be a moment such as \"2026-01-31T09:00:00Z\"".to_owned();
    text.map(parse).transpose().map_err(|_| Invalid { pointer, reason: reason() })
}

fn cursor(position: CasePosition) -> String {
    let bytes = [&position.created_at_ms.to_be_bytes()[..], position.id.as_bytes()].concat();
    BASE64URL_NOPAD.encode(&bytes)
}

fn position(cursor: &str) -> Result<CasePosition, Invalid> {
    let bytes = BASE64URL_NOPAD.decode(cursor.as_bytes()).ok();
    let parse = |bytes: Vec<u8>| {
        let (created, id) = bytes.split_first_chunk::<8>()?;
        Some(CasePosition { created_at_ms: i64::from_be_bytes(*created), id: Uuid::from_slice(id).ok()? })
    };
    let reason = || "is not a cursor of ours".to_owned();
    bytes.and_then(parse).ok_or_else(|| Invalid { pointer: "/cursor", reason: reason() })
}

const PAGE_DEFAULT: u32 = 50;
const PAGE_MAX: u32 = 100;
/// Two in a row taken is a one-in-10^7 event with a million cases.
const NUMBERS_TRIED_MAX: u32 = 8;
