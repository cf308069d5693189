//! The state folder: made for its owner only, and owned by one supervisor at a time.
use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use hotline::config::Paths;
use hotline::sys;
use hotline::sys::sandbox::Account;
use nix::fcntl::Flock;

/// Why the state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    #[error("could not prepare the state folder {folder}: {source}")]
    Folder { folder: PathBuf, source: io::Error },
    #[error("another supervisor is using the state folder {folder}")]
    InUse { folder: PathBuf },
    #[error("{folder} is open to others (mode {mode:o}); it must be 0700: chmod 700 {folder}")]
    OpenToOthers { folder: PathBuf, mode: u32 },
}

/// Makes the folders that are missing and locks the state against a second supervisor. The workers' account
/// may pass through; everybody else is kept out.
pub(super) fn take(paths: &Paths, account: Option<&Account>) -> Result<Flock<File>, StateError> {
    for folder in [&paths.state_dir, &paths.run_dir] {
        make_private(folder).map_err(|source| StateError::Folder { folder: folder.clone(), source })?;
    }
    let folder = paths.state_dir.clone();
    let wrap = |source| StateError::Folder { folder: folder.clone(), source };
    let meta = fs::metadata(&folder).map_err(wrap)?;
    // The group of an account that workers had before may pass no longer (`ownership` sees to it).
    let may_pass = account.is_none_or(|account| account.gid == meta.gid());
    if meta.mode() & if may_pass { 0o067 } else { 0o077 } != 0 {
        return Err(StateError::OpenToOthers { folder, mode: meta.mode() & 0o777 });
    }
    let path = folder.join("supervisor.lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(wrap)?;
    file.set_permissions(Permissions::from_mode(0o600)).map_err(wrap)?;
    let lock = sys::lock_file(file).map_err(wrap)?.ok_or_else(|| StateError::InUse { folder: folder.clone() })?;
    for folder in paths.of_workers() {
        make_private(&folder).map_err(|source| StateError::Folder { folder, source })?;
    }
    move_store(paths).map_err(wrap)?;
    // Workers can only be let into folders that are there; somebody may be about to fetch the models.
    let _ = fs::create_dir_all(&paths.models_dir);
    Ok(lock)
}

/// The database lay beside the keys once. Its journal goes first: a database without it would lose what
/// only the journal has, and the next start goes on where a crash stopped this one.
fn move_store(paths: &Paths) -> io::Result<()> {
    let (from, to) = (&paths.state_dir, paths.store_dir());
    if to.join("hotline.db").exists() {
        return Ok(());
    }
    for name in ["hotline.db-wal", "hotline.db-shm", "first-administrator.txt", "hotline.db"] {
        if from.join(name).exists() {
            fs::rename(from.join(name), to.join(name))?;
            File::open(&to)?.sync_all()?;
            tracing::info!(name, folder = %to.display(), "moved to its folder");
        }
    }
    File::open(from)?.sync_all()
}

fn make_private(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(state_dir: PathBuf) -> Paths {
        let run_dir = state_dir.join("run");
        Paths {
            run_dir,
            models_dir: PathBuf::new(),
            knowledge_dir: PathBuf::new(),
            policy_dir: PathBuf::new(),
            admin_password_file: None,
            state_dir,
        }
    }

    #[test]
    fn a_second_supervisor_is_refused_until_the_first_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let paths = paths(folder.path().join("state"));
        let first = take(&paths, None).unwrap();
        assert!(matches!(take(&paths, None), Err(StateError::InUse { .. })));
        drop(first);
        take(&paths, None).unwrap();
    }

    #[test]
    fn a_database_of_an_earlier_version_is_found_where_it_is_now() {
        let folder = tempfile::Builder::new().permissions(Permissions::from_mode(0o700)).tempdir().unwrap();
        let paths = paths(folder.path().to_owned());
        // As a crash leaves it: the journal has moved, the database has not.
        fs::create_dir(paths.store_dir()).unwrap();
        fs::write(paths.store_dir().join("hotline.db-wal"), "journal").unwrap();
        fs::write(folder.path().join("hotline.db"), "database").unwrap();
        drop(take(&paths, None).unwrap());
        let read = |name: &str| fs::read_to_string(paths.store_dir().join(name)).unwrap();
        assert_eq!((read("hotline.db"), read("hotline.db-wal")), ("database".to_owned(), "journal".to_owned()));
        assert!(!folder.path().join("hotline.db").exists());
        // A second database beside the keys is nobody's; the one in use stays.
        fs::write(folder.path().join("hotline.db"), "stranger").unwrap();
        drop(take(&paths, None).unwrap());
        assert_eq!(read("hotline.db"), "database");
    }

    #[test]
    fn a_folder_open_to_others_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(take(&paths(folder.path().to_owned()), None), Err(StateError::OpenToOthers { .. })));
    }
}
