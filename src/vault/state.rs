//! What becomes of a key: `next → active → decrypt-only → destroyed`, and never back.
use serde::{Deserialize, Serialize};

/// Where a version of a key stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyState {
    /// Opens, and does not seal before every worker has it.
    Next,
    /// Seals and opens. One version of each key.
    Active,
    /// Opens what was sealed before.
    DecryptOnly,
    /// Nothing is left of it; what was sealed under it is gone for good.
    Destroyed,
}

impl KeyState {
    pub fn name(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Active => "active",
            Self::DecryptOnly => "decrypt-only",
            Self::Destroyed => "destroyed",
        }
    }

    pub fn opens(self) -> bool {
        self != Self::Destroyed
    }
}
