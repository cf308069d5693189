//! Evidence: bytes that are kept exactly as they came, and a chain of custody that tells who had them in hand.
//!
//! A file is hashed and sealed while it arrives, and is there only when its row is. After that nobody changes it; what
//! is done with it becomes a link of its chain, with the request that is in the audit log.
mod custody;
mod intake;
mod kinds;
mod shape;
#[cfg(test)]
mod tests;
mod verify;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use hotline::lifecycle::clock;
use hotline::vault::{Aad, KeyClass, SegmentReader};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;
use zeroize::Zeroizing;

pub(crate) use custody::link;
pub use custody::{CustodyEvent, CustodyKind};
pub use intake::{Intake, Taken};
pub use kinds::Kind;
pub use shape::{EvidenceItem, EvidenceState, EvidenceType, NewEvidence};
pub use verify::{Check, Verdict};

use crate::blobs::Blobs;
use crate::once::Once;
use crate::store::{self, CaseKey, EvidenceRow, Inserted, Store, StoreError};
use crate::subjects::{Keys, Opener, SubjectKeys};
use custody::Act;
use shape::Document;

/// The room of evidence.
#[derive(Clone)]
pub struct Evidence {
    store: Arc<dyn Store>,
    keys: SubjectKeys,
    files: Blobs,
}

/// Who did it, and the request that is on record.
#[derive(Clone, Copy)]
pub struct Hand<'a> {
    pub user: Uuid,
    pub request_id: &'a str,
}

/// What became of keeping it.
pub enum Kept {
    Done(Box<EvidenceItem>),
    /// The same request kept this before.
    Before(Box<EvidenceItem>),
    /// The key was used for another request.
    OtherRequest,
    /// The case has as much as a case may have.
    TooMany,
}

impl Evidence {
    pub(crate) fn open(store: Arc<dyn Store>, keys: SubjectKeys, state_dir: &Path) -> Result<Self, StoreError> {
        Ok(Self { store, keys, files: Blobs::open(state_dir.join("blobs").join("evidence"))? })
    }

    /// A file that is about to come, for that case.
    pub async fn begin(&self, id: Uuid, case: Uuid) -> Result<Intake, StoreError> {
        let keys = self.keys_of_case(case).await?;
        Intake::start(self.files.path(id), keys.case, id)
    }

    /// Makes what was taken part of the case. Otherwise the file goes.
    pub async fn keep(
        &self,
        id: Uuid,
        hand: Hand<'_>,
        new: NewEvidence,
        taken: Taken,
        once: Option<Once>,
    ) -> Result<Kept, StoreError> {
        let kept = self.insert(id, hand, new, taken, once).await;
        if !matches!(kept, Ok(Inserted::Done)) {
            self.files.remove(id);
        }
        let item = async |id| Ok::<_, StoreError>(Box::new(self.find(id).await?.ok_or(GONE)?));
        Ok(match kept? {
            Inserted::Done => Kept::Done(item(id).await?),
            Inserted::Before { id } => Kept::Before(item(id).await?),
            Inserted::OtherRequest => Kept::OtherRequest,
            Inserted::NumberTaken | Inserted::QueueFull => Kept::TooMany,
        })
    }

    /// What was taken is not wanted after all.
    pub fn drop_taken(&self, id: Uuid) {
        self.files.remove(id);
    }

    async fn insert(
        &self,
        id: Uuid,
        hand: Hand<'_>,
        new: NewEvidence,
        taken: Taken,
        once: Option<Once>,
    ) -> Result<Inserted, StoreError> {
        let keys = self.keys_of_case(new.case).await?;
        let kind = kinds::sniff(&taken.beginning);
        let document = Document {
            file_name: new.file_name,
            description: new.description,
            media_type: kind.media_type.to_owned(),
            declared_type: new.declared_type,
            active: kind.active,
        };
        let at_ms = clock::now_ms().cast_signed();
        let row = EvidenceRow {
            id,
            case: new.case,
            subject: keys.subject,
            kind: new.evidence_type.name().to_owned(),
            state: EvidenceState::Kept.name().to_owned(),
            bytes: taken.bytes,
            sha256: taken.sha256,
            sha512: taken.sha512,
            created_by: hand.user,
            created_at_ms: at_ms,
            document_sealed: seal(&keys, id, "evidence", "document", &document)?,
            erased_at_ms: None,
            subject_key: None,
        };
        let act = Act::new(id, CustodyKind::Received, hand, at_ms, None, Some(&row))?;
        let custody = act.sealed(&keys)?;
        self.store.insert_evidence(row, custody, once.as_ref().map(Once::row), ITEMS_MAX).await
    }

    pub async fn find(&self, id: Uuid) -> Result<Option<EvidenceItem>, StoreError> {
        self.store.evidence(id).await?.map(|row| self.item(&row)).transpose()
    }

    /// What a case has, in the order in which it came.
    pub async fn of_case(&self, case: Uuid) -> Result<Vec<EvidenceItem>, StoreError> {
        self.store.evidence_of_case(case).await?.iter().map(|row| self.item(row)).collect()
    }

    /// Who had it in hand, from the beginning.
    pub async fn custody(&self, id: Uuid) -> Result<Vec<CustodyEvent>, StoreError> {
        let row = self.store.evidence(id).await?.ok_or(GONE)?;
        let opener = self.opener(&row)?;
        self.store.custody_of(id).await?.iter().map(|link| custody::opened(&opener, link)).collect()
    }

    /// Adds a link to the chain. False: it is sealed, and what this is about would change it.
    pub async fn note(
        &self,
        id: Uuid,
        kind: CustodyKind,
        hand: Hand<'_>,
        note: Option<String>,
    ) -> Result<bool, StoreError> {
        let row = self.store.evidence(id).await?.ok_or(GONE)?;
        let keys = self.keys.of(row.subject).await?;
        let act = Act::new(id, kind, hand, clock::now_ms().cast_signed(), note, None)?;
        self.store.append_custody(act.sealed(&keys)?, kind.step()).await
    }

    /// Opens the file, to be read from; reading blocks on the disk.
    pub async fn content(&self, id: Uuid) -> Result<SegmentReader<File>, StoreError> {
        let row = self.store.evidence(id).await?.ok_or(GONE)?;
        self.reader(&row)
    }

    /// Removes files that no row names, in one of the 256 folders; tells how many.
    pub async fn sweep(&self, folder: u8) -> Result<usize, StoreError> {
        let aged = self.files.aged(folder).await?;
        let known = self.store.evidence_among(aged.iter().filter_map(|aged| aged.id).collect()).await?;
        self.files.discard_but(aged, known).await
    }

    /// Of everybody who was erased.
    pub(crate) async fn remove_erased(&self) -> Result<(), StoreError> {
        self.files.remove_all(self.store.erased_evidence().await?).await
    }

    async fn keys_of_case(&self, case: Uuid) -> Result<Keys, StoreError> {
        let row = self.store.case(CaseKey::Id(case)).await?.ok_or(StoreError::Malformed { what: "no such case" })?;
        self.keys.of(row.subject).await
    }

    fn reader(&self, row: &EvidenceRow) -> Result<SegmentReader<File>, StoreError> {
        let id = row.id.to_string();
        let file = File::open(self.files.path(row.id))?;
        Ok(SegmentReader::open(self.opener(row)?.key()?, &content_place(&id), file)?)
    }

    fn opener(&self, row: &EvidenceRow) -> Result<Opener<'_>, StoreError> {
        match row.erased_at_ms {
            Some(_) => Err(StoreError::Erased),
            None => self.keys.opener(KeyClass::Case, row.subject, row.subject_key.as_deref()),
        }
    }

    fn item(&self, row: &EvidenceRow) -> Result<EvidenceItem, StoreError> {
        let document: Document = open(&self.opener(row)?, row.id, "evidence", "document", &row.document_sealed)?;
        shape::item(row, document)
    }
}

fn seal<T: Serialize>(keys: &Keys, id: Uuid, table: &str, column: &str, value: &T) -> Result<Vec<u8>, StoreError> {
    let plain = serde_json::to_vec(value).map_err(|_| StoreError::Malformed { what: "evidence" })?;
    let row = id.to_string();
    Ok(keys.case.seal(&Aad { table, row: &row, column, version: 1 }, &Zeroizing::new(plain))?)
}

fn open<T: DeserializeOwned>(
    opener: &Opener<'_>,
    id: Uuid,
    table: &str,
    column: &str,
    sealed: &[u8],
) -> Result<T, StoreError> {
    let row = id.to_string();
    let plain = opener.open(&Aad { table, row: &row, column, version: 1 }, sealed)?;
    serde_json::from_slice(&plain).map_err(|_| StoreError::Malformed { what: "evidence" })
}

fn content_place(row: &str) -> Aad<'_> {
    Aad { table: "evidence", row, column: "content", version: 1 }
}

const GONE: StoreError = store::StoreError::Malformed { what: "no such evidence" };
/// Of one case; a page of each is a page.
const ITEMS_MAX: u32 = 1_000;
