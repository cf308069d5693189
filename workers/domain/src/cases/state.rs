//! What a case is going through, and which way it may go.
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where a case stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CaseState {
    /// Made by triage or by hand; nobody has looked yet.
    New,
    /// Somebody asks what is missing.
    Intake,
    /// A lawyer works on it.
    Open,
    /// Handed to another organisation.
    Referred,
    /// Done.
    Closed,
    /// Done and out of the way; kept as long as the law asks.
    Archived,
}

/// How sensitive it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Classification {
    Public,
    Internal,
    Confidential,
    Restricted,
    TopSecret,
}

impl CaseState {
    pub const ALL: [Self; 6] = [Self::New, Self::Intake, Self::Open, Self::Referred, Self::Closed, Self::Archived];

    /// Whether a case may go from here to there. Staying is always allowed.
    pub fn may_become(self, next: Self) -> bool {
        use CaseState::{Archived, Closed, Intake, New, Open, Referred};
        self == next
            || matches!(
                (self, next),
                (New, Intake | Open | Referred | Closed)
                    | (Intake, Open | Referred | Closed)
                    | (Open, Referred | Closed)
                    | (Referred, Open | Closed)
                    | (Closed, Open | Archived)
            )
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Intake => "intake",
            Self::Open => "open",
            Self::Referred => "referred",
            Self::Closed => "closed",
            Self::Archived => "archived",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

impl Classification {
    pub const ALL: [Self; 5] = [Self::Public, Self::Internal, Self::Confidential, Self::Restricted, Self::TopSecret];

    pub fn name(self) -> &'static str {
        match self {
            Self::Public => "PUBLIC",
            Self::Internal => "INTERNAL",
            Self::Confidential => "CONFIDENTIAL",
            Self::Restricted => "RESTRICTED",
            Self::TopSecret => "TOP_SECRET",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_comes_back_from_the_archive_and_nothing_becomes_new_again() {
        for state in CaseState::ALL {
            assert_eq!(CaseState::Archived.may_become(state), state == CaseState::Archived);
            assert_eq!(state.may_become(CaseState::New), state == CaseState::New);
            assert_eq!(CaseState::parse(state.name()), Some(state));
        }
    }

    #[test]
    fn every_case_can_be_closed_in_the_end() {
        for state in CaseState::ALL {
            assert!(state.may_become(CaseState::Closed) || state == CaseState::Archived);
        }
    }
}
