//! What a call looks like to the people who handed it in.
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::audio::Container;
use crate::cases::{Invalid, check_codes, check_text};
use crate::once::Once;
use crate::store::CallState;
use crate::transcript::Transcript;
use crate::triage::{Analysis, Recommendations};

/// A call as its readers see it.
#[derive(Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Call {
    pub call_id: Uuid,
    pub status: CallState,
    /// 0 to 100
    pub progress: u8,
    /// A code, when it failed.
    pub error: Option<String>,
    pub created_at: String,
    pub updated_at: String,
    pub transcription: Option<Transcript>,
    pub analysis: Option<Analysis>,
    pub recommendations: Option<Recommendations>,
    pub case_id: Option<Uuid>,
    pub case_number: Option<String>,
    #[serde(skip)]
    pub created_by: Uuid,
    #[serde(skip)]
    pub created_at_ms: i64,
    #[serde(skip)]
    pub jurisdiction: String,
    #[serde(skip)]
    pub caller: Caller,
    /// As the recording's bytes say.
    #[serde(skip)]
    pub media_type: String,
    /// Whose matter it is.
    #[serde(skip)]
    pub subject: Uuid,
}

/// Who called, as far as was said when the recording was handed in. Sealed in the store.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Caller {
    pub name: Option<String>,
    pub phone: Option<String>,
    /// BCP 47; spares the engine from guessing.
    pub language: Option<String>,
}

/// A recording that is handed in.
pub struct NewCall {
    pub audio: Zeroizing<Vec<u8>>,
    pub container: Container,
    /// The caller agreed to be recorded.
    pub consented: bool,
    pub caller: Caller,
    pub jurisdiction: Option<String>,
    pub once: Option<Once>,
}

/// What became of a recording.
pub enum Accepted {
    Done(Uuid),
    /// The same recording with the same key came before.
    Before(Uuid),
    /// The key was used for another recording.
    OtherRequest,
    QueueFull,
    /// Something that was said about it cannot be taken.
    Invalid(Invalid),
}

/// All that came out of a call.
pub struct CallResult {
    pub transcript: Transcript,
    pub analysis: Analysis,
    pub recommendations: Recommendations,
}

impl NewCall {
    pub fn check(&self) -> Result<(), Invalid> {
        check_text("/callerName", self.caller.name.as_ref(), 200)?;
        check_text("/phone", self.caller.phone.as_ref(), 40)?;
        check_codes(self.jurisdiction.as_ref(), self.caller.language.as_ref(), &[])
    }
}

impl CallState {
    /// The way of a call. An ended call goes nowhere.
    pub fn may_become(self, next: Self) -> bool {
        use CallState::{Analysing, Consented, Declined, Failed, Ready, Received, Transcribing};
        matches!(
            (self, next),
            (Received, Consented | Declined | Transcribing | Failed)
                | (Consented, Transcribing | Declined | Failed)
                // A worker that takes over a call begins it again.
                | (Transcribing, Transcribing | Analysing | Failed)
                | (Analysing, Transcribing | Analysing | Ready | Failed)
        )
    }

    /// The states a call may come from to get here.
    pub fn sources(self) -> &'static [Self] {
        use CallState::{Analysing, Consented, Received, Transcribing};
        match self {
            Self::Received => &[],
            Self::Consented => &[Received],
            Self::Declined => &[Received, Consented],
            Self::Transcribing => &[Received, Consented, Transcribing, Analysing],
            Self::Analysing => &[Transcribing, Analysing],
            Self::Ready => &[Analysing],
            Self::Failed => &[Received, Consented, Transcribing, Analysing],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_and_moves_say_the_same() {
        for from in CallState::ALL {
            for to in CallState::ALL {
                assert_eq!(from.may_become(to), to.sources().contains(&from), "{from:?} to {to:?}");
            }
        }
    }

    #[test]
    fn an_ended_call_goes_nowhere() {
        for ended in [CallState::Ready, CallState::Failed, CallState::Declined] {
            assert!(CallState::ALL.iter().all(|next| !ended.may_become(*next)));
        }
    }
}
