//! The cache from outside: who gets which answer, and what lies in the folder.
use std::fs;
use std::sync::atomic::Ordering;

use hotline_domain::cases::Sight;

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
        sight: Sight::FULL,
        classification: "CONFIDENTIAL".to_owned(),
        subject: Uuid::from_u128(1),
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

#[test]
fn when_somebody_was_erased_nothing_stays_in_any_folder() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("store")).unwrap();
    let resting = folder.path().join("cache/api-7a");
    let cache = cache(folder.path());
    cache.keep(owner("/x", 1, 1), &entry(&cache));
    cache.tree.lock().clone().unwrap().flush().unwrap();
    fs::create_dir_all(&resting).unwrap();
    cache.trim();
    assert!(cache.find(owner("/x", 1, 1), NOW_MS).is_some(), "nobody was");
    fs::write(folder.path().join("store/erased"), "x\n").unwrap();
    cache.trim();
    while !cache.is_open() || cache.rebuilding.load(Ordering::Acquire) {
        std::thread::yield_now();
    }
    assert!(cache.find(owner("/x", 1, 1), NOW_MS).is_none());
    cache.remove_unused();
    assert!(!resting.exists() && cache.is_open());
    // A worker that comes later, over a folder from before.
    cache.keep(owner("/x", 1, 1), &entry(&cache));
    cache.tree.lock().clone().unwrap().flush().unwrap();
    fs::write(folder.path().join("store/erased"), "x\ny\n").unwrap();
    *cache.tree.lock() = None;
    cache.open();
    assert!(cache.find(owner("/x", 1, 1), NOW_MS).is_none());
}
