//! A lock between processes that is waited for in turn and dies with its holder.
//!
//! The kernel keeps it with the open file, not the process, so threads with their own descriptors
//! exclude each other too, and a killed holder lets go at once.
use std::fs::File;
use std::io;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

/// A file whose lock can be taken.
pub struct OfdLock {
    file: File,
}

/// The lock, held. Dropping it lets the next one in.
pub struct OfdGuard<'a> {
    file: &'a File,
}

impl OfdLock {
    /// `file` must be open for writing.
    pub fn new(file: File) -> Self {
        Self { file }
    }

    /// Waits for the lock.
    pub fn lock(&self) -> io::Result<OfdGuard<'_>> {
        loop {
            match fcntl(&self.file, FcntlArg::F_OFD_SETLKW(&whole_file(libc::F_WRLCK))) {
                Ok(_) => return Ok(OfdGuard { file: &self.file }),
                Err(nix::errno::Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Drop for OfdGuard<'_> {
    fn drop(&mut self) {
        // Cannot fail for a lock we hold; if it did, closing the file lets go as well.
        let _ = fcntl(self.file, FcntlArg::F_OFD_SETLK(&whole_file(libc::F_UNLCK)));
    }
}

fn whole_file(kind: libc::c_int) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn two_holders_exclude_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let inside = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let file = File::options().create(true).append(true).open(&path).unwrap();
                    let lock = OfdLock::new(file);
                    for _ in 0..200 {
                        let _guard = lock.lock().unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
    }
}
