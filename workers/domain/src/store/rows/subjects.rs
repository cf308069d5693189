//! Whose matter it is, and the keys it is sealed under.
use uuid::Uuid;

/// The person whose matter it is, as far as their keys go.
#[derive(Clone)]
pub struct SubjectRow {
    pub id: Uuid,
    pub made_at_ms: i64,
    /// None: they were destroyed.
    pub keys: Option<WrappedKeys>,
}

/// The keys of a subject, each wrapped by the data key of its class.
#[derive(Clone)]
pub struct WrappedKeys {
    pub case_key_sealed: Vec<u8>,
    pub call_key_sealed: Vec<u8>,
}

/// That a subject is to be forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erasure {
    pub subject: Uuid,
    pub at_ms: i64,
    /// Who wanted it: `uid:1000`.
    pub by: String,
}

/// What must be true for it, beside that nothing holds the subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErasedWhen {
    /// Somebody wants it: theirs to ask.
    Wanted,
    /// Each of their cases was archived, and that many calendar years have passed since.
    KeptFor { years: u16, now_ms: i64 },
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Erased {
    /// All that was of the subject, whether erased now or before.
    Done { cases: Vec<Uuid>, calls: Vec<Uuid> },
    /// Something says that it must be kept.
    Held { reason: String },
}
