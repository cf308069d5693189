//! Evidence and the links of its chain of custody.
use uuid::Uuid;

#[derive(Clone)]
pub struct EvidenceRow {
    pub id: Uuid,
    pub case: Uuid,
    pub subject: Uuid,
    pub kind: String,
    pub state: String,
    pub bytes: u64,
    /// Zeros where it was erased.
    pub sha256: [u8; 32],
    pub sha512: [u8; 64],
    pub created_by: Uuid,
    pub created_at_ms: i64,
    /// Name, description, kind of file; empty where it was erased.
    pub document_sealed: Vec<u8>,
    pub erased_at_ms: Option<i64>,
    /// The subject's key for cases, wrapped; looked up, not kept here.
    pub subject_key: Option<Vec<u8>>,
}

#[derive(Clone)]
pub struct CustodyRow {
    pub id: Uuid,
    pub evidence: Uuid,
    pub subject: Uuid,
    /// From 0 on, without a gap; given by the store, with `previous` and `hash`.
    pub seq: u32,
    pub kind: String,
    pub actor: Uuid,
    pub at_ms: i64,
    pub request_id: String,
    /// Empty where it was erased.
    pub note_sealed: Vec<u8>,
    /// Of what the link says.
    pub digest: [u8; 32],
    pub previous: [u8; 32],
    pub hash: [u8; 32],
}

/// When a link may be added, and what it does to the evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CustodyStep {
    Always,
    /// Not to what is sealed.
    WhileKept,
    /// The same, and seals it.
    Seals,
}
