//! Starts a worker: fork and exec with exactly the descriptors it needs, at fixed numbers.
//!
//! The executable is opened once (`O_PATH`) and executed through that descriptor, so a respawn runs the
//! version this supervisor belongs to even after the package was replaced. Everything the child needs
//! is prepared before the fork; between fork and exec there are only system calls.
//!
//! There is no parent-death signal: it would cut a drain short. A worker whose supervisor dies sees
//! the end of its control socket, drains, and leaves.
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::ptr;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::libc;
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::sys::stat::{SFlag, fstat};
use nix::unistd::{ForkResult, Pid, fork};

use super::Pidfd;
use super::sandbox::{Account, keep_capabilities_from_exec};

/// The worker's end of its control socket.
pub const CONTROL_FD: RawFd = 3;
/// The board's memory.
pub const BOARD_FD: RawFd = 4;
/// The first listener of roles that have any; further ones follow.
pub const LISTENER_FD: RawFd = 5;

/// An executable, held open so that it cannot be exchanged under us.
pub struct Program {
    file: File,
    name: CString,
}

/// A started process.
pub struct Spawned {
    pub pid: u32,
    pub pidfd: Pidfd,
}

impl Program {
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::options().read(true).custom_flags(libc::O_PATH | libc::O_CLOEXEC).open(path)?;
        let name = path.file_name().map(|name| name.as_encoded_bytes().to_vec()).unwrap_or_default();
        Ok(Self { file, name: CString::new(name)? })
    }

    /// An executable that another image of this process held open.
    pub fn held(fd: OwnedFd, name: &str) -> io::Result<Self> {
        Ok(Self { file: File::from(fd), name: CString::new(name)? })
    }

    pub(super) fn name(&self) -> &CString {
        &self.name
    }
}

impl AsFd for Program {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Starts `program` with `handed[i]` as its descriptor 3 + i, standard streams as ours, and nothing else; under
/// `account` if there is one. Workers get their settings over the wire; an environment may carry anything.
pub fn spawn(program: &Program, handed: &[BorrowedFd<'_>], account: Option<&Account>) -> io::Result<Spawned> {
    spawn_with(program, &[], &[], handed, account)
}

/// As `spawn`, with arguments and an environment (`NAME=value`).
pub fn spawn_with(
    program: &Program,
    arguments: &[CString],
    environment: &[CString],
    handed: &[BorrowedFd<'_>],
    account: Option<&Account>,
) -> io::Result<Spawned> {
    // Out of the way of the numbers that are given out, so that no dup2 closes one of them or the program.
    let first_free = CONTROL_FD + RawFd::try_from(handed.len()).map_err(io::Error::other)?;
    let moved = handed.iter().map(|fd| duplicate_above(*fd, first_free)).collect::<io::Result<Vec<OwnedFd>>>()?;
    let image = duplicate_above(program.file.as_fd(), first_free)?;
    let from: Vec<RawFd> = moved.iter().map(AsRawFd::as_raw_fd).collect();
    let argv = pointers(std::iter::once(&program.name).chain(arguments));
    let envp = pointers(environment);
    let nothing = SigSet::empty();

    // SAFETY: this process has one thread (the supervisor never makes another), and the child calls only
    // async-signal-safe functions on data that was prepared above.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => {
            let pidfd = Pidfd::open(child)?;
            Ok(Spawned { pid: child.as_raw().cast_unsigned(), pidfd })
        }
        ForkResult::Child => {
            become_worker(&from, first_free, &nothing);
            give_up_rights(account);
            // SAFETY: all pointers are to NUL-terminated data that lives until the image is replaced.
            unsafe {
                libc::execveat(
                    image.as_raw_fd(),
                    c"".as_ptr(),
                    argv.as_ptr().cast(),
                    envp.as_ptr().cast(),
                    libc::AT_EMPTY_PATH,
                );
                libc::_exit(EXEC_FAILED)
            }
        }
    }
}

pub(super) fn pointers<'a>(strings: impl IntoIterator<Item = &'a CString>) -> Vec<*const libc::c_char> {
    strings.into_iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
}

/// In the child: descriptors in place, everything else closed by exec, signals as a fresh program expects.
fn become_worker(from: &[RawFd], first_free: RawFd, no_signals: &SigSet) {
    // SAFETY: plain system calls on numbers this child owns; failures end the child at once.
    unsafe {
        for (to, from) in (CONTROL_FD..).zip(from) {
            if libc::dup2(*from, to) < 0 {
                libc::_exit(EXEC_FAILED);
            }
        }
        let cloexec = libc::CLOSE_RANGE_CLOEXEC.cast_signed();
        if libc::close_range(first_free.cast_unsigned(), libc::c_uint::MAX, cloexec) < 0 {
            libc::_exit(EXEC_FAILED);
        }
        // A group of its own: Ctrl-C in the terminal is for the supervisor, which drains the workers.
        libc::setpgid(0, 0);
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    }
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(no_signals), None);
}

/// In the child: another account, or at least no capability of an ordinary one. Root stays root.
fn give_up_rights(account: Option<&Account>) {
    let Some(account) = account else { return keep_capabilities_from_exec() };
    if !account.assume() {
        // SAFETY: ends this child, which must not go on with more than it should have.
        unsafe { libc::_exit(EXEC_FAILED) }
    }
}

/// Takes over a descriptor this process was born with. Fails if there is none.
pub fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_GETFD on any number is harmless and fails with EBADF if it is not open.
    Errno::result(unsafe { libc::fcntl(number, libc::F_GETFD) })?;
    // SAFETY: the supervisor opened this number for this process alone, and each is taken
    // once, at start, before anything else could name it; OwnedFd closes it.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    fcntl(fd.as_fd(), FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    Ok(fd)
}

/// Whether a descriptor is a socket.
pub fn is_socket(fd: &impl AsFd) -> bool {
    fstat(fd).is_ok_and(|stat| SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFSOCK)
}

fn duplicate_above(fd: BorrowedFd<'_>, lowest: RawFd) -> io::Result<OwnedFd> {
    let number = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(lowest))?;
    // SAFETY: the kernel just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

impl Pidfd {
    /// A child of an earlier image of this process.
    pub fn of_child(pid: u32) -> io::Result<Self> {
        Self::open(Pid::from_raw(pid.cast_signed()))
    }

    /// A stable name for a child that was just made and not yet waited for.
    fn open(pid: Pid) -> io::Result<Self> {
        // SAFETY: pidfd_open takes a pid and flags and returns a new descriptor or an error.
        let number = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) })?;
        let number = RawFd::try_from(number).map_err(io::Error::other)?;
        // SAFETY: the kernel just made this descriptor for us (close-on-exec by definition).
        Ok(Self::from(unsafe { OwnedFd::from_raw_fd(number) }))
    }
}

/// What a shell says of a command it cannot execute.
const EXEC_FAILED: i32 = 126;

#[cfg(test)]
mod tests {
    use super::super::{Ended, pair};
    use super::*;
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::MetadataExt;
    use std::path::PathBuf;
    use std::time::{Duration, Instant};

    use nix::unistd::{dup2_stdin, pipe};

    /// `cat` without arguments reads what we make its standard input, so it lives until we let it go.
    #[test]
    fn a_child_has_its_descriptors_in_place_and_no_others() {
        let (stdin, hold) = pipe().unwrap();
        dup2_stdin(&stdin).unwrap();
        let leak = File::open("/dev/null").unwrap();
        fcntl(&leak, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
        let (mut ours, theirs) = pair().map(|(ours, theirs)| (File::from(ours), File::from(theirs))).unwrap();
        let board = tempfile::tempfile().unwrap();
        drop(stdin);
        fcntl(&hold, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();

        let cat = Program::open(Path::new("/bin/cat")).unwrap();
        let child = spawn(&cat, &[theirs.as_fd(), board.as_fd()], None).unwrap();
        let proc = PathBuf::from(format!("/proc/{}", child.pid));
        while !fs::read_link(proc.join("exe")).unwrap().ends_with("cat") {
            std::thread::yield_now();
        }
        let open = || {
            let entries = fs::read_dir(proc.join("fd")).unwrap();
            let mut open: Vec<String> =
                entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            open.sort();
            open
        };
        // Its loader opens libraries, and closes them before the program waits for its input.
        let patience = Instant::now() + Duration::from_secs(30);
        while open().len() != 5 && Instant::now() < patience {
            std::thread::yield_now();
        }
        assert_eq!(open(), ["0", "1", "2", "3", "4"]);
        let inode = |number: RawFd| fs::metadata(proc.join(format!("fd/{number}"))).unwrap().ino();
        assert_eq!(inode(CONTROL_FD), theirs.metadata().unwrap().ino());
        assert_eq!(inode(BOARD_FD), board.metadata().unwrap().ino());

        let status = fs::read_to_string(proc.join("status")).unwrap();
        let signals = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            u64::from_str_radix(line.trim_start_matches(':').trim(), 16).unwrap()
        };
        assert_eq!(signals("SigBlk"), 0, "no signal is blocked");
        assert_eq!(signals("SigIgn") & (1 << (libc::SIGPIPE - 1)), 0, "ours is ignored, the child's is not");

        let environment = fs::read_to_string(proc.join("environ")).unwrap();
        assert!(!environment.contains("PATH="), "the environment stays here: {environment:?}");

        drop((hold, theirs));
        assert_eq!(child.pidfd.wait().unwrap(), Ended::Exited(0));
        // The child held the only other end: its exit is our end of file.
        assert_eq!(ours.read(&mut [0; 1]).unwrap(), 0);
    }

    #[test]
    fn a_child_under_another_account_has_no_way_back_and_no_capability() {
        if !super::super::sandbox::may_assume_accounts() {
            return println!("only root can try this");
        }
        let (stdin, hold) = pipe().unwrap();
        dup2_stdin(&stdin).unwrap();
        fcntl(&hold, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
        drop(stdin);
        let account = Account { uid: 3_999_999, gid: 3_999_998, groups: vec![3_999_997] };
        let cat = Program::open(Path::new("/bin/cat")).unwrap();
        let child = spawn(&cat, &[], Some(&account)).unwrap();
        let proc = PathBuf::from(format!("/proc/{}", child.pid));
        while !fs::read_link(proc.join("exe")).unwrap().ends_with("cat") {
            std::thread::yield_now();
        }
        let status = fs::read_to_string(proc.join("status")).unwrap();
        for line in [
            "Uid:\t3999999\t3999999\t3999999\t3999999",
            "Gid:\t3999998\t3999998\t3999998\t3999998",
            "CapPrm:\t0000000000000000",
            "CapEff:\t0000000000000000",
            "CapInh:\t0000000000000000",
            "CapBnd:\t0000000000000000",
            "CapAmb:\t0000000000000000",
        ] {
            assert!(status.contains(line), "{line} is not in {status}");
        }
        assert!(status.lines().any(|line| line.trim_end() == "Groups:\t3999997"), "{status}");
        drop(hold);
        assert_eq!(child.pidfd.wait().unwrap(), Ended::Exited(0));
    }

    #[test]
    fn a_program_that_is_exchanged_on_disk_goes_on_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("worker");
        fs::copy("/bin/true", &path).unwrap();
        let program = Program::open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::copy("/bin/false", &path).unwrap();
        let child = spawn(&program, &[], None).unwrap();
        assert_eq!(child.pidfd.wait().unwrap(), Ended::Exited(0));
    }

    #[test]
    fn a_missing_descriptor_is_an_error_and_a_file_is_no_socket() {
        assert!(inherited(900).is_err());
        assert!(is_socket(&pair().unwrap().0));
        assert!(!is_socket(&File::open("/dev/null").unwrap()));
    }
}
