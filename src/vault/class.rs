//! Data keys by what they protect, and who may hold them.
use serde::{Deserialize, Serialize};

/// What a data key protects. A worker is given only the classes of its role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyClass {
    /// Details of audit records. Scribe only.
    Audit,
    /// Cached responses in sled. API only.
    Cache,
    /// Names, contacts, narratives.
    Case,
    /// Recordings, transcripts, analyses.
    Call,
    /// Look-up digests of names; never decrypts anything.
    BlindIndex,
    /// Staff names and password pepper.
    Person,
    /// Signs session tokens. API only.
    Token,
    /// Signs the heads of the transparency log. Scribe only.
    LogSigning,
}

impl KeyClass {
    /// Every class, for making a keyring and for tests over the whole table.
    pub const ALL: [Self; 8] = [
        Self::Audit,
        Self::Cache,
        Self::Case,
        Self::Call,
        Self::BlindIndex,
        Self::Person,
        Self::Token,
        Self::LogSigning,
    ];

    /// As the keyring and the command line call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Audit => "audit",
            Self::Cache => "cache",
            Self::Case => "case",
            Self::Call => "call",
            Self::BlindIndex => "blind-index",
            Self::Person => "person",
            Self::Token => "token",
            Self::LogSigning => "log-signing",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_called_what_the_keyring_calls_it() {
        for class in KeyClass::ALL {
            assert_eq!(serde_json::to_value(class).unwrap(), class.name());
            assert_eq!(KeyClass::named(class.name()), Some(class));
        }
    }
}
