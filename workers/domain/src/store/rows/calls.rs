//! Calls, and the jobs that work on them.
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

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
    /// Whose matter it is.
    pub subject: Uuid,
    pub erased_at_ms: Option<i64>,
    /// The subject's key for calls, wrapped; looked up, not kept here. None: it has none yet, or no more.
    pub subject_key: Option<Vec<u8>>,
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
