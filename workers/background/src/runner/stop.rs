//! Why work on a call ends before its case.
use hotline::audit::AuditError;
use hotline_domain::store::StoreError;

use crate::speech::{DecodeError, EngineError, SpeechError};

/// What ends an attempt.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Stop {
    /// The recording is at fault: no retry.
    #[error("{code}")]
    Rejected { code: &'static str },
    /// Something of ours: another attempt may help, but not for ever.
    #[error("{reason}")]
    Failed { reason: String },
    /// Something around us is not there for a while: the attempt does not count.
    #[error("{reason}")]
    Unavailable { reason: String },
    /// Nothing has moved for longer than any step takes.
    #[error("the work stands still")]
    StandsStill,
    /// The worker is leaving.
    #[error("draining")]
    Leaving,
    /// Somebody else has the call now.
    #[error("the lease was lost")]
    Lost,
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        let reason = error.to_string();
        match error {
            StoreError::Busy | StoreError::Crowded { .. } => Self::Unavailable { reason },
            // Together with its job.
            StoreError::Erased => Self::Lost,
            _ => Self::Failed { reason },
        }
    }
}

impl From<AuditError> for Stop {
    fn from(error: AuditError) -> Self {
        Self::Unavailable { reason: error.to_string() }
    }
}

impl From<SpeechError> for Stop {
    fn from(error: SpeechError) -> Self {
        let code = match error {
            SpeechError::Decode(DecodeError::Empty) => "empty",
            SpeechError::Decode(DecodeError::NotAudio) => "not-audio",
            SpeechError::Decode(DecodeError::TooLong { .. }) => "too-long",
            SpeechError::Decode(DecodeError::Corrupt { .. }) => "corrupt",
            SpeechError::Engine(EngineError::Cancelled) => return Self::Leaving,
            SpeechError::Engine(error) => return Self::Failed { reason: error.to_string() },
        };
        Self::Rejected { code }
    }
}
