//! Answers that were built before, sealed, one disposable folder for each slot.
//!
//! An entry carries the generation of what it was built from; a write bumps the generation before it
//! is acknowledged, so an entry is believed only while the numbers are equal. Who may see it is part of
//! the seal: path, user and permission epoch are authenticated, so an entry cannot answer anybody else.
//! The folder is thrown away when it is damaged or grown too large; nothing is lost but time. A slot has two
//! folders, because a worker and its successor may be at work at the same time. When somebody was erased, every folder
//! goes: what it says of them is not believed any more, and is not to lie there either.
mod folder;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest;
use hotline::board::Board;
use hotline::config;
use hotline::vault::{Aad, KeyClass, Vault};
use hotline_domain::cases::Sight;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use folder::Place;

/// The cache of one worker. Closed until its folder is open; a closed cache misses.
pub(crate) struct Cache {
    /// Of these the first that no other worker of this slot has.
    places: [PathBuf; 2],
    place: OnceLock<Place>,
    limits: config::Cache,
    vault: Arc<Vault>,
    board: Arc<Board>,
    tree: Mutex<Option<sled::Db>>,
    /// Where erasures are listed, and how long that list was when the folder was opened.
    erasures: PathBuf,
    erasures_bytes: AtomicU64,
    /// A rebuild is under way.
    rebuilding: AtomicBool,
}

/// Whose answer it is.
#[derive(Clone, Copy)]
pub(crate) struct Owner<'a> {
    pub(crate) path: &'a str,
    pub(crate) user: Uuid,
    pub(crate) epoch: u32,
}

/// A stored answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Board key and generation of what the answer was built from.
    pub(crate) generation_key: u64,
    pub(crate) generation: u64,
    pub(crate) stored_at_ms: u64,
    pub(crate) etag: String,
    /// What of the thing it shows.
    pub(crate) sight: Sight,
    /// How sensitive it is, as the answer's header says.
    pub(crate) classification: String,
    /// Id of the thing, for the audit record of a hit.
    pub(crate) subject: Uuid,
    #[serde(skip)]
    pub(crate) body: Vec<u8>,
}

impl Cache {
    pub(crate) fn new(
        state_dir: &Path,
        slot: u16,
        limits: config::Cache,
        vault: Arc<Vault>,
        board: Arc<Board>,
    ) -> Self {
        let place = |letter| state_dir.join("cache").join(format!("api-{slot}{letter}"));
        let places = [place('a'), place('b')];
        Self {
            places,
            place: OnceLock::new(),
            limits,
            vault,
            board,
            tree: Mutex::new(None),
            erasures: state_dir.join("store").join("erased"),
            erasures_bytes: AtomicU64::new(0),
            rebuilding: AtomicBool::new(false),
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.tree.lock().is_some()
    }

    /// A copy that is still true, if there is one.
    pub(crate) fn find(&self, owner: Owner<'_>, now_ms: u64) -> Option<Entry> {
        let tree = self.tree.lock().clone()?;
        let key = key(owner);
        let sealed = match catch_unwind(AssertUnwindSafe(|| tree.get(key))) {
            Ok(Ok(sealed)) => sealed?,
            _ => {
                self.abandon();
                return None;
            }
        };
        let entry = self.unseal(owner, &sealed);
        let alive = entry.as_ref().is_some_and(|entry| {
            let age_ms = now_ms.saturating_sub(entry.stored_at_ms);
            entry.generation == self.board.generation(entry.generation_key)
                && age_ms < self.limits.entry_seconds_max.saturating_mul(1_000)
        });
        if !alive {
            let _ = catch_unwind(AssertUnwindSafe(|| tree.remove(key)));
            return None;
        }
        entry
    }

    /// Keeps an answer. The caller took the generation before it read the store.
    pub(crate) fn keep(&self, owner: Owner<'_>, entry: &Entry) {
        if entry.body.len() as u64 > self.limits.entry_bytes_max {
            return;
        }
        let Some(tree) = self.tree.lock().clone() else { return };
        let Some(sealed) = self.seal(owner, entry) else { return };
        if !matches!(catch_unwind(AssertUnwindSafe(|| tree.insert(key(owner), sealed))), Ok(Ok(_))) {
            self.abandon();
        }
    }

    fn seal(&self, owner: Owner<'_>, entry: &Entry) -> Option<Vec<u8>> {
        let head = serde_json::to_vec(entry).ok()?;
        let mut plain = Vec::with_capacity(4 + head.len() + entry.body.len());
        plain.extend_from_slice(&u32::try_from(head.len()).ok()?.to_le_bytes());
        plain.extend_from_slice(&head);
        plain.extend_from_slice(&entry.body);
        self.vault.seal(KeyClass::Cache, &aad(&row(owner)), &plain).ok()
    }

    fn unseal(&self, owner: Owner<'_>, sealed: &[u8]) -> Option<Entry> {
        let plain = self.vault.open(KeyClass::Cache, &aad(&row(owner)), sealed).ok()?;
        let (length, rest) = plain.split_at_checked(4)?;
        let length = u32::from_le_bytes(length.try_into().ok()?);
        let (head, body) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        let mut entry: Entry = serde_json::from_slice(head).ok()?;
        entry.body = body.to_vec();
        Some(entry)
    }
}

/// The folder shows no path and no user.
fn key(owner: Owner<'_>) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(owner.user.as_bytes());
    context.update(&owner.epoch.to_le_bytes());
    context.update(owner.path.as_bytes());
    context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// Who and what together: each has a key of its own, under which no more answers are sealed than one person may ask for
/// (`rate.authenticated`). A key for each path would seal everybody's and come to its end.
fn row(owner: Owner<'_>) -> String {
    format!("{}/{} {}", owner.user.as_hyphenated(), owner.epoch, owner.path)
}

fn aad(row: &str) -> Aad<'_> {
    Aad { table: "cache", row, column: "answer", version: 1 }
}

#[cfg(test)]
mod tests;
