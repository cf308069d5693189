//! Subjects: the person whose matter it is. Everything sealed of them is sealed under keys of their own and ends with
//! them; one call, the case it becomes and all versions of that are one subject, and more calls and cases may be.
//!
//! A subject's keys come with the row that is read, wrapped, in the same look at the store. Nobody keeps them longer than
//! it takes to open that row, so once they are destroyed the next look, on any worker, finds none.
mod erased_list;
#[cfg(test)]
mod killed;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use hotline::lifecycle::clock;
use hotline::vault::{Aad, KeyClass, SubjectKey, Under, Vault};
use uuid::Uuid;
use zeroize::Zeroizing;

pub use erased_list::ErasedList;

use crate::calls::Calls;
use crate::evidence::Evidence;
use crate::store::{CaseKey, Erased, ErasedWhen, Erasure, Store, StoreError, SubjectRow, WrappedKeys};

/// What seals for subjects, and opens. Cheap to clone.
#[derive(Clone)]
pub(crate) struct SubjectKeys {
    store: Arc<dyn Store>,
    vault: Arc<Vault>,
}

/// The keys of one subject, in clear. Wiped from memory when dropped.
pub(crate) struct Keys {
    pub(crate) subject: Uuid,
    pub(crate) case: SubjectKey,
    pub(crate) call: SubjectKey,
}

/// Opens what one subject has in one class, of today and of before there were keys for subjects.
pub(crate) struct Opener<'a> {
    vault: &'a Vault,
    class: KeyClass,
    key: Option<SubjectKey>,
}

impl SubjectKeys {
    pub(crate) fn new(store: Arc<dyn Store>, vault: Arc<Vault>) -> Self {
        Self { store, vault }
    }

    /// A new subject; the row goes into the store together with what belongs to it.
    pub(crate) fn fresh(&self) -> Result<(Keys, SubjectRow), StoreError> {
        self.fresh_for(Uuid::now_v7())
    }

    fn fresh_for(&self, subject: Uuid) -> Result<(Keys, SubjectRow), StoreError> {
        let id = subject.to_string();
        let (case, call) = (SubjectKey::random(&id, KeyClass::Case)?, SubjectKey::random(&id, KeyClass::Call)?);
        let wrapped =
            WrappedKeys { case_key_sealed: self.vault.wrap(&case)?, call_key_sealed: self.vault.wrap(&call)? };
        let row = SubjectRow { id: subject, made_at_ms: clock::now_ms().cast_signed(), keys: Some(wrapped) };
        Ok((Keys { subject, case, call }, row))
    }

    /// The keys of a subject that is there. One from before there were such keys gets them now.
    pub(crate) async fn of(&self, subject: Uuid) -> Result<Keys, StoreError> {
        let nobody = StoreError::Malformed { what: "no subject" };
        self.of_all(vec![subject]).await?.pop().ok_or(nobody)?
    }

    /// As `of`, in the same order, in two steps of the store at most.
    pub(crate) async fn of_all(&self, subjects: Vec<Uuid>) -> Result<Vec<Result<Keys, StoreError>>, StoreError> {
        let mut rows = self.store.subjects(subjects.clone()).await?;
        let mut missing: Vec<Uuid> =
            subjects.iter().filter(|id| rows.iter().all(|row| row.id != **id)).copied().collect();
        missing.sort_unstable();
        missing.dedup();
        if !missing.is_empty() {
            let new =
                missing.into_iter().map(|subject| Ok(self.fresh_for(subject)?.1)).collect::<Result<_, StoreError>>()?;
            rows.extend(self.store.make_subjects(new).await?);
        }
        let keys = |subject: &Uuid| {
            let row = rows.iter().find(|row| row.id == *subject);
            self.keys(row.ok_or(StoreError::Malformed { what: "no subject" })?)
        };
        Ok(subjects.iter().map(keys).collect())
    }

    fn keys(&self, row: &SubjectRow) -> Result<Keys, StoreError> {
        let wrapped = row.keys.as_ref().ok_or(StoreError::Erased)?;
        let id = row.id.to_string();
        Ok(Keys {
            subject: row.id,
            case: self.vault.unwrap(&id, KeyClass::Case, &wrapped.case_key_sealed)?,
            call: self.vault.unwrap(&id, KeyClass::Call, &wrapped.call_key_sealed)?,
        })
    }

    /// For what a row holds, with the key that came with it.
    pub(crate) fn opener(
        &self,
        class: KeyClass,
        subject: Uuid,
        wrapped: Option<&[u8]>,
    ) -> Result<Opener<'_>, StoreError> {
        let unwrapped = wrapped.map(|wrapped| self.vault.unwrap(&subject.to_string(), class, wrapped));
        Ok(Opener { vault: &self.vault, class, key: unwrapped.transpose()? })
    }
}

impl Opener<'_> {
    /// Of a subject that has keys.
    pub(crate) fn key(&self) -> Result<&SubjectKey, StoreError> {
        self.key.as_ref().ok_or(StoreError::Malformed { what: "a value without its subject's key" })
    }

    pub(crate) fn open(&self, place: &Aad<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let under = sealed.first_chunk().and_then(|head| Under::of(*head));
        match under {
            Some(Under::Subject(_)) => Ok(self.key()?.open(place, sealed)?),
            _ => Ok(self.vault.open(self.class, place, sealed)?),
        }
    }
}

/// How far an erasure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Nothing stands against it, and nothing is done.
    Asked,
    /// On the list, on disk: from here on it will be done, whatever comes.
    Listed,
    /// No key is left.
    Committed,
    FilesRemoved,
}

/// The room in which people are forgotten.
#[derive(Clone)]
pub struct Subjects {
    store: Arc<dyn Store>,
    calls: Calls,
    evidence: Evidence,
    list: ErasedList,
}

impl Subjects {
    pub(crate) fn new(store: Arc<dyn Store>, calls: Calls, evidence: Evidence, list: ErasedList) -> Self {
        Self { store, calls, evidence, list }
    }

    /// Whose matter the case of this number is. An erased one still has its number.
    pub async fn of_case(&self, number: &str) -> Result<Option<Uuid>, StoreError> {
        let Some(number) = crate::cases::CaseNumber::parse(number) else { return Ok(None) };
        Ok(self.store.case(CaseKey::Number(number.to_string())).await?.map(|row| row.subject))
    }

    /// Forgets a subject: destroys the keys, empties the rows, removes the recordings. Doing it again does no harm, and
    /// finishes what was cut off.
    pub async fn erase(&self, subject: Uuid, by: &str) -> Result<Erased, StoreError> {
        self.erase_step_by_step(subject, ErasedWhen::Wanted, by, |_| ()).await
    }

    /// The same for one whose cases have been kept as long as they must be.
    pub async fn dispose(&self, subject: Uuid, years: u16, now_ms: i64, by: &str) -> Result<Erased, StoreError> {
        self.erase_step_by_step(subject, ErasedWhen::KeptFor { years, now_ms }, by, |_| ()).await
    }

    /// `reached` is told how far it is, by tests that end there.
    async fn erase_step_by_step(
        &self,
        subject: Uuid,
        when: ErasedWhen,
        by: &str,
        reached: fn(Step),
    ) -> Result<Erased, StoreError> {
        let erasure = Erasure { subject, at_ms: clock::now_ms().cast_signed(), by: by.to_owned() };
        let list = self.list.clone();
        let decide = Box::new(move |erasure: &Erasure| {
            reached(Step::Asked);
            let listed = list.read().map_err(std::io::Error::other)?;
            if listed.iter().all(|one| one.subject != erasure.subject) {
                list.add(erasure)?;
            }
            reached(Step::Listed);
            Ok(())
        });
        let erased = self.store.erase_subject(erasure, when, decide).await?;
        if let Erased::Done { calls, .. } = &erased {
            reached(Step::Committed);
            self.calls.remove_recordings(calls.clone()).await?;
            self.evidence.remove_erased().await?;
            reached(Step::FilesRemoved);
            self.empty_write_log().await?;
        }
        Ok(erased)
    }

    /// Removes what an erasure that was cut off has left: recordings and evidence, which have no key any more.
    pub async fn finish(&self) -> Result<(), StoreError> {
        let calls = self.store.erased_calls().await?;
        self.calls.remove_recordings(calls).await?;
        self.evidence.remove_erased().await
    }

    /// Wrapped keys that were destroyed may still lie in the log of writes.
    async fn empty_write_log(&self) -> Result<(), StoreError> {
        for _ in 0..CHECKPOINTS_TRIED {
            if self.store.empty_write_log().await? {
                return Ok(());
            }
        }
        tracing::warn!("the store's log of writes is in use; it is overwritten with the writes that follow");
        Ok(())
    }
}

const CHECKPOINTS_TRIED: u32 = 3;
