//! The folder of a cache: locked, disposable, and empty after somebody was erased.
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hotline::sys;
use nix::fcntl::Flock;

use super::Cache;

/// A folder and the lock that makes it ours; the kernel gives the lock back whatever ends this process.
pub(super) struct Place {
    pub(super) folder: PathBuf,
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
        let opened = opened.and_then(|tree| self.without_the_erased(folder, tree));
        match opened {
            Ok(tree) => *self.tree.lock() = Some(tree),
            Err(reason) => tracing::warn!(reason, "no cache: every request is answered from the store"),
        }
    }

    /// A folder of our own, locked until this worker ends.
    pub(super) fn folder(&self) -> Option<&Path> {
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

    /// The folder, or an empty one in its place if somebody was erased since it was made.
    fn without_the_erased(&self, folder: &Path, tree: sled::Db) -> Result<sled::Db, String> {
        let listed = self.listed_erasures();
        self.erasures_bytes.store(listed, Ordering::Relaxed);
        let listed = listed.to_le_bytes();
        let known = |tree: &sled::Db| catch_unwind(AssertUnwindSafe(|| tree.get(ERASURES))).ok()?.ok()?;
        let tree = if known(&tree).is_some_and(|known| known.as_ref() == listed) {
            tree
        } else {
            drop(tree);
            fs::remove_dir_all(folder).map_err(|error| error.to_string())?;
            self.open_folder(folder)?
        };
        catch_unwind(AssertUnwindSafe(|| tree.insert(ERASURES, &listed)))
            .map_err(|_| "panicked while writing".to_owned())?
            .map_err(|error| error.to_string())?;
        Ok(tree)
    }

    /// The list only grows.
    fn listed_erasures(&self) -> u64 {
        fs::metadata(&self.erasures).map_or(0, |list| list.len())
    }

    /// Removes the folders that no worker has: those of slots that rest.
    pub(crate) fn remove_unused(&self) {
        let folder = self.places[0].parent().and_then(|cache| fs::read_dir(cache).ok());
        for path in folder.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())) {
            if path.is_dir()
                && let Some(place) = Place::take(&path)
            {
                let _ = fs::remove_dir_all(&place.folder);
            }
        }
    }

    /// Called now and then: throws the folder away when it has outgrown its bound, or somebody was erased.
    pub(crate) fn trim(self: &Arc<Self>) {
        let Some(tree) = self.tree.lock().clone() else { return };
        let grown = !matches!(catch_unwind(AssertUnwindSafe(|| tree.size_on_disk())), Ok(Ok(bytes)) if bytes <= self.limits.bytes_max);
        let is_stale = self.listed_erasures() != self.erasures_bytes.load(Ordering::Relaxed);
        if !(grown || is_stale) || self.rebuilding.swap(true, Ordering::AcqRel) {
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
    pub(super) fn abandon(&self) {
        tracing::warn!("the cache failed; going on without it");
        *self.tree.lock() = None;
        let _ = self.folder().map(fs::remove_dir_all);
    }
}

/// No answer is kept under a name of this length.
const ERASURES: &[u8] = b"erasures";
