//! What evidence looks like to people, what they may say of it, and what is refused.
use data_encoding::HEXLOWER;
use hotline::lifecycle::clock;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::cases::{Invalid, check_text};
use crate::store::{EvidenceRow, StoreError};

/// What somebody says it is. What its bytes say is `mediaType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EvidenceType {
    Document,
    Image,
    Audio,
    Video,
    /// A letter, a mail, a chat.
    Communication,
    /// A picture or description of a thing that is kept elsewhere.
    Physical,
    Other,
}

/// Whether it can still change hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EvidenceState {
    Kept,
    /// Nothing is done with it any more but reading and verifying.
    Sealed,
}

/// One piece of evidence. It never changes, but for its state.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EvidenceItem {
    pub evidence_id: Uuid,
    pub case_id: Uuid,
    pub evidence_type: EvidenceType,
    pub state: EvidenceState,
    /// As it was given; a name and nothing else.
    pub file_name: String,
    pub description: Option<String>,
    /// What the bytes say.
    pub media_type: String,
    /// What the sender said.
    pub declared_type: Option<String>,
    /// It can do something when it is opened: a program, a script, a page, a document with macros.
    pub active: bool,
    pub bytes: u64,
    /// SHA-256 of the bytes as they came, in hex.
    pub hash: String,
    pub sha512: String,
    pub created_by: Uuid,
    /// RFC 3339
    pub created_at: String,
}

/// A file to be kept.
#[derive(Clone, Debug)]
pub struct NewEvidence {
    pub case: Uuid,
    pub evidence_type: EvidenceType,
    pub file_name: String,
    pub description: Option<String>,
    pub declared_type: Option<String>,
}

/// The part that is sealed.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document {
    pub(super) file_name: String,
    pub(super) description: Option<String>,
    pub(super) media_type: String,
    pub(super) declared_type: Option<String>,
    pub(super) active: bool,
}

impl NewEvidence {
    /// A name without what could do something to whoever lists it; empty names get one.
    pub fn cleaned(mut self) -> Result<Self, Invalid> {
        let is_harmless = |letter: &char| !letter.is_control() && !BIDI.contains(letter);
        self.file_name = self.file_name.chars().filter(is_harmless).collect::<String>().trim().to_owned();
        if self.file_name.is_empty() {
            self.file_name = "unnamed".to_owned();
        }
        check_text("/file", Some(&self.file_name), 255)?;
        check_text("/file", self.declared_type.as_ref(), 255)?;
        check_text("/description", self.description.as_ref(), 10_000)?;
        Ok(self)
    }
}

impl EvidenceType {
    pub const ALL: [Self; 7] =
        [Self::Document, Self::Image, Self::Audio, Self::Video, Self::Communication, Self::Physical, Self::Other];

    pub fn name(self) -> &'static str {
        match self {
            Self::Document => "document",
            Self::Image => "image",
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Communication => "communication",
            Self::Physical => "physical",
            Self::Other => "other",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }
}

impl EvidenceState {
    pub fn name(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Sealed => "sealed",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Kept, Self::Sealed].into_iter().find(|known| known.name() == name)
    }
}

pub(super) fn item(row: &EvidenceRow, document: Document) -> Result<EvidenceItem, StoreError> {
    let malformed = |what| StoreError::Malformed { what };
    Ok(EvidenceItem {
        evidence_id: row.id,
        case_id: row.case,
        evidence_type: EvidenceType::parse(&row.kind).ok_or(malformed("a kind of evidence"))?,
        state: EvidenceState::parse(&row.state).ok_or(malformed("a state of evidence"))?,
        file_name: document.file_name,
        description: document.description,
        media_type: document.media_type,
        declared_type: document.declared_type,
        active: document.active,
        bytes: row.bytes,
        hash: HEXLOWER.encode(&row.sha256),
        sha512: HEXLOWER.encode(&row.sha512),
        created_by: row.created_by,
        created_at: clock::rfc3339(row.created_at_ms),
    })
}

/// Letters that turn the order of what is shown, as in a name that ends in `exe.gpj`.
const BIDI: [char; 9] =
    ['\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}', '\u{2066}', '\u{2067}', '\u{2068}', '\u{2069}'];

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> String {
        let new = NewEvidence {
            case: Uuid::nil(),
            evidence_type: EvidenceType::Other,
            file_name: name.to_owned(),
            description: None,
            declared_type: None,
        };
        new.cleaned().map_or_else(|invalid| invalid.reason, |new| new.file_name)
    }

    #[test]
    fn names_are_kept_as_names() {
        assert_eq!(named("letter.pdf"), "letter.pdf");
        assert_eq!(named("../../etc/passwd"), "../../etc/passwd", "never a path, so never a danger");
        assert_eq!(named("a\r\nSet-Cookie: b\0.txt"), "aSet-Cookie: b.txt");
        assert_eq!(named("photo\u{202e}gpj.exe"), "photogpj.exe");
        assert_eq!(named(" \n"), "unnamed");
        assert!(named(&"x".repeat(256)).contains("256 characters"));
        for kind in EvidenceType::ALL {
            assert_eq!(EvidenceType::parse(kind.name()), Some(kind));
        }
    }
}
