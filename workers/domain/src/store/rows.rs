//! Rows as the store sees them. What names a person or repeats their words is sealed before it gets here.
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

#[derive(Clone)]
pub struct UserRow {
    pub id: Uuid,
    /// Blind index of the folded name.
    pub name_index: [u8; 32],
    pub name_sealed: Vec<u8>,
    /// Names of roles, separated by commas.
    pub roles: String,
    pub password_hash: String,
    pub must_change_password: bool,
    /// Moves when the user's rights or proofs change.
    pub epoch: u32,
    pub created_at_ms: i64,
    pub disabled_at_ms: Option<i64>,
    /// When the password was given or chosen; 0: not known.
    pub password_at_ms: i64,
    /// The password is long enough to be the only factor.
    pub password_stands_alone: bool,
    /// Has a confirmed second factor; looked up, not kept here.
    pub has_factor: bool,
}

/// What is to become of a user, all in one transaction; the epoch moves with it.
#[derive(Clone, Default)]
pub struct UserChange {
    /// Only if the user is still at this epoch.
    pub at_epoch: Option<u32>,
    pub password: Option<NewPassword>,
    pub roles: Option<String>,
    pub disabled: Option<bool>,
    /// Takes the second factor and its recovery codes away. A password that does not stand alone must then change.
    pub drop_factor: bool,
    /// Ends the user's sessions, all but `keep_session`.
    pub end_sessions: bool,
    pub keep_session: Option<Uuid>,
    pub at_ms: i64,
}

#[derive(Clone)]
pub struct NewPassword {
    pub hash: String,
    pub must_change: bool,
    pub stands_alone: bool,
}

/// What became of a change to a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// The sessions that were ended, and those that live on.
    Done {
        ended: Vec<Uuid>,
        living: Vec<Uuid>,
    },
    NotFound,
    /// Somebody else changed the user meanwhile.
    Moved,
    /// Nobody would be left who can manage users.
    LastAdministrator,
}

/// An authenticator app.
#[derive(Clone)]
pub struct TotpRow {
    pub user: Uuid,
    pub secret_sealed: Vec<u8>,
    /// Steps up to this one are used.
    pub last_step: i64,
    pub created_at_ms: i64,
    pub confirmed_at_ms: Option<i64>,
}

/// When a log-in counts although many have failed.
#[derive(Clone, Copy, Debug)]
pub struct SuccessWhen {
    pub failures_max: u32,
    pub known_since_ms: i64,
    /// Something else vouches: a second factor for a password, a recovery code for the app.
    pub vouched: bool,
}

/// What of the tries is still needed: what was touched at this moment or later.
#[derive(Clone, Copy, Debug)]
pub struct TriesKeep {
    pub failed_since_ms: i64,
    pub succeeded_since_ms: i64,
    pub names_since_ms: i64,
}

/// How tries to log in stand, for one name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TriesRow {
    /// In a row, from this place.
    pub failures_here: u32,
    pub failed_here_at_ms: i64,
    /// 0: never.
    pub succeeded_here_at_ms: i64,
    /// In a row, from anywhere.
    pub failures: u32,
}

#[derive(Clone, Debug)]
pub struct SessionRow {
    pub id: Uuid,
    pub user: Uuid,
    pub created_at_ms: i64,
    pub expires_at_ms: i64,
    pub last_seen_ms: i64,
    /// Made by `hotline token`: has no idle limit.
    pub automation: bool,
    pub revoked_at_ms: Option<i64>,
    /// How many factors were shown.
    pub factors: u8,
    /// When a factor was shown last.
    pub proven_at_ms: i64,
}

#[derive(Clone)]
pub struct CaseRow {
    pub id: Uuid,
    pub number: String,
    pub version: u32,
    pub state: String,
    pub urgency: String,
    /// Issue codes, separated by commas.
    pub issues: String,
    pub classification: String,
    pub assigned_to: Option<Uuid>,
    /// A user, or none for the product itself.
    pub created_by: Option<Uuid>,
    pub call: Option<Uuid>,
    pub created_at_ms: i64,
    pub updated_at_ms: i64,
    pub updated_by: Option<Uuid>,
    /// Title, names, contacts, narrative: one sealed document for each version.
    pub document_sealed: Vec<u8>,
}

/// A case by id or by number.
#[derive(Clone, Debug)]
pub enum CaseKey {
    Id(Uuid),
    Number(String),
}

#[derive(Clone, Debug, Default)]
pub struct CaseFilter {
    pub state: Option<String>,
    pub urgency: Option<String>,
    pub assigned_to: Option<Uuid>,
    pub created_by: Option<Uuid>,
    pub from_ms: Option<i64>,
    pub to_ms: Option<i64>,
    /// Changed at that moment or later; such cases come in the order of their changes.
    pub changed_from_ms: Option<i64>,
    /// Classifications the reader may see at all.
    pub classifications: Vec<String>,
}

/// The last row of the page before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CasePosition {
    pub created_at_ms: i64,
    pub id: Uuid,
}

/// Where a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CallState {
    Received,
    Consented,
    Transcribing,
    Analysing,
    Ready,
    Failed,
    Declined,
}

#[derive(Clone)]
pub struct CallRow {
    pub id: Uuid,
    pub state: CallState,
    pub progress_percent: u8,
    /// Why it failed, as a code.
    pub error: Option<String>,
    pub created_by: Uuid,
    pub created_at_ms: i64,
    pub updated_at_ms: i64,
    pub jurisdiction: String,
    /// What the recording's bytes say it is.
    pub container: String,
    pub audio_bytes: u64,
    pub audio_sha256: [u8; 32],
    /// Who called and from where.
    pub caller_sealed: Vec<u8>,
    pub transcript_sealed: Option<Vec<u8>>,
    pub analysis_sealed: Option<Vec<u8>>,
    pub recommendations_sealed: Option<Vec<u8>>,
    pub case: Option<Uuid>,
    /// Of the case, for the status answer.
    pub case_number: Option<String>,
    /// Of the case: decides who may see the call.
    pub case_classification: Option<String>,
}

/// A step of a call.
#[derive(Clone, Copy, Debug)]
pub struct CallProgress {
    pub state: CallState,
    pub progress_percent: u8,
    pub at_ms: i64,
}

/// The end of a call that cannot be helped.
#[derive(Clone, Debug)]
pub struct CallFailure {
    pub id: Uuid,
    /// A code.
    pub error: String,
    /// Its job is kept for a person to look at.
    pub is_dead: bool,
    pub at_ms: i64,
}

#[derive(Clone, Debug)]
pub struct JobRow {
    pub id: Uuid,
    pub call: Uuid,
    /// Higher goes first.
    pub priority: i32,
    pub attempts: u32,
    pub run_after_ms: i64,
    pub created_at_ms: i64,
}

/// Proof that a job is held: who, since which attempt.
#[derive(Clone, Debug)]
pub struct Lease {
    pub job: Uuid,
    pub owner: String,
    pub attempt: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JobCounts {
    pub ready: u64,
    pub leased: u64,
    pub dead: u64,
    /// Since when the oldest of those that are ready has been due.
    pub due_since_ms: Option<i64>,
}

/// An `Idempotency-Key`, reduced to digests: the same act is done once.
#[derive(Clone, Debug)]
pub struct OnceRow {
    /// Of principal, route and key.
    pub scope: [u8; 32],
    /// Of the request's content.
    pub digest: [u8; 32],
    pub at_ms: i64,
    /// Older ones are forgotten.
    pub forget_before_ms: i64,
}

/// What became of an insert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    Done,
    /// The same request was carried out before and made this.
    Before {
        id: Uuid,
    },
    /// The key was used for another request.
    OtherRequest,
    NumberTaken,
    /// The queue of jobs is full.
    QueueFull,
}

/// What became of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Updated {
    Done,
    Conflict { current_version: u32 },
    NotFound,
}

/// What became of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finished {
    Done,
    NumberTaken,
    Gone,
}

impl CallState {
    pub const ALL: [Self; 7] = [
        Self::Received,
        Self::Consented,
        Self::Transcribing,
        Self::Analysing,
        Self::Ready,
        Self::Failed,
        Self::Declined,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Consented => "consented",
            Self::Transcribing => "transcribing",
            Self::Analysing => "analysing",
            Self::Ready => "ready",
            Self::Failed => "failed",
            Self::Declined => "declined",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// Where sealed values are: names of our own schema, and what the version in a value's place is.
#[derive(Clone, Copy, Debug)]
pub struct SealedColumn {
    pub table: &'static str,
    /// The column that says whose it is.
    pub id: &'static str,
    pub column: &'static str,
    /// A column, or a number.
    pub version: &'static str,
}

/// A sealed value and whose it is.
#[derive(Clone, Debug)]
pub struct SealedCell {
    pub id: Uuid,
    pub version: u32,
    pub sealed: Vec<u8>,
}

/// The first bytes of a sealed value.
pub type Head = [u8; 4];
