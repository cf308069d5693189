//! Whose the workers' folders are, when workers have an account of their own.
//!
//! The state folder stays the supervisor's; the account passes through it to the folders of the workers and
//! to nothing else. What lies in those from before is handed over once, by descriptors that follow no link,
//! the folder itself last: who is interrupted begins again.
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use hotline::config::{Config, Paths};
use hotline::sys::sandbox::{Account, may_assume_accounts};
use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{Mode, SFlag, fstatat};
use nix::unistd::{Gid, Uid, fchown, fchownat, geteuid};

/// Why the workers cannot have their account.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OwnershipError {
    #[error(
        "workers.user needs a supervisor that runs as root, or with CAP_CHOWN, CAP_DAC_READ_SEARCH, CAP_KILL, CAP_SETGID and CAP_SETUID"
    )]
    NotAllowed,
    #[error("could not hand {} to uid {uid} (workers.user): {source}", path.display())]
    Hand { path: PathBuf, uid: u32, source: io::Error },
    #[error("uid {uid} (workers.user) cannot read {}: let it pass through the folders above and read this", path.display())]
    Closed { path: PathBuf, uid: u32 },
    #[error("could not try what workers.user can read: {0}")]
    Try(#[source] io::Error),
}

/// The account that workers change to; `None`: they stay what the supervisor is.
pub(super) fn account(config: &Config) -> Result<Option<Account>, OwnershipError> {
    let Some(account) = config.workers.user.clone().filter(|account| account.uid != geteuid().as_raw()) else {
        return Ok(None);
    };
    if may_assume_accounts() { Ok(Some(account)) } else { Err(OwnershipError::NotAllowed) }
}

/// Gives the workers' folders to whom they belong, and sees that the account reads what it must.
pub(super) fn settle(config: &Config, account: Option<&Account>) -> Result<(), OwnershipError> {
    let paths = &config.paths;
    let failed = |path: &Path, uid| {
        let path = path.to_owned();
        move |source| OwnershipError::Hand { path, uid, source }
    };
    let Some(account) = account else {
        take_back(paths).map_err(failed(&paths.state_dir, geteuid().as_raw()))?;
        return Ok(());
    };
    for folder in paths.of_workers() {
        hand_over(&folder, account).map_err(failed(&folder, account.uid))?;
    }
    open_to_pass(&paths.state_dir, account).map_err(failed(&paths.state_dir, account.uid))?;
    let needed = needed(config);
    let needed: Vec<&Path> = needed.iter().map(PathBuf::as_path).collect();
    match account.first_closed(&needed).map_err(OwnershipError::Try)? {
        Some(at) => Err(OwnershipError::Closed { path: needed[at].to_owned(), uid: account.uid }),
        None => Ok(()),
    }
}

/// The sockets are bound: the account reaches the scribe's. Anybody may pass through the folder, as each
/// socket has a mode of its own.
pub(super) fn let_to_the_scribe(paths: &Paths, account: &Account) -> Result<(), OwnershipError> {
    let failed = |source| OwnershipError::Hand { path: paths.run_dir.clone(), uid: account.uid, source };
    chown(paths.run_dir.join("scribe.sock"), Some(account.uid), Some(account.gid)).map_err(failed)?;
    let mode = fs::metadata(&paths.run_dir).map_err(failed)?.mode();
    fs::set_permissions(&paths.run_dir, Permissions::from_mode(mode & 0o777 | 0o011)).map_err(failed)
}

fn needed(config: &Config) -> Vec<PathBuf> {
    let paths = &config.paths;
    let first_start = !paths.store_dir().join("hotline.db").exists();
    let there = |path: &PathBuf| path.exists();
    paths
        .of_workers()
        .into_iter()
        .chain([paths.knowledge_dir.clone()])
        .chain(Some(paths.models_dir.clone()).filter(there))
        .chain(config.tls.certificate.clone())
        .chain(config.tls.key.clone())
        .chain(paths.admin_password_file.clone().filter(|_| first_start).filter(there))
        .collect()
}

/// The group of the account may pass through; listing stays with the owner.
fn open_to_pass(folder: &Path, account: &Account) -> io::Result<()> {
    chown(folder, None, Some(account.gid))?;
    fs::set_permissions(folder, Permissions::from_mode(0o710))
}

/// Without an account the folders belong to whom the state belongs, so that a later account finds out what
/// was made meanwhile. Their content needs nothing: root reads it.
fn take_back(paths: &Paths) -> io::Result<()> {
    let owner = fs::metadata(&paths.state_dir)?;
    if owner.mode() & 0o777 != 0o700 {
        fs::set_permissions(&paths.state_dir, Permissions::from_mode(0o700))?;
    }
    for folder in paths.of_workers() {
        if fs::metadata(&folder)?.uid() != owner.uid() {
            chown(&folder, Some(owner.uid()), Some(owner.gid()))?;
        }
    }
    Ok(())
}

fn hand_over(folder: &Path, account: &Account) -> io::Result<()> {
    let to = (Uid::from_raw(account.uid), Gid::from_raw(account.gid));
    let meta = fs::symlink_metadata(folder)?;
    if (meta.uid(), meta.gid()) == (account.uid, account.gid) {
        return Ok(());
    }
    let mut dir = Dir::open(folder, FOLDER, Mode::empty())?;
    hand_over_content(&mut dir, to, DEPTH_MAX)?;
    tracing::info!(folder = %folder.display(), uid = account.uid, gid = account.gid, "handed to the workers' account");
    Ok(fchown(dir.as_fd(), Some(to.0), Some(to.1))?)
}

fn hand_over_content(dir: &mut Dir, to: (Uid, Gid), depth: u32) -> io::Result<()> {
    let deeper = depth.checked_sub(1).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
    let entries = dir.iter().collect::<Result<Vec<_>, Errno>>()?;
    for entry in entries {
        let name = entry.file_name();
        if [c".", c".."].contains(&name) || entry.file_type() == Some(Type::Symlink) {
            continue;
        }
        let stat = fstatat(dir.as_fd(), name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        match SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) {
            SFlag::S_IFDIR => {
                let mut inner = Dir::openat(dir.as_fd(), name, FOLDER, Mode::empty())?;
                hand_over_content(&mut inner, to, deeper)?;
                fchown(inner.as_fd(), Some(to.0), Some(to.1))?;
            }
            // A second name may be somebody's trick to own what lies elsewhere.
            SFlag::S_IFREG if stat.st_nlink == 1 => {
                fchownat(dir.as_fd(), name, Some(to.0), Some(to.1), AtFlags::AT_SYMLINK_NOFOLLOW)?;
            }
            _ => tracing::warn!(name = %name.to_string_lossy(), "not handed to the workers' account: no plain file"),
        }
    }
    Ok(())
}

const FOLDER: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);
/// Deeper than anything we make.
const DEPTH_MAX: u32 = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn what_lies_there_is_handed_over_and_what_links_elsewhere_is_not() {
        if !may_assume_accounts() {
            return println!("only root can try this");
        }
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::NamedTempFile::new_in("/tmp").unwrap());
        let at = |name: &str| folder.path().join("store").join(name);
        fs::create_dir_all(at("deep")).unwrap();
        fs::write(at("deep/file"), "").unwrap();
        symlink(outside.path(), at("link")).unwrap();
        fs::hard_link(outside.path(), at("twin")).unwrap();
        let account = Account { uid: 3_999_999, gid: 3_999_998, groups: Vec::new() };
        hand_over(&at(""), &account).unwrap();
        let owner = |path: PathBuf| fs::symlink_metadata(path).map(|meta| (meta.uid(), meta.gid())).unwrap();
        for path in [at(""), at("deep"), at("deep/file")] {
            assert_eq!(owner(path.clone()), (account.uid, account.gid), "{}", path.display());
        }
        assert_eq!(owner(outside.path().to_owned()).0, 0);
        assert_eq!(owner(at("link")).0, 0);
    }
}
