//! Where everything is kept, seen from above: operations that are one transaction each, on rows that
//! hold nothing readable.
//!
//! SQLite is the embedded side; a PostgreSQL side implements the same traits. So nothing here knows a
//! database: ids are UUIDs, times are milliseconds, sealed columns are bytes.
mod rows;
pub mod sqlite;

use async_trait::async_trait;
use uuid::Uuid;

pub use hotline::vault::Head;
pub use rows::*;

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The queue of writes or reads is full; asking again later helps.
    #[error("the store is busy")]
    Busy,
    /// The queue of the threads that hash is full; asking again after this helps.
    #[error("too many wait for a thread")]
    Crowded { retry_after: std::time::Duration },
    /// It could not be read or written.
    #[error("could not use the store: {0}")]
    Failed(String),
    /// A sealed value does not open: it was changed, moved, or its key is gone.
    #[error("could not open a sealed value: {0}")]
    Sealed(#[from] hotline::vault::VaultError),
    /// It was there; its subject was erased.
    #[error("it was erased")]
    Erased,
    /// What is in the store is not what this build writes.
    #[error("the store holds {what} that this build does not understand")]
    Malformed { what: &'static str },
}

/// Everything the domain keeps.
pub trait Store:
    People
    + Factors
    + Passkeys
    + Tries
    + Sessions
    + Cases
    + Guards
    + Calls
    + EvidenceItems
    + Jobs
    + SealedColumns
    + Subjects
{
}

impl<T> Store for T where
    T: People
        + Factors
        + Passkeys
        + Tries
        + Sessions
        + Cases
        + Guards
        + Calls
        + EvidenceItems
        + Jobs
        + SealedColumns
        + Subjects
{
}

/// Whose matter it is, and the keys it is sealed under. What belongs to an erased subject is neither added nor changed:
/// `insert_case`, `insert_call`, `update_case` and `finish_call` say `StoreError::Erased`.
#[async_trait]
pub trait Subjects: Send + Sync {
    /// Those of them that have keys, or had.
    async fn subjects(&self, ids: Vec<Uuid>) -> Result<Vec<SubjectRow>, StoreError>;
    /// Keeps the keys of those that never had any; tells what each of them has then.
    async fn make_subjects(&self, rows: Vec<SubjectRow>) -> Result<Vec<SubjectRow>, StoreError>;
    /// Destroys the keys and empties the rows of a subject. `decide` is called in the middle of it, when nothing stands
    /// against it any more, and must have made sure on disk that it will be done: from there on it cannot be undone.
    async fn erase_subject(&self, erasure: Erasure, when: ErasedWhen, decide: Decide) -> Result<Erased, StoreError>;
    /// Calls whose subject was erased; nothing of them may be left anywhere.
    async fn erased_calls(&self) -> Result<Vec<Uuid>, StoreError>;
    /// Which of the calls belong to whom, of those that were not erased.
    async fn subjects_of_calls(&self, calls: Vec<Uuid>) -> Result<Vec<(Uuid, Uuid)>, StoreError>;
    /// Carries everything from the log of writes over to the database and empties the log, where destroyed keys may
    /// still lie. False: somebody was reading; it will be done some time later.
    async fn empty_write_log(&self) -> Result<bool, StoreError>;
}

/// Makes sure, on disk, that something will be done.
pub type Decide = Box<dyn FnOnce(&Erasure) -> std::io::Result<()> + Send>;

/// Sealed values by what they are sealed under, whatever they are.
#[async_trait]
pub trait SealedColumns: Send + Sync {
    /// How many values begin with which head.
    async fn sealed_heads(&self, column: SealedColumn) -> Result<Vec<(Head, u64)>, StoreError>;
    /// Values that begin with another head, in the order of their rows, after that one.
    async fn sealed_otherwise(
        &self,
        column: SealedColumn,
        head: Head,
        after: Option<SealedCell>,
        limit: u32,
    ) -> Result<Vec<SealedCell>, StoreError>;
    /// Exchanges values that are still what they were; tells how many.
    async fn reseal(&self, column: SealedColumn, cells: Vec<(SealedCell, Vec<u8>)>) -> Result<u64, StoreError>;
}

#[async_trait]
pub trait People: Send + Sync {
    /// Inserts the user only if there is none at all; tells whether it did. Atomic over processes.
    async fn insert_first_user(&self, user: UserRow) -> Result<bool, StoreError>;
    /// False if the name is taken.
    async fn insert_user(&self, user: UserRow) -> Result<bool, StoreError>;
    async fn user_by_name(&self, name_index: [u8; 32]) -> Result<Option<UserRow>, StoreError>;
    async fn user(&self, id: Uuid) -> Result<Option<UserRow>, StoreError>;
    async fn has_users(&self) -> Result<bool, StoreError>;
    /// In the order in which they were made, at most `limit`, after the id.
    async fn users(&self, after: Option<Uuid>, limit: u32) -> Result<Vec<UserRow>, StoreError>;
    /// Changes a user and moves the epoch; never takes the last administrator away.
    async fn change_user(&self, id: Uuid, change: UserChange) -> Result<Changed, StoreError>;
}

#[async_trait]
pub trait Factors: Send + Sync {
    /// A secret that waits for its first code, in place of another that does. False if one is confirmed.
    async fn put_totp(&self, totp: TotpRow) -> Result<bool, StoreError>;
    async fn totp(&self, user: Uuid) -> Result<Option<TotpRow>, StoreError>;
    /// The first code was right: from here on it is asked for. Moves the epoch and ends the user's sessions but
    /// `session`, which has shown two factors now. None if the step was used, or the secret confirmed before.
    async fn confirm_totp(
        &self,
        user: Uuid,
        step: i64,
        codes: Vec<[u8; 32]>,
        session: Uuid,
        at_ms: i64,
    ) -> Result<Option<Vec<Uuid>>, StoreError>;
    /// Takes the step and all before it; false if it was taken. Atomic over processes.
    async fn use_totp_step(&self, user: Uuid, step: i64) -> Result<bool, StoreError>;
    /// False if there is no such code, or no longer.
    async fn use_recovery_code(&self, user: Uuid, digest: [u8; 32]) -> Result<bool, StoreError>;
    /// In place of those before.
    async fn put_recovery_codes(&self, user: Uuid, digests: Vec<[u8; 32]>) -> Result<(), StoreError>;
    async fn recovery_codes_left(&self, user: Uuid) -> Result<u32, StoreError>;
}

/// Whatever is answered to a challenge takes it, in the same transaction.
#[async_trait]
pub trait Passkeys: Send + Sync {
    /// Moves the epoch and ends the user's sessions but one.
    async fn add_passkey(&self, new: PasskeyAddition) -> Result<PasskeyAdded, StoreError>;
    /// In the order in which they were made.
    async fn passkeys_of(&self, user: Uuid) -> Result<Vec<PasskeyRow>, StoreError>;
    async fn passkey(&self, credential_index: [u8; 32]) -> Result<Option<PasskeyRow>, StoreError>;
    async fn take_passkey(&self, shown: PasskeyShown) -> Result<PasskeyTaken, StoreError>;
    /// False if the challenge was answered before: what is merely repeated tells nothing about the device.
    async fn suspend_passkey(&self, id: Uuid, challenge: ChallengeUse) -> Result<bool, StoreError>;
}

#[async_trait]
pub trait Tries: Send + Sync {
    async fn tries(&self, name: [u8; 32], place: [u8; 32]) -> Result<TriesRow, StoreError>;
    async fn note_failure(&self, name: [u8; 32], place: [u8; 32], at_ms: i64) -> Result<(), StoreError>;
    /// Begins to count anew, if what has failed until this moment allows it: from anywhere fewer than
    /// `failures_max`, or a place known since `known_since_ms`, or `vouched`. Tells whether it did.
    async fn note_success(
        &self,
        name: [u8; 32],
        place: [u8; 32],
        at_ms: i64,
        allowed: SuccessWhen,
    ) -> Result<bool, StoreError>;
    /// Forgets places that never succeeded, places that did, and names, each untouched since.
    async fn purge_tries(&self, before_ms: TriesKeep) -> Result<u64, StoreError>;
}

#[async_trait]
pub trait Sessions: Send + Sync {
    /// False if the user has moved on from this epoch: what they proved belongs to the past.
    async fn insert_session(&self, session: SessionRow, epoch: u32) -> Result<bool, StoreError>;
    /// With its user, in one read.
    async fn session(&self, id: Uuid) -> Result<Option<(SessionRow, UserRow)>, StoreError>;
    /// False if it was unknown or revoked already.
    async fn revoke_session(&self, id: Uuid, at_ms: i64) -> Result<bool, StoreError>;
    /// Revokes whatever sessions the user has, but for one; tells which.
    async fn revoke_sessions_of(&self, user: Uuid, but: Option<Uuid>, at_ms: i64) -> Result<Vec<Uuid>, StoreError>;
    /// The sessions of a user that have not ended, newest first.
    async fn sessions_of(&self, user: Uuid, now_ms: i64) -> Result<Vec<SessionRow>, StoreError>;
    /// A factor was shown in this session.
    async fn prove_session(&self, id: Uuid, factors: u8, at_ms: i64) -> Result<(), StoreError>;
    /// Never moves it back in time.
    async fn touch_session(&self, id: Uuid, seen_ms: i64) -> Result<(), StoreError>;
    /// Forgets sessions that ended before; tells how many.
    async fn purge_sessions(&self, ended_before_ms: i64) -> Result<u64, StoreError>;
}

#[async_trait]
pub trait Cases: Send + Sync {
    /// Version 1 of a case, and its subject if that is new. `NumberTaken` asks for another number.
    async fn insert_case(
        &self,
        case: CaseRow,
        subject: Option<SubjectRow>,
        once: Option<OnceRow>,
    ) -> Result<Inserted, StoreError>;
    async fn case(&self, key: CaseKey) -> Result<Option<CaseRow>, StoreError>;
    /// A version of the past, or the present one.
    async fn case_version(&self, id: Uuid, version: u32) -> Result<Option<CaseRow>, StoreError>;
    /// Versions before that one, newest first, at most `limit`.
    async fn case_versions(&self, id: Uuid, before: u32, limit: u32) -> Result<Vec<CaseRow>, StoreError>;
    /// In the order that the filter asks for, at most `limit`, after the position.
    async fn cases(
        &self,
        filter: CaseFilter,
        after: Option<CasePosition>,
        limit: u32,
    ) -> Result<Vec<CaseRow>, StoreError>;
    /// Puts `case` in place of version `case.version - 1`; keeps that one as history.
    async fn update_case(&self, case: CaseRow) -> Result<Updated, StoreError>;
}

#[async_trait]
pub trait Guards: Send + Sync {
    async fn insert_guard(&self, guard: GuardRow) -> Result<(), StoreError>;
    /// What stands around the case and what once did, in the order in which it came.
    async fn guards(&self, case: Uuid) -> Result<Vec<GuardRow>, StoreError>;
    /// False if there is none that stands.
    async fn end_guard(&self, case: Uuid, id: Uuid, by: Uuid, at_ms: i64) -> Result<bool, StoreError>;
}

#[async_trait]
pub trait Calls: Send + Sync {
    /// A received call, its subject if that is new, and the job that will transcribe it, together or not at all.
    async fn insert_call(
        &self,
        call: CallRow,
        subject: Option<SubjectRow>,
        job: JobRow,
        once: Option<OnceRow>,
        jobs_max: u32,
    ) -> Result<Inserted, StoreError>;
    async fn call(&self, id: Uuid) -> Result<Option<CallRow>, StoreError>;
    /// Those of the ids that are calls, and not erased.
    async fn calls_among(&self, ids: Vec<Uuid>) -> Result<Vec<Uuid>, StoreError>;
    /// Moves a call on, if it is in one of the states `from`; tells whether it was.
    async fn move_call(&self, id: Uuid, from: &'static [CallState], to: CallProgress) -> Result<bool, StoreError>;
    /// The call's result, its case and the end of its job, together. `held` proves that the job is still
    /// the caller's; `Gone` means that somebody else has finished or taken it.
    async fn finish_call(&self, held: Lease, call: CallRow, case: CaseRow) -> Result<Finished, StoreError>;
    /// The call failed for good, and its job with it.
    async fn fail_call(&self, held: Lease, call: CallFailure) -> Result<bool, StoreError>;
}

#[async_trait]
pub trait EvidenceItems: Send + Sync {
    /// With the first link of its chain. `QueueFull`: its case has `items_max` already.
    async fn insert_evidence(
        &self,
        row: EvidenceRow,
        received: CustodyRow,
        once: Option<OnceRow>,
        items_max: u32,
    ) -> Result<Inserted, StoreError>;
    async fn evidence(&self, id: Uuid) -> Result<Option<EvidenceRow>, StoreError>;
    /// In the order in which it came.
    async fn evidence_of_case(&self, case: Uuid) -> Result<Vec<EvidenceRow>, StoreError>;
    /// Gives the link its place behind the last one. False if its step does not allow it any more.
    async fn append_custody(&self, link: CustodyRow, step: CustodyStep) -> Result<bool, StoreError>;
    async fn custody_of(&self, evidence: Uuid) -> Result<Vec<CustodyRow>, StoreError>;
    /// Those of the ids that are evidence, and not erased.
    async fn evidence_among(&self, ids: Vec<Uuid>) -> Result<Vec<Uuid>, StoreError>;
    /// Evidence whose subject was erased; nothing of it may be left anywhere.
    async fn erased_evidence(&self) -> Result<Vec<Uuid>, StoreError>;
}

#[async_trait]
pub trait Jobs: Send + Sync {
    /// The most pressing job that is due, now held by `owner` until the lease ends.
    async fn lease_job(&self, owner: String, now_ms: i64, lease_ms: i64) -> Result<Option<JobRow>, StoreError>;
    /// False when the lease was lost.
    async fn renew_lease(&self, held: Lease, until_ms: i64) -> Result<bool, StoreError>;
    /// Gives the job back: due again at `run_after_ms`. Without an error the attempt does not count.
    async fn release_job(&self, held: Lease, run_after_ms: i64, error: Option<String>) -> Result<bool, StoreError>;
    /// Ends the leases of earlier owners in this slot (owners are called `<slot>@…`): they are dead, and
    /// their jobs are due at once. Tells how many there were.
    async fn take_back_jobs(&self, slot: String, owner: String, now_ms: i64) -> Result<u64, StoreError>;
    async fn job_counts(&self) -> Result<JobCounts, StoreError>;
}
