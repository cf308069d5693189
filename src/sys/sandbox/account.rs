//! An account of the workers' own: what it is, and becoming it for good.
//!
//! The supervisor keeps its own: so the key-encryption key is its alone, its admin socket refuses workers,
//! and a worker cannot join the listeners' port, which the kernel keeps for the account that bound it.
use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::libc;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use serde::{Deserialize, Serialize};

/// Numbers only: names are looked up before anything is forked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    pub uid: u32,
    pub gid: u32,
    /// Further groups, as of somebody who logs in.
    pub groups: Vec<u32>,
}

impl Account {
    /// Becomes this account: no way back, no capability. In a child that has one thread; makes system calls
    /// only. `false`: it may be half done, and the child must end.
    pub(in crate::sys) fn assume(&self) -> bool {
        // Raw calls: libc's would tell other threads, of which a forked child has none.
        // SAFETY: numbers, and a pointer to as many groups as it says.
        unsafe {
            for capability in 0..CAPABILITIES_MAX {
                // Beyond the last one, or without the right to: what matters is that none is left below.
                libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0);
            }
            libc::syscall(libc::SYS_setgroups, self.groups.len(), self.groups.as_ptr()) == 0
                && libc::syscall(libc::SYS_setresgid, self.gid, self.gid, self.gid) == 0
                && libc::syscall(libc::SYS_setresuid, self.uid, self.uid, self.uid) == 0
                && drop_all()
                && libc::syscall(libc::SYS_setresuid, -1, 0, -1) != 0
        }
    }

    /// The first of these files and folders that the account cannot open for reading. Asked of the kernel,
    /// in a child that becomes the account, so that groups and access lists count. One thread only.
    pub fn first_closed(&self, paths: &[&Path]) -> io::Result<Option<usize>> {
        let names: Vec<CString> =
            paths.iter().map(|path| CString::new(path.as_os_str().as_bytes())).collect::<Result<_, _>>()?;
        // SAFETY: the child makes system calls on data that is there already, and ends.
        match unsafe { fork() }? {
            ForkResult::Child => {
                let all_open = i32::try_from(names.len()).unwrap_or(FAILED);
                let closed = match self.assume() {
                    true => (0..).zip(&names).find(|(_, name)| !opens(name)).map_or(all_open, |(at, _)| at),
                    false => FAILED,
                };
                // SAFETY: ends the child.
                unsafe { libc::_exit(closed) }
            }
            ForkResult::Parent { child } => loop {
                match waitpid(child, None) {
                    Ok(WaitStatus::Exited(_, code)) if code != FAILED => {
                        return Ok(usize::try_from(code).ok().filter(|at| *at < paths.len()));
                    }
                    Err(Errno::EINTR) => {}
                    _ => return Err(io::Error::other("could not become the account")),
                }
            },
        }
    }
}

fn opens(name: &CString) -> bool {
    // SAFETY: the name ends with NUL; the descriptor ends with this child.
    (unsafe { libc::open(name.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK) }) >= 0
}

/// Leaves an ordinary account nothing that exec would pass on; root keeps what root has. One system call, for
/// a child before exec.
pub(in crate::sys) fn keep_capabilities_from_exec() {
    // SAFETY: numbers only. A kernel that does not know it has nothing to pass on.
    unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) };
}

fn drop_all() -> bool {
    keep_capabilities_from_exec();
    let header = Header { version: CAPABILITY_VERSION_3, pid: 0 };
    let none = [Sets::default(); 2];
    // SAFETY: the kernel reads a header and, for this version, two sets.
    (unsafe { libc::syscall(libc::SYS_capset, &raw const header, none.as_ptr()) }) == 0
}

/// Whether this process may start others under another account, own their files, and end them.
pub fn may_assume_accounts() -> bool {
    let header = Header { version: CAPABILITY_VERSION_3, pid: 0 };
    let mut sets = [Sets::default(); 2];
    // SAFETY: the kernel reads a header and writes, for this version, two sets.
    let asked = unsafe { libc::syscall(libc::SYS_capget, &raw const header, sets.as_mut_ptr()) };
    asked == 0 && NEEDED.iter().all(|capability| sets[0].effective & (1 << capability) != 0)
}

/// For the account `user` names: its number, its group and the others it belongs to. `None`: nobody.
pub fn account_named(user: &str) -> io::Result<Option<Account>> {
    let Some(known) = nix::unistd::User::from_name(user)? else { return Ok(None) };
    let groups = nix::unistd::getgrouplist(&CString::new(user)?, known.gid)?;
    let groups = groups.into_iter().map(nix::unistd::Gid::as_raw).collect();
    Ok(Some(Account { uid: known.uid.as_raw(), gid: known.gid.as_raw(), groups }))
}

#[repr(C)]
struct Header {
    version: u32,
    pid: libc::c_int,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Sets {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

const CAPABILITY_VERSION_3: u32 = 0x2008_0522;
const CAPABILITIES_MAX: libc::c_ulong = 64;
/// CHOWN, DAC_READ_SEARCH, KILL, SETGID, SETUID.
const NEEDED: [u32; 5] = [0, 2, 5, 6, 7];
/// No index: far more than the paths that are asked for.
const FAILED: i32 = 255;

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, chown};

    const STRANGER: u32 = 3_999_999;

    #[test]
    fn names_are_looked_up() {
        let root = account_named("root").unwrap().unwrap();
        assert_eq!((root.uid, root.gid), (0, 0));
        assert!(root.groups.contains(&0));
        assert_eq!(account_named("no-such-user-here").unwrap(), None);
    }

    #[test]
    fn the_kernel_says_what_an_account_can_read() {
        if !may_assume_accounts() {
            return println!("only root can try this");
        }
        let folder = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o711)).tempdir().unwrap();
        let file = |name: &str, mode: u32, group: u32| {
            let path = folder.path().join(name);
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            chown(&path, None, Some(group)).unwrap();
            path
        };
        let account = Account { uid: STRANGER, gid: STRANGER, groups: vec![STRANGER + 1] };
        let (open, grouped) = (file("open", 0o644, 0), file("grouped", 0o640, STRANGER + 1));
        let (closed, missing) = (file("closed", 0o600, 0), folder.path().join("missing"));
        assert_eq!(account.first_closed(&[&open, &grouped]).unwrap(), None);
        assert_eq!(account.first_closed(&[&open, &closed, &grouped]).unwrap(), Some(1));
        assert_eq!(account.first_closed(&[&missing]).unwrap(), Some(0));
    }
}
