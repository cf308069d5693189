//! Answers that were built before, sealed, one disposable folder for each slot.
//!
//! An entry carries the generation of what it was built from; a write bumps the generation before it
//! is acknowledged, so an entry is believed only while the numbers are equal. Who may see it is part of
//! the seal: path, user and permission epoch are authenticated, so an entry cannot answer anybody else.
//! The folder is thrown away when it is damaged or grown too large; nothing is lost but time. A slot has two
//! folders, because a worker and its successor may be at work at the same time.
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest;
use hotline::board::Board;
use hotline::config;
use hotline::sys;
use hotline::vault::{Aad, KeyClass, Vault};
use nix::fcntl::Flock;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The cache of one worker. Closed until its folder is open; a closed cache misses.
pub(crate) struct Cache {
    /// Of these the first that no other worker of this slot has.
    places: [PathBuf; 2],
    place: OnceLock<Place>,
    limits: config::Cache,
    vault: Arc<Vault>,
    board: Arc<Board>,
    tree: Mutex<Option<sled::Db>>,
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
    /// How sensitive it is, as the answer's header says.
    pub(crate) classification: String,
    /// Id of the thing, for the audit record of a hit.
    pub(crate) subject: String,
    #[serde(skip)]
    pub(crate) body: Vec<u8>,
}

/// A folder and the lock that makes it ours; the kernel gives the lock back whatever ends this process.
struct Place {
    folder: PathBuf,
    _lock: Flock<fs::File>,
}

impl Place {
    fn take(folder: &Path) -> Option<Self> {
        fs::create_dir_all(folder.parent()?).ok()?;
        let file =
            fs::File::options().create(true).truncate(false).write(true).open(folder.with_extension("lock")).ok()?;
        let lock = sys::lock_file(file).ok()??;
        Some(Self { folder: folder.to_owned(), _lock: lock })
    }
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
            rebuilding: AtomicBool::new(false),
        }
    }

    /// Opens the folder; takes up to a third of a second after a crash, so not on the request runtime.
    pub(crate) fn open(&self) {
        if !self.limits.enabled {
            return;
        }
        let Some(folder) = self.folder() else {
            tracing::info!("no cache: two other workers of this slot are still leaving");
            return;
        };
        let opened = self.open_folder(folder).or_else(|reason| {
            tracing::warn!(reason, "the cache is damaged; starting an empty one");
            let _ = fs::remove_dir_all(folder);
            self.open_folder(folder)
        });
        match opened {
            Ok(tree) => *self.tree.lock() = Some(tree),
            Err(reason) => tracing::warn!(reason, "no cache: every request is answered from the store"),
        }
    }

    /// A folder of our own, locked until this worker ends.
    fn folder(&self) -> Option<&Path> {
        if self.place.get().is_none()
            && let Some(place) = self.places.iter().find_map(|folder| Place::take(folder))
        {
            let _ = self.place.set(place);
        }
        self.place.get().map(|place| place.folder.as_path())
    }

    fn open_folder(&self, folder: &Path) -> Result<sled::Db, String> {
        let options = sled::Config::new()
            .path(folder)
            .cache_capacity(self.limits.bytes_max / 4)
            // A lost entry is a miss; nobody needs it on disk.
            .flush_every_ms(None)
            .mode(sled::Mode::HighThroughput);
        // A damaged file makes sled panic rather than fail.
        catch_unwind(AssertUnwindSafe(|| options.open()))
            .map_err(|_| "panicked while opening".to_owned())?
            .map_err(|error| error.to_string())
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

    /// Called now and then: throws the folder away when it has outgrown its bound.
    pub(crate) fn trim(self: &Arc<Self>) {
        let Some(tree) = self.tree.lock().clone() else { return };
        let grown = !matches!(catch_unwind(AssertUnwindSafe(|| tree.size_on_disk())), Ok(Ok(bytes)) if bytes <= self.limits.bytes_max);
        if !grown || self.rebuilding.swap(true, Ordering::AcqRel) {
            return;
        }
        *self.tree.lock() = None;
        drop(tree);
        let cache = Arc::clone(self);
        std::thread::spawn(move || {
            let _ = cache.folder().map(fs::remove_dir_all);
            cache.open();
            cache.rebuilding.store(false, Ordering::Release);
        });
    }

    /// Something is wrong with the files: no cache until the next start.
    fn abandon(&self) {
        tracing::warn!("the cache failed; going on without it");
        *self.tree.lock() = None;
        let _ = self.folder().map(fs::remove_dir_all);
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
mod tests {
    use super::*;
    use hotline::wire::KeyBytes;

    const NOW_MS: u64 = 1_700_000_000_000;

    fn cache(folder: &Path) -> Arc<Cache> {
        let vault = Vault::new([(KeyClass::Cache, vec![KeyBytes { version: 1, bytes: [7; 32] }])]);
        let (board, _fd) = Board::create(1).unwrap();
        let limits = crate::testing::config(folder).cache;
        let cache = Arc::new(Cache::new(folder, 0, limits, Arc::new(vault), Arc::new(board)));
        cache.open();
        cache
    }

    fn owner(path: &str, user: u128, epoch: u32) -> Owner<'_> {
        Owner { path, user: Uuid::from_u128(user), epoch }
    }

    fn entry(cache: &Cache) -> Entry {
        Entry {
            generation_key: 9,
            generation: cache.board.generation(9),
            stored_at_ms: NOW_MS,
            etag: "\"1\"".to_owned(),
            classification: "CONFIDENTIAL".to_owned(),
            subject: "case-1".to_owned(),
            body: b"the narrative of Ana Ruiz".to_vec(),
        }
    }

    #[test]
    fn an_entry_answers_only_its_owner_and_only_while_it_is_true() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path());
        let mine = owner("/api/v1/cases/1", 1, 1);
        cache.keep(mine, &entry(&cache));
        assert_eq!(cache.find(mine, NOW_MS), Some(entry(&cache)));
        assert_eq!(cache.find(owner("/api/v1/cases/1", 2, 1), NOW_MS), None, "another user");
        assert_eq!(cache.find(owner("/api/v1/cases/1", 1, 2), NOW_MS), None, "other rights");
        assert_eq!(cache.find(owner("/api/v1/cases/2", 1, 1), NOW_MS), None, "another path");
        cache.board.bump(9);
        assert_eq!(cache.find(mine, NOW_MS), None, "written since");
    }

    #[test]
    fn an_entry_grows_old() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path());
        let mine = owner("/x", 1, 1);
        cache.keep(mine, &entry(&cache));
        let life_ms = cache.limits.entry_seconds_max * 1_000;
        assert!(cache.find(mine, NOW_MS + life_ms - 1).is_some());
        assert!(cache.find(mine, NOW_MS + life_ms).is_none());
    }

    #[test]
    fn an_entry_moved_to_another_key_does_not_open() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path());
        let (mine, yours) = (owner("/x", 1, 1), owner("/x", 2, 1));
        cache.keep(mine, &entry(&cache));
        let tree = cache.tree.lock().clone().unwrap();
        let sealed = tree.get(key(mine)).unwrap().unwrap();
        tree.insert(key(yours), sealed).unwrap();
        assert_eq!(cache.find(yours, NOW_MS), None);
    }

    #[test]
    fn a_damaged_folder_is_thrown_away() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("cache/api-0a");
        fs::create_dir_all(&at).unwrap();
        fs::write(at.join("conf"), b"not a cache").unwrap();
        fs::write(at.join("db"), vec![0xff; 4_096]).unwrap();
        let cache = cache(folder.path());
        assert!(cache.is_open());
        cache.keep(owner("/x", 1, 1), &entry(&cache));
        assert!(cache.find(owner("/x", 1, 1), NOW_MS).is_some());
    }

    #[test]
    fn a_successor_never_opens_what_its_predecessor_still_has() {
        let folder = tempfile::tempdir().unwrap();
        let (leaving, coming) = (cache(folder.path()), cache(folder.path()));
        assert!(leaving.is_open() && coming.is_open());
        assert_ne!(leaving.folder(), coming.folder());
        let third = cache(folder.path());
        assert!(!third.is_open(), "both folders of the slot are taken");
        third.keep(owner("/x", 1, 1), &entry(&third));
        assert_eq!(third.find(owner("/x", 1, 1), NOW_MS), None, "and it goes on without");
        drop(leaving);
        assert!(cache(folder.path()).is_open());
    }

    #[test]
    fn no_word_of_an_answer_lies_in_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path());
        cache.keep(owner("/x", 1, 1), &entry(&cache));
        let tree = cache.tree.lock().clone().unwrap();
        tree.flush().unwrap();
        for (_, value) in tree.iter().map(Result::unwrap) {
            assert!(!String::from_utf8_lossy(&value).contains("Ruiz"));
        }
    }
}
