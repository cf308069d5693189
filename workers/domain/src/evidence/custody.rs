//! The chain of custody: each link tells who did what with the evidence and is bound to all links before it.
//!
//! A link's hash is SHA-256 over the hash before it, its number, and the digest of what it says, as JSON with its members
//! in this order: `evidence, event, actor, at, requestId, note, salt`, and in the first link `bytes, sha256, sha512`.
//! Notes are sealed, and salted, so that nobody guesses one from a digest.
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use data_encoding::HEXLOWER;
use hotline::lifecycle::clock;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Hand, open, seal};
use crate::store::{CustodyRow, CustodyStep, EvidenceRow, StoreError};
use crate::subjects::{Keys, Opener};

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CustodyKind {
    Received,
    Downloaded,
    Verified,
    /// Given to somebody.
    Transferred,
    /// From here on it stays where it is.
    Sealed,
}

/// A link of the chain, as people see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CustodyEvent {
    pub seq: u32,
    pub event: CustodyKind,
    pub actor: Uuid,
    /// RFC 3339
    pub at: String,
    /// Finds the record in the audit log.
    pub request_id: String,
    pub note: Option<String>,
    /// What the note is hashed with.
    pub salt: String,
    /// Of the link before; 64 zeros for the first.
    pub previous: String,
    pub hash: String,
}

/// What the digest is of.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Said<'a> {
    evidence: Uuid,
    event: CustodyKind,
    actor: Uuid,
    at: String,
    request_id: &'a str,
    note: Option<&'a str>,
    salt: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha512: Option<String>,
}

/// The sealed part of a link.
#[derive(Serialize, Deserialize)]
struct Note {
    text: Option<String>,
    salt: String,
}

/// A link before it has its place.
pub(super) struct Act {
    row: CustodyRow,
    note: Note,
}

impl CustodyKind {
    const ALL: [Self; 5] = [Self::Received, Self::Downloaded, Self::Verified, Self::Transferred, Self::Sealed];

    pub fn name(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Downloaded => "downloaded",
            Self::Verified => "verified",
            Self::Transferred => "transferred",
            Self::Sealed => "sealed",
        }
    }

    pub(super) fn step(self) -> CustodyStep {
        match self {
            Self::Received | Self::Downloaded | Self::Verified => CustodyStep::Always,
            Self::Transferred => CustodyStep::WhileKept,
            Self::Sealed => CustodyStep::Seals,
        }
    }
}

impl Act {
    /// The first link says what was received.
    pub(super) fn new(
        evidence: Uuid,
        kind: CustodyKind,
        hand: Hand<'_>,
        at_ms: i64,
        note: Option<String>,
        received: Option<&EvidenceRow>,
    ) -> Result<Self, StoreError> {
        let mut salt = [0; 16];
        rand::fill(&mut salt).map_err(|_| StoreError::Failed("no randomness".to_owned()))?;
        let note = Note { text: note, salt: HEXLOWER.encode(&salt) };
        let row = CustodyRow {
            id: Uuid::now_v7(),
            evidence,
            subject: Uuid::nil(),
            seq: 0,
            kind: kind.name().to_owned(),
            actor: hand.user,
            at_ms,
            request_id: hand.request_id.to_owned(),
            note_sealed: Vec::new(),
            digest: [0; 32],
            previous: [0; 32],
            hash: [0; 32],
        };
        let digest = digest_of(&row, kind, &note, received)?;
        Ok(Self { row: CustodyRow { digest, ..row }, note })
    }

    pub(super) fn sealed(self, keys: &Keys) -> Result<CustodyRow, StoreError> {
        let note_sealed = seal(keys, self.row.id, "custody", "note", &self.note)?;
        Ok(CustodyRow { note_sealed, subject: keys.subject, ..self.row })
    }
}

/// The hash of a link in its place. The store calls it where it knows what came before.
pub(crate) fn link(previous: [u8; 32], seq: u32, said: [u8; 32]) -> [u8; 32] {
    let bytes = [&b"hotline custody 1\n"[..], &previous, &seq.to_be_bytes(), &said].concat();
    sha256(&bytes)
}

pub(super) fn opened(opener: &Opener<'_>, row: &CustodyRow) -> Result<CustodyEvent, StoreError> {
    let note: Note = open(opener, row.id, "custody", "note", &row.note_sealed)?;
    Ok(CustodyEvent {
        seq: row.seq,
        event: kind_of(row)?,
        actor: row.actor,
        at: clock::rfc3339(row.at_ms),
        request_id: row.request_id.clone(),
        note: note.text,
        salt: note.salt,
        previous: HEXLOWER.encode(&row.previous),
        hash: HEXLOWER.encode(&row.hash),
    })
}

/// The first thing that is wrong with a chain, in words.
pub(super) fn fault(opener: &Opener<'_>, evidence: &EvidenceRow, chain: &[CustodyRow]) -> Option<String> {
    let mut previous = [0; 32];
    for (at, row) in (0u32..).zip(chain) {
        let place = |what: &str| Some(format!("link {at}: {what}"));
        if row.seq != at {
            return place("a link is missing or out of its place");
        }
        let Ok(note) = open::<Note>(opener, row.id, "custody", "note", &row.note_sealed) else {
            return place("its note does not open");
        };
        let received = (at == 0).then_some(evidence);
        let said = kind_of(row).and_then(|kind| digest_of(row, kind, &note, received));
        if said.ok() != Some(row.digest) {
            return place("it does not say what it said");
        }
        if row.previous != previous || row.hash != link(previous, at, row.digest) {
            return place("it does not follow the one before it");
        }
        previous = row.hash;
    }
    chain.is_empty().then(|| "there is no link".to_owned())
}

fn digest_of(
    row: &CustodyRow,
    kind: CustodyKind,
    note: &Note,
    received: Option<&EvidenceRow>,
) -> Result<[u8; 32], StoreError> {
    let said = Said {
        evidence: row.evidence,
        event: kind,
        actor: row.actor,
        at: clock::rfc3339(row.at_ms),
        request_id: &row.request_id,
        note: note.text.as_deref(),
        salt: &note.salt,
        bytes: received.map(|evidence| evidence.bytes),
        sha256: received.map(|evidence| HEXLOWER.encode(&evidence.sha256)),
        sha512: received.map(|evidence| HEXLOWER.encode(&evidence.sha512)),
    };
    let text = serde_json::to_vec(&said).map_err(|_| StoreError::Malformed { what: "a link of custody" })?;
    Ok(sha256(&text))
}

fn kind_of(row: &CustodyRow) -> Result<CustodyKind, StoreError> {
    let kind = CustodyKind::ALL.into_iter().find(|kind| kind.name() == row.kind);
    kind.ok_or(StoreError::Malformed { what: "a link of custody" })
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}
