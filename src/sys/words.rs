//! Memory that several processes share, as atomic words.
//!
//! The kernel seals the memory against growing and shrinking before anybody maps it, so a mapping
//! can never reach beyond its file: no access here can fault.
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::AtomicU64;

use memmap2::MmapRaw;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

/// A shared mapping, seen as `AtomicU64`s. Unmapped when dropped.
pub struct SharedWords {
    map: MmapRaw,
    words: usize,
}

impl SharedWords {
    /// Makes `words` zeroed words; the descriptor is for other processes to map.
    pub fn create(name: &str, words: usize) -> io::Result<(Self, OwnedFd)> {
        let fd = memfd_create(name, MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
        let bytes = words.checked_mul(WORD_BYTES).ok_or(io::ErrorKind::InvalidInput)?;
        let file = File::from(fd.try_clone()?);
        file.set_len(bytes as u64)?;
        fcntl(fd.as_fd(), FcntlArg::F_ADD_SEALS(REQUIRED_SEALS | SealFlag::F_SEAL_SEAL))?;
        Ok((Self::map(fd.try_clone()?)?, fd))
    }

    /// Maps what `create` made in another process. Refuses memory that could still change its size.
    pub fn map(fd: OwnedFd) -> io::Result<Self> {
        let seals = fcntl(fd.as_fd(), FcntlArg::F_GET_SEALS)?;
        if !SealFlag::from_bits_retain(seals).contains(REQUIRED_SEALS) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "shared memory is not sealed against resizing"));
        }
        let file = File::from(fd);
        let bytes = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        let map = MmapRaw::map_raw(&file)?;
        Ok(Self { map, words: bytes / WORD_BYTES })
    }

    pub fn as_slice(&self) -> &[AtomicU64] {
        // SAFETY: the mapping is page-aligned, lives as long as `self`, covers `words` whole words of a
        // file sealed against shrinking, and is only ever accessed as atomics, by every process.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().cast::<AtomicU64>(), self.words) }
    }
}

const WORD_BYTES: usize = size_of::<AtomicU64>();
const REQUIRED_SEALS: SealFlag = SealFlag::F_SEAL_SHRINK.union(SealFlag::F_SEAL_GROW);

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;

    #[test]
    fn two_mappings_see_the_same_words() {
        let (first, fd) = SharedWords::create("test", 1_000).unwrap();
        let second = SharedWords::map(fd).unwrap();
        first.as_slice()[999].store(7, Ordering::Release);
        assert_eq!(second.as_slice()[999].load(Ordering::Acquire), 7);
        assert_eq!(second.as_slice().len(), 1_000);
    }

    #[test]
    fn memory_that_could_shrink_is_refused() {
        let fd = memfd_create("test", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING).unwrap();
        File::from(fd.try_clone().unwrap()).set_len(4_096).unwrap();
        assert!(SharedWords::map(fd).is_err());
    }
}
