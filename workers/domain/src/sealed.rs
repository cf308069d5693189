//! What is sealed where, under which version of which key; and sealing it anew under the version of today, in small
//! steps that may end anywhere and are taken up again from the start without doing anything twice.
//!
//! What belongs to a subject is sealed under the subject's keys, and stays so: when a data key changes, those are wrapped
//! anew. Values from before there were such keys are sealed under them when a walk comes by.
use std::collections::BTreeMap;
use std::sync::Arc;

use hotline::vault::{Aad, Head, KeyClass, Under, Vault};
use hotline::wire::SealedCount;
use uuid::Uuid;

use crate::calls::Calls;
use crate::store::{SealedCell, SealedColumn, SealedColumns, StoreError};
use crate::subjects::{Keys, SubjectKeys};

/// Everything sealed, in rows and in files. Cheap to clone.
#[derive(Clone)]
pub struct Sealed {
    store: Arc<dyn SealedColumns>,
    vault: Arc<Vault>,
    keys: SubjectKeys,
    calls: Calls,
}

/// A column and what its values are bound to.
pub(crate) struct Bound {
    pub(crate) cells: SealedColumn,
    class: KeyClass,
    /// `Aad::table` and `Aad::column`.
    place: (&'static str, &'static str),
}

/// How far one walk over everything is.
#[derive(Clone, Debug, Default)]
pub struct Walk {
    stage: usize,
    after: Option<SealedCell>,
}

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stepped {
    pub resealed: u64,
    /// Values that do not open stay as they are, and keep their key from being destroyed.
    pub refused: u64,
    /// The walk has come to its end; the next step begins another.
    pub is_over: bool,
}

impl Sealed {
    pub(crate) fn new(store: Arc<dyn SealedColumns>, vault: Arc<Vault>, keys: SubjectKeys, calls: Calls) -> Self {
        Self { store, vault, keys, calls }
    }

    /// The version that seals for a class now.
    pub fn newest(&self, class: KeyClass) -> Option<u16> {
        match self.vault.newest(class).ok()? {
            Under::Class(_, version) => Some(version),
            Under::Subject(_) | Under::Segments(_) => None,
        }
    }

    /// How much is sealed under which version. What is under a subject's keys is not counted: those keys are.
    pub async fn counts(&self) -> Result<Vec<SealedCount>, StoreError> {
        let mut counts = BTreeMap::<(KeyClass, u16), u64>::new();
        let mut add = |head: Head, count: u64| match Under::of(head) {
            Some(Under::Class(class, version)) => {
                *counts.entry((class, version)).or_default() += count;
                Ok(())
            }
            Some(Under::Subject(_) | Under::Segments(_)) => Ok(()),
            None => Err(StoreError::Malformed { what: "a sealed value" }),
        };
        for column in &COLUMNS {
            for (head, count) in self.store.sealed_heads(column.cells).await? {
                add(head, count)?;
            }
        }
        for folder in 0..=u8::MAX {
            for head in self.calls.recording_heads(folder).await? {
                add(head, 1)?;
            }
        }
        Ok(counts.into_iter().map(|((class, version), count)| SealedCount { class, version, count }).collect())
    }

    /// Seals the next few values anew that are under another version than the one of today.
    pub async fn step(&self, walk: &mut Walk) -> Result<Stepped, StoreError> {
        let Some(column) = COLUMNS.get(walk.stage) else {
            let folder = u8::try_from(walk.stage - COLUMNS.len()).unwrap_or(u8::MAX);
            let (resealed, refused) = self.calls.reseal_recordings(folder, FILES_MAX).await?;
            // A folder with more than one step takes is come back to.
            let is_done = resealed < u64::from(FILES_MAX);
            let is_over = is_done && folder == u8::MAX;
            match (is_over, is_done) {
                (true, _) => *walk = Walk::default(),
                (false, true) => walk.stage += 1,
                (false, false) => {}
            }
            return Ok(Stepped { resealed, refused, is_over });
        };
        let head = match column.cells.subject {
            Some(_) => Under::Subject(column.class).head(),
            None => self.vault.newest(column.class)?.head(),
        };
        let found = self.store.sealed_otherwise(column.cells, head, walk.after.take(), CELLS_MAX).await?;
        if found.len() < CELLS_MAX as usize {
            walk.stage += 1;
        } else {
            walk.after = found.last().cloned();
        }
        let mut anew = Vec::with_capacity(found.len());
        let mut refused = 0;
        let subjects: Vec<Uuid> = found.iter().filter_map(|cell| cell.subject).collect();
        let mut keys = self.keys.of_all(subjects).await?.into_iter();
        for cell in found {
            let keys = cell.subject.and_then(|_| keys.next()).transpose();
            match keys.and_then(|keys| self.anew(column, &cell, keys.as_ref())) {
                Ok(sealed) => anew.push((cell, sealed)),
                Err(error) => {
                    refused += 1;
                    let SealedColumn { table, column, .. } = column.cells;
                    tracing::error!(table, column, row = %cell.id, %error, "a sealed value does not open");
                }
            }
        }
        let resealed = if anew.is_empty() { 0 } else { self.store.reseal(column.cells, anew).await? };
        Ok(Stepped { resealed, refused, is_over: false })
    }

    fn anew(&self, column: &Bound, cell: &SealedCell, keys: Option<&Keys>) -> Result<Vec<u8>, StoreError> {
        let row = cell.id.to_string();
        let (table, name) = column.place;
        let place = Aad { table, row: &row, column: name, version: cell.version };
        let plain = self.vault.open(column.class, &place, &cell.sealed)?;
        Ok(match (keys, column.class) {
            (None, class) => self.vault.seal(class, &place, &plain)?,
            (Some(keys), KeyClass::Call) => keys.call.seal(&place, &plain)?,
            (Some(keys), _) => keys.case.seal(&place, &plain)?,
        })
    }
}

const fn bound(
    (table, id): (&'static str, &'static str),
    column: &'static str,
    version: &'static str,
    class: KeyClass,
    place: (&'static str, &'static str),
) -> Bound {
    Bound { cells: SealedColumn { table, id, column, version, subject: None }, class, place }
}

/// As `bound`, and of the row's subject.
const fn of_subject(
    table: &'static str,
    column: &'static str,
    version: &'static str,
    class: KeyClass,
    place: (&'static str, &'static str),
) -> Bound {
    let cells = SealedColumn { table, id: "id", column, version, subject: Some("subject") };
    Bound { cells, class, place }
}

/// Every column of the store that ends in `_sealed`.
pub(crate) const COLUMNS: [Bound; 14] = [
    bound(("users", "id"), "name_sealed", "1", KeyClass::Person, ("users", "name")),
    bound(("totp", "user"), "secret_sealed", "1", KeyClass::Person, ("totp", "secret")),
    bound(("passkeys", "id"), "passkey_sealed", "1", KeyClass::Person, ("passkeys", "passkey")),
    bound(("subject_keys", "id"), "case_key_sealed", "1", KeyClass::Case, ("subject_keys", "case_key")),
    bound(("subject_keys", "id"), "call_key_sealed", "1", KeyClass::Call, ("subject_keys", "call_key")),
    of_subject("cases", "document_sealed", "version", KeyClass::Case, ("cases", "document")),
    of_subject("case_versions", "document_sealed", "version", KeyClass::Case, ("cases", "document")),
    of_subject("case_guards", "reason_sealed", "1", KeyClass::Case, ("case_guards", "reason")),
    of_subject("evidence", "document_sealed", "1", KeyClass::Case, ("evidence", "document")),
    of_subject("custody", "note_sealed", "1", KeyClass::Case, ("custody", "note")),
    of_subject("calls", "caller_sealed", "1", KeyClass::Call, ("calls", "caller")),
    of_subject("calls", "transcript_sealed", "1", KeyClass::Call, ("calls", "transcript")),
    of_subject("calls", "analysis_sealed", "1", KeyClass::Call, ("calls", "analysis")),
    of_subject("calls", "recommendations_sealed", "1", KeyClass::Call, ("calls", "recommendations")),
];

/// Of one step: some milliseconds of the store's writer.
const CELLS_MAX: u32 = 64;
/// Each may have fifty megabytes.
const FILES_MAX: u32 = 2;

#[cfg(test)]
#[path = "sealed_tests.rs"]
mod tests;
