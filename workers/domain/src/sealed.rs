//! What is sealed where, under which version of which key; and sealing it anew under the version of today, in small
//! steps that may end anywhere and are taken up again from the start without doing anything twice.
use std::collections::BTreeMap;
use std::sync::Arc;

use hotline::vault::{Aad, KeyClass, Vault};
use hotline::wire::SealedCount;

use crate::calls::Calls;
use crate::store::{Head, SealedCell, SealedColumn, SealedColumns, StoreError};

/// Everything sealed, in rows and in files. Cheap to clone.
#[derive(Clone)]
pub struct Sealed {
    store: Arc<dyn SealedColumns>,
    vault: Arc<Vault>,
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
    pub(crate) fn new(store: Arc<dyn SealedColumns>, vault: Arc<Vault>, calls: Calls) -> Self {
        Self { store, vault, calls }
    }

    /// The version that seals for a class now.
    pub fn newest(&self, class: KeyClass) -> Option<u16> {
        Vault::sealed_under(&self.vault.head(class).ok()?).map(|(_, version)| version)
    }

    /// How much is sealed under which version.
    pub async fn counts(&self) -> Result<Vec<SealedCount>, StoreError> {
        let mut counts = BTreeMap::<(KeyClass, u16), u64>::new();
        let mut add = |head: Head, count: u64| match Vault::sealed_under(&head) {
            Some(under) => {
                *counts.entry(under).or_default() += count;
                Ok(())
            }
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
        let head = self.vault.head(column.class)?;
        let found = self.store.sealed_otherwise(column.cells, head, walk.after.take(), CELLS_MAX).await?;
        if found.len() < CELLS_MAX as usize {
            walk.stage += 1;
        } else {
            walk.after = found.last().cloned();
        }
        let mut anew = Vec::with_capacity(found.len());
        let mut refused = 0;
        for cell in found {
            match self.anew(column, &cell) {
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

    fn anew(&self, column: &Bound, cell: &SealedCell) -> Result<Vec<u8>, StoreError> {
        let row = cell.id.to_string();
        let (table, name) = column.place;
        let place = Aad { table, row: &row, column: name, version: cell.version };
        let plain = self.vault.open(column.class, &place, &cell.sealed)?;
        Ok(self.vault.seal(column.class, &place, &plain)?)
    }
}

const fn bound(
    (table, id): (&'static str, &'static str),
    column: &'static str,
    version: &'static str,
    class: KeyClass,
    place: (&'static str, &'static str),
) -> Bound {
    Bound { cells: SealedColumn { table, id, column, version }, class, place }
}

/// Every column of the store that ends in `_sealed`.
pub(crate) const COLUMNS: [Bound; 8] = [
    bound(("users", "id"), "name_sealed", "1", KeyClass::Person, ("users", "name")),
    bound(("totp", "user"), "secret_sealed", "1", KeyClass::Person, ("totp", "secret")),
    bound(("cases", "id"), "document_sealed", "version", KeyClass::Case, ("cases", "document")),
    bound(("case_versions", "id"), "document_sealed", "version", KeyClass::Case, ("cases", "document")),
    bound(("calls", "id"), "caller_sealed", "1", KeyClass::Call, ("calls", "caller")),
    bound(("calls", "id"), "transcript_sealed", "1", KeyClass::Call, ("calls", "transcript")),
    bound(("calls", "id"), "analysis_sealed", "1", KeyClass::Call, ("calls", "analysis")),
    bound(("calls", "id"), "recommendations_sealed", "1", KeyClass::Call, ("calls", "recommendations")),
];

/// Of one step: some milliseconds of the store's writer.
const CELLS_MAX: u32 = 64;
/// Each may have fifty megabytes.
const FILES_MAX: u32 = 2;

#[cfg(test)]
#[path = "sealed_tests.rs"]
mod tests;
