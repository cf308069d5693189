//! What a process may use and who may look at it.
use std::fs::File;
use std::io;

use nix::fcntl::{Flock, FlockArg};
use nix::libc;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};
use nix::unistd::Pid;

/// Keeps the calling thread, and those it will make, on one CPU.
pub fn pin_to_cpu(cpu: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

/// Raises the soft limit of open files to the hard one and tells it.
pub fn raise_open_files() -> io::Result<u64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(hard)
}

/// No core files, no debugger of the same user, no gaining of privileges: memory here holds keys and words.
pub fn close_to_strangers() -> io::Result<()> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    prctl::set_no_new_privs()?;
    Ok(prctl::set_dumpable(false)?)
}

/// Whatever this process creates, or a library of it, is for nobody else.
pub fn keep_files_private() {
    umask(Mode::from_bits_truncate(0o077));
}

/// A bound on the threads of this user, so that nobody can fill the process table. Root has none.
pub fn bound_threads() -> io::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NPROC)?;
    Ok(setrlimit(Resource::RLIMIT_NPROC, soft.min(THREADS_MAX), hard.min(THREADS_MAX))?)
}

/// Lets those who answer people go before this thread, and before the threads that it will start.
pub fn run_nicely(niceness: i32) -> io::Result<()> {
    // SAFETY: setpriority takes plain numbers; on Linux 0 means the calling thread.
    nix::errno::Errno::result(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, niceness) })?;
    Ok(())
}

/// Locks a file against other processes for as long as the returned value lives. `None`: somebody has it.
pub fn lock_file(file: File) -> io::Result<Option<Flock<File>>> {
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, error)) => Err(error.into()),
    }
}

/// Of all processes of one user together: 128 workers with a hundred threads each are far below it.
const THREADS_MAX: u64 = 32_768;
