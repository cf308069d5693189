//! How the control thread tells the poll loop to finish: eight bytes through a socket pair, so that
//! the loop has one thing to wait on.
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Asks the loop to finish.
pub struct DrainAsker(UnixStream);

/// The loop's end: whether, and until when, it was asked.
pub struct DrainHeard {
    stream: UnixStream,
    until: Option<Instant>,
}

/// Both ends.
pub fn drain() -> io::Result<(DrainAsker, DrainHeard)> {
    let (asker, heard) = UnixStream::pair()?;
    heard.set_nonblocking(true)?;
    Ok((DrainAsker(asker), DrainHeard { stream: heard, until: None }))
}

impl DrainAsker {
    /// Asking again changes nothing.
    pub fn ask(&mut self, deadline_ms: u64) {
        // A loop that is gone has finished already.
        let _ = self.0.write_all(&deadline_ms.to_le_bytes());
    }
}

impl DrainHeard {
    /// When the loop has to be done, once it was asked. An asker that is gone asks for now.
    pub(crate) fn until(&mut self, now: Instant) -> Option<Instant> {
        if self.until.is_none() {
            let mut deadline_ms = [0; 8];
            match self.stream.read(&mut deadline_ms) {
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Ok(8) => self.until = Some(now + Duration::from_millis(u64::from_le_bytes(deadline_ms).min(DAY_MS))),
                Ok(_) | Err(_) => self.until = Some(now),
            }
        }
        self.until
    }

    /// What to wait on; nothing once it was heard.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.until.is_none().then(|| self.stream.as_fd())
    }
}

/// Keeps the arithmetic of deadlines in range.
const DAY_MS: u64 = 86_400_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deadline_is_heard_once_and_kept() {
        let (mut asker, mut heard) = drain().unwrap();
        let now = Instant::now();
        assert_eq!(heard.until(now), None);
        asker.ask(1_500);
        asker.ask(9);
        assert_eq!(heard.until(now), Some(now + Duration::from_millis(1_500)));
        assert_eq!(heard.until(now + Duration::from_secs(1)), Some(now + Duration::from_millis(1_500)));
        assert!(heard.fd().is_none());
    }

    #[test]
    fn an_asker_that_is_gone_asks_for_now() {
        let (asker, mut heard) = drain().unwrap();
        drop(asker);
        let now = Instant::now();
        assert_eq!(heard.until(now), Some(now));
    }
}
