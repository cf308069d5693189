//! Another program in this very process: same pid, same children, and the descriptors that are named.
//!
//! What the next image needs to know travels in memory, never on a disk.
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::libc;
use nix::sys::memfd::{MFdFlags, memfd_create};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::spawn::{Program, inherited, pointers};

/// Where a descriptor is found again after the next image has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Berth(RawFd);

impl Berth {
    pub fn of(fd: &impl AsFd) -> Self {
        Self(fd.as_fd().as_raw_fd())
    }

    /// From the command line.
    pub fn parse(text: &str) -> Option<Self> {
        // The standard streams are nobody's to take.
        text.parse().ok().filter(|number| *number > 2).map(Self)
    }

    /// Takes the descriptor; once, in the image that it was kept for.
    pub fn take(self) -> io::Result<OwnedFd> {
        inherited(self.0)
    }

    /// For an argument.
    pub fn to_argument(self) -> CString {
        CString::new(self.0.to_string()).unwrap_or_default()
    }
}

/// A file without a name that holds `contents`.
pub fn in_memory(name: &CStr, contents: &[u8]) -> io::Result<OwnedFd> {
    let fd = memfd_create(name, MFdFlags::MFD_CLOEXEC)?;
    let mut file = File::from(fd);
    file.write_all(contents)?;
    Ok(file.into())
}

/// What `in_memory` was given. Wiped after use: keys may be in it.
pub fn from_memory(fd: OwnedFd, bytes_max: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut file = File::from(fd);
    let bytes = file.metadata()?.len();
    if bytes > bytes_max {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "too long to be what was left to us"));
    }
    file.seek(SeekFrom::Start(0))?;
    // Room for all of it at once: what a growing buffer leaves behind would not be wiped.
    let mut contents = Zeroizing::new(Vec::with_capacity(usize::try_from(bytes).map_err(io::Error::other)? + 1));
    file.take(bytes_max).read_to_end(&mut contents)?;
    Ok(contents)
}

/// Becomes `program`. Descriptors that are not kept are closed. Comes back only with an error, and then everything
/// is as it was.
pub fn become_program(
    program: &Program,
    arguments: &[CString],
    environment: &[CString],
    keep: &[BorrowedFd<'_>],
) -> io::Error {
    let failed = stay_open(keep, FdFlag::empty()).and_then(|()| {
        let argv = pointers(std::iter::once(program.name()).chain(arguments));
        let envp = pointers(environment);
        // SAFETY: all pointers are to NUL-terminated data that lives until the image is replaced.
        let result = unsafe {
            libc::execveat(
                program.as_fd().as_raw_fd(),
                c"".as_ptr(),
                argv.as_ptr().cast(),
                envp.as_ptr().cast(),
                libc::AT_EMPTY_PATH,
            )
        };
        Errno::result(result).map(|_| ()).map_err(io::Error::from)
    });
    let _ = stay_open(keep, FdFlag::FD_CLOEXEC);
    failed.err().unwrap_or_else(|| io::Error::other("the image was not replaced"))
}

fn stay_open(fds: &[BorrowedFd<'_>], flag: FdFlag) -> io::Result<()> {
    for fd in fds {
        fcntl(fd, FcntlArg::F_SETFD(flag))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn what_is_left_in_memory_is_found_again() {
        let fd = in_memory(c"test", b"words").unwrap();
        assert_eq!(from_memory(fd.try_clone().unwrap(), 5).unwrap().as_slice(), b"words");
        assert!(from_memory(fd, 4).is_err(), "longer than anybody should have left");
    }

    #[test]
    fn an_image_that_cannot_begin_leaves_everything_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        std::fs::write(&path, "not a program").unwrap();
        let program = Program::open(&path).unwrap();
        let kept = in_memory(c"test", b"").unwrap();
        let error = become_program(&program, &[], &[], &[kept.as_fd()]);
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        let flags = fcntl(&kept, FcntlArg::F_GETFD).unwrap();
        assert_eq!(FdFlag::from_bits_retain(flags), FdFlag::FD_CLOEXEC, "and nothing leaks into the next child");
        assert!(Program::open(Path::new("/nowhere")).is_err());
    }

    #[test]
    fn a_berth_is_a_number_above_the_standard_streams() {
        for text in ["", "-1", "0", "2", "x", "99999999999"] {
            assert!(Berth::parse(text).is_none(), "{text}");
        }
        assert_eq!(Berth::parse("3").map(Berth::to_argument), Some(c"3".to_owned()));
        assert!(Berth::parse("901").unwrap().take().is_err(), "nobody is there");
    }
}
