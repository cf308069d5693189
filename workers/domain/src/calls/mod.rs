//! Calls: a recording comes in with its job, and leaves as a transcript, an analysis and a case.
mod case_of;
mod recordings;
mod shape;
#[cfg(test)]
pub(crate) mod tests;

use std::path::Path;
use std::sync::Arc;

use hotline::config;
use hotline::lifecycle::clock;
use hotline::vault::{Aad, Head, KeyClass};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;
use zeroize::Zeroizing;

pub use shape::{Accepted, Call, CallResult, Caller, NewCall};

use crate::cases::{self, Case, Classification, Sought};
use crate::once::Once;
use crate::policy::{Access, Action, Actor, Clearance, Matter};
use crate::store::{
    CallFailure, CallProgress, CallRow, CallState, CaseKey, Finished, Inserted, JobCounts, JobRow, Lease, Store,
    StoreError,
};
use crate::subjects::{Keys, Opener, SubjectKeys};
pub use recordings::Recording;
use recordings::Recordings;

/// The room of calls and of the queue that works on them.
#[derive(Clone)]
pub struct Calls {
    store: Arc<dyn Store>,
    keys: SubjectKeys,
    access: Access,
    recordings: Recordings,
    default_jurisdiction: String,
    settings: config::Speech,
}

/// A call that this worker holds for a time.
pub struct HeldCall {
    pub lease: Lease,
    pub call: Call,
}

impl Calls {
    pub(crate) fn open(
        store: Arc<dyn Store>,
        keys: SubjectKeys,
        access: Access,
        state_dir: &Path,
        default_jurisdiction: String,
        settings: config::Speech,
    ) -> Result<Self, StoreError> {
        let recordings = Recordings::open(state_dir)?;
        Ok(Self { store, keys, access, recordings, default_jurisdiction, settings })
    }

    /// Keeps the recording, then the call and its job together.
    pub async fn accept(&self, id: Uuid, actor: &Actor, new: NewCall) -> Result<Accepted, StoreError> {
        if let Err(invalid) = new.check() {
            return Ok(Accepted::Invalid(invalid));
        }
        let now_ms = clock::now_ms().cast_signed();
        let (keys, subject) = self.keys.fresh()?;
        let mut row = self.first_row(id, actor, &new, &keys, now_ms)?;
        let job = JobRow {
            id: Uuid::now_v7(),
            call: id,
            priority: 0,
            attempts: 0,
            run_after_ms: now_ms,
            created_at_ms: now_ms,
        };
        row.audio_sha256 = self.recordings.keep(id, keys.call, new.audio).await?;
        let once = new.once.as_ref().map(Once::row);
        let inserted = self.store.insert_call(row, Some(subject), job, once, self.settings.queue_jobs_max).await;
        if !matches!(inserted, Ok(Inserted::Done)) {
            self.recordings.files.remove(id);
        }
        Ok(match inserted? {
            Inserted::Done => Accepted::Done(id),
            Inserted::Before { id } => Accepted::Before(id),
            Inserted::OtherRequest => Accepted::OtherRequest,
            Inserted::NumberTaken | Inserted::QueueFull => Accepted::QueueFull,
        })
    }

    /// The call, if there is one that the actor may read.
    pub async fn find(&self, actor: &Actor, id: Uuid) -> Result<Sought<Call>, StoreError> {
        Ok(match self.find_for(actor, Action::CallRead, id).await? {
            Sought::Found((call, _)) => Sought::Found(call),
            Sought::Denied { id, decision } => Sought::Denied { id, decision },
            Sought::Nowhere => Sought::Nowhere,
        })
    }

    /// The same for something else than reading it.
    pub async fn find_for(
        &self,
        actor: &Actor,
        action: Action,
        id: Uuid,
    ) -> Result<Sought<(Call, Matter)>, StoreError> {
        let Some(row) = self.store.call(id).await? else { return Ok(Sought::Nowhere) };
        let matter = self.matter_of(&row).await?;
        if self.access.allows(actor, action, &matter) {
            return Ok(Sought::Found((self.call_of(&row)?, matter)));
        }
        Ok(Sought::Denied { id, decision: self.access.explain(actor, action, Some(&matter)) })
    }

    /// A call that became a case is part of it; but for who handed it in.
    async fn matter_of(&self, row: &CallRow) -> Result<Matter, StoreError> {
        let alone = Matter {
            id: row.id,
            classification: Clearance::Confidential,
            state: row.state.name().to_owned(),
            jurisdiction: row.jurisdiction.clone(),
            opened_by: Some(row.created_by),
            ..Matter::default()
        };
        let Some(case) = row.case else { return Ok(alone) };
        let case = self.store.case(CaseKey::Id(case)).await?;
        let case = case.ok_or(StoreError::Malformed { what: "a call without its case" })?;
        let classification = Classification::parse(&case.classification);
        let classification = classification.ok_or(StoreError::Malformed { what: "a classification" })?;
        let matter = Matter {
            id: case.id,
            classification: cases::clearance_for(classification),
            state: case.state.clone(),
            assigned_to: case.assigned_to,
            ..alone
        };
        cases::surrounded(matter, &case.guards)
    }

    /// The most pressing call that waits for a worker, now held by `owner`.
    pub async fn lease(&self, owner: &str) -> Result<Option<HeldCall>, StoreError> {
        let now_ms = clock::now_ms().cast_signed();
        let Some(job) = self.store.lease_job(owner.to_owned(), now_ms, self.lease_ms()).await? else { return Ok(None) };
        let lease = Lease { job: job.id, owner: owner.to_owned(), attempt: job.attempts };
        let row = self.store.call(job.call).await?.ok_or(StoreError::Malformed { what: "a job without its call" })?;
        Ok(Some(HeldCall { lease, call: self.call_of(&row)? }))
    }

    /// False when the lease was lost: stop, and drop what you have.
    pub async fn renew(&self, lease: &Lease) -> Result<bool, StoreError> {
        self.store.renew_lease(lease.clone(), clock::now_ms().cast_signed() + self.lease_ms()).await
    }

    /// Gives the call back, to be taken up after `delay_ms`. Without an error the attempt does not count.
    pub async fn release(&self, lease: &Lease, delay_ms: u64, error: Option<&str>) -> Result<bool, StoreError> {
        let run_after_ms = (clock::now_ms() + delay_ms).cast_signed();
        self.store.release_job(lease.clone(), run_after_ms, error.map(str::to_owned)).await
    }

    /// The recording, to be read from; reading blocks on the disk.
    pub async fn recording(&self, call: Uuid) -> Result<Recording, StoreError> {
        let row = self.store.call(call).await?.ok_or(StoreError::Malformed { what: "a job without its call" })?;
        let opener = self.opener(&row)?;
        self.recordings.read(call, &opener)
    }

    /// Moves a call on; false if it is not where it could move on from.
    pub async fn progress(&self, call: Uuid, state: CallState, progress_percent: u8) -> Result<bool, StoreError> {
        let to = CallProgress { state, progress_percent, at_ms: clock::now_ms().cast_signed() };
        self.store.move_call(call, state.sources(), to).await
    }

    /// Result, case and the end of the job in one transaction. `None`: somebody else has the call now.
    /// The caller chose the case's id, so that its record could be written first.
    pub async fn finish(
        &self,
        held: &HeldCall,
        result: &CallResult,
        case_id: Uuid,
    ) -> Result<Option<Case>, StoreError> {
        let now_ms = clock::now_ms().cast_signed();
        let id = held.call.call_id;
        let mut case = case_of::case_of(case_id, &held.call, result, now_ms);
        let keys = match self.keys.of(held.call.subject).await {
            Err(StoreError::Erased) => return Ok(None),
            keys => keys?,
        };
        for _ in 0..NUMBERS_TRIED_MAX {
            case.case_number = cases::random_number()?.to_string();
            let mut row = self.store.call(id).await?.ok_or(StoreError::Malformed { what: "a held call" })?;
            row.updated_at_ms = now_ms;
            row.transcript_sealed = Some(seal(&keys, id, "transcript", &result.transcript)?);
            row.analysis_sealed = Some(seal(&keys, id, "analysis", &result.analysis)?);
            row.recommendations_sealed = Some(seal(&keys, id, "recommendations", &result.recommendations)?);
            let case_row = cases::to_row(&keys, &case, now_ms, now_ms)?;
            match self.store.finish_call(held.lease.clone(), row, case_row).await {
                Ok(Finished::Done) => return Ok(Some(case)),
                Ok(Finished::Gone) | Err(StoreError::Erased) => return Ok(None),
                Ok(Finished::NumberTaken) => {}
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Busy)
    }

    /// The call failed for good; `dead` keeps its job for a person to look at. False when the lease was lost.
    pub async fn fail(&self, lease: &Lease, call: Uuid, error: &str, dead: bool) -> Result<bool, StoreError> {
        let at_ms = clock::now_ms().cast_signed();
        let failure = CallFailure { id: call, error: error.to_owned(), is_dead: dead, at_ms };
        self.store.fail_call(lease.clone(), failure).await
    }

    /// Makes the calls of earlier workers in this slot due at once: a killed one gave nothing back.
    pub async fn take_back(&self, slot: &str, owner: &str) -> Result<u64, StoreError> {
        self.store.take_back_jobs(slot.to_owned(), owner.to_owned(), clock::now_ms().cast_signed()).await
    }

    /// Removes recordings that no call names, in one of the 256 folders; tells how many.
    pub async fn sweep(&self, folder: u8) -> Result<usize, StoreError> {
        let aged = self.recordings.files.aged(folder).await?;
        let known = self.store.calls_among(aged.iter().filter_map(|aged| aged.id).collect()).await?;
        self.recordings.files.discard_but(aged, known).await
    }

    pub(crate) async fn recording_heads(&self, folder: u8) -> Result<Vec<Head>, StoreError> {
        self.recordings.heads(folder).await
    }

    pub(crate) async fn reseal_recordings(&self, folder: u8, files_max: u32) -> Result<(u64, u64), StoreError> {
        let legacy = self.keys.opener(KeyClass::Call, Uuid::nil(), None)?;
        let (mut resealed, mut refused) = (0, 0);
        for call in self.recordings.former(folder).await? {
            if resealed == u64::from(files_max) {
                break;
            }
            // A stray recording, or one of somebody who was erased, is removed as such.
            let Some((_, subject)) = self.store.subjects_of_calls(vec![call]).await?.pop() else { continue };
            let key = self.keys.of(subject).await?.call;
            match self.recordings.reseal(call, &legacy, key).await? {
                true => resealed += 1,
                false => refused += 1,
            }
        }
        Ok((resealed, refused))
    }

    /// Of calls whose subject was erased.
    pub(crate) async fn remove_recordings(&self, calls: Vec<Uuid>) -> Result<(), StoreError> {
        self.recordings.files.remove_all(calls).await
    }

    pub async fn counts(&self) -> Result<JobCounts, StoreError> {
        self.store.job_counts().await
    }

    fn lease_ms(&self) -> i64 {
        (self.settings.lease_seconds * 1_000).cast_signed()
    }

    fn first_row(
        &self,
        id: Uuid,
        actor: &Actor,
        new: &NewCall,
        keys: &Keys,
        now_ms: i64,
    ) -> Result<CallRow, StoreError> {
        Ok(CallRow {
            id,
            state: if new.consented { CallState::Consented } else { CallState::Received },
            progress_percent: 0,
            error: None,
            created_by: actor.who.user,
            created_at_ms: now_ms,
            updated_at_ms: now_ms,
            jurisdiction: new.jurisdiction.clone().unwrap_or_else(|| self.default_jurisdiction.clone()),
            container: new.container.media_type().to_owned(),
            audio_bytes: new.audio.len() as u64,
            audio_sha256: [0; 32],
            caller_sealed: seal(keys, id, "caller", &new.caller)?,
            transcript_sealed: None,
            analysis_sealed: None,
            recommendations_sealed: None,
            subject: keys.subject,
            erased_at_ms: None,
            subject_key: None,
            case: None,
            case_number: None,
            case_classification: None,
        })
    }

    fn opener(&self, row: &CallRow) -> Result<Opener<'_>, StoreError> {
        match row.erased_at_ms {
            Some(_) => Err(StoreError::Erased),
            None => self.keys.opener(KeyClass::Call, row.subject, row.subject_key.as_deref()),
        }
    }

    fn call_of(&self, row: &CallRow) -> Result<Call, StoreError> {
        let opener = self.opener(row)?;
        Ok(Call {
            call_id: row.id,
            status: row.state,
            progress: row.progress_percent,
            error: row.error.clone(),
            created_at: clock::rfc3339(row.created_at_ms),
            updated_at: clock::rfc3339(row.updated_at_ms),
            transcription: open_if_there(&opener, row.id, "transcript", row.transcript_sealed.as_deref())?,
            analysis: open_if_there(&opener, row.id, "analysis", row.analysis_sealed.as_deref())?,
            recommendations: open_if_there(&opener, row.id, "recommendations", row.recommendations_sealed.as_deref())?,
            case_id: row.case,
            case_number: row.case_number.clone(),
            created_by: row.created_by,
            created_at_ms: row.created_at_ms,
            jurisdiction: row.jurisdiction.clone(),
            caller: open_value(&opener, row.id, "caller", &row.caller_sealed)?,
            media_type: row.container.clone(),
            subject: row.subject,
        })
    }
}

fn seal<T: Serialize>(keys: &Keys, call: Uuid, column: &str, value: &T) -> Result<Vec<u8>, StoreError> {
    let plain = serde_json::to_vec(value).map_err(|_| StoreError::Malformed { what: "a call" })?;
    Ok(keys.call.seal(&place(&call.to_string(), column), &Zeroizing::new(plain))?)
}

fn open_if_there<T: DeserializeOwned>(
    opener: &Opener<'_>,
    call: Uuid,
    column: &str,
    sealed: Option<&[u8]>,
) -> Result<Option<T>, StoreError> {
    sealed.map(|sealed| open_value(opener, call, column, sealed)).transpose()
}

fn open_value<T: DeserializeOwned>(
    opener: &Opener<'_>,
    call: Uuid,
    column: &str,
    sealed: &[u8],
) -> Result<T, StoreError> {
    let plain = opener.open(&place(&call.to_string(), column), sealed)?;
    serde_json::from_slice(&plain).map_err(|_| StoreError::Malformed { what: "a call" })
}

fn place<'a>(row: &'a str, column: &'a str) -> Aad<'a> {
    Aad { table: "calls", row, column, version: 1 }
}

const NUMBERS_TRIED_MAX: u32 = 8;
