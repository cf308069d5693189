//! Processes by pidfd, signals as a readable descriptor.
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};

pub use nix::sys::signal::Signal;

/// A child by descriptor: a recycled pid can never be meant.
pub struct Pidfd {
    fd: OwnedFd,
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Exited(i32),
    Killed(Signal),
}

impl Pidfd {
    /// Signals the child; a child that is gone already is no error.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let no_info = std::ptr::null::<libc::siginfo_t>();
        // SAFETY: the descriptor is a pidfd of ours; a null siginfo means "as kill(2) would".
        let result =
            unsafe { libc::syscall(libc::SYS_pidfd_send_signal, self.fd.as_raw_fd(), signal as i32, no_info, 0) };
        match Errno::result(result) {
            Ok(_) | Err(Errno::ESRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Reaps the child if it has ended.
    pub fn try_wait(&self) -> io::Result<Option<Ended>> {
        self.wait_with(WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG)
    }

    /// Whether the child has not yet ended. Reaps nothing.
    pub fn is_running(&self) -> bool {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        matches!(self.wait_with(flags), Ok(None))
    }

    /// Waits for the end of the child.
    pub fn wait(&self) -> io::Result<Ended> {
        self.wait_with(WaitPidFlag::WEXITED)?.ok_or_else(|| io::Error::other("waited without an answer"))
    }

    fn wait_with(&self, flags: WaitPidFlag) -> io::Result<Option<Ended>> {
        match waitid(Id::PIDFd(self.fd.as_fd()), flags)? {
            WaitStatus::Exited(_, code) => Ok(Some(Ended::Exited(code))),
            WaitStatus::Signaled(_, signal, _) => Ok(Some(Ended::Killed(signal))),
            _ => Ok(None),
        }
    }
}

/// Takes the end of a child that nobody here started: as process 1, or started by a shell, one has such children.
/// Tells its pid. Ours are left to whoever holds their pidfd.
pub fn reap_stranger(is_ours: impl Fn(u32) -> bool) -> Option<u32> {
    let ended = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG;
    let pid = waitid(Id::All, ended | WaitPidFlag::WNOWAIT).ok()?.pid()?;
    let number = pid.as_raw().cast_unsigned();
    if is_ours(number) {
        return None;
    }
    waitid(Id::Pid(pid), ended).ok().map(|_| number)
}

impl From<OwnedFd> for Pidfd {
    fn from(fd: OwnedFd) -> Self {
        Self { fd }
    }
}

impl AsFd for Pidfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Signals that no longer interrupt but wait to be read.
pub struct Signals {
    fd: SignalFd,
}

impl Signals {
    /// Blocks the signals for this thread and those it makes, and reads them from a descriptor.
    pub fn take(signals: &[Signal]) -> io::Result<Self> {
        let mask: SigSet = signals.iter().copied().collect();
        mask.thread_block()?;
        Ok(Self { fd: SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)? })
    }

    /// The next signal that has come, if any.
    pub fn next(&self) -> io::Result<Option<Signal>> {
        let Some(info) = self.fd.read_signal()? else { return Ok(None) };
        Ok(Signal::try_from(info.ssi_signo.cast_signed()).ok())
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// What `ps` and `top` show. Executing through a descriptor would leave a number there.
pub fn set_name(name: &CStr) {
    let _ = nix::sys::prctl::set_name(name);
}
