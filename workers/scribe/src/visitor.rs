//! One worker's connection: says who it is, then sends records; is told how far they are on disk.
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use hotline::audit::standing::is_scribe;
use hotline::audit::{Batch, Event};
use hotline::wire::{self, COMMON_GROUND, Decoder, FrameError, FromScribe, ToScribe, WIRE_VERSION};

pub(crate) struct Visitor {
    stream: UnixStream,
    decoder: Decoder,
    source: Option<String>,
    /// Where its numbers go on at the latest; they may repeat, but leave no gap.
    next_number: Option<u64>,
    /// What it was told last; nothing before its name is known.
    told: Option<u64>,
    out: Vec<u8>,
}

/// Why a connection ends.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Left {
    #[error("closed by the worker")]
    Closed,
    #[error("could not read or write: {0}")]
    Io(#[from] io::Error),
    #[error("not our protocol: {0}")]
    Frame(#[from] FrameError),
    #[error("of a build that means something else by a record (wire version {0})")]
    NoCommonGround(u16),
    #[error("not our protocol: {0}")]
    Violation(&'static str),
    #[error("does not read its acknowledgements")]
    Deaf,
}

impl Visitor {
    pub(crate) fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream, decoder: Decoder::default(), source: None, next_number: None, told: None, out: Vec::new() })
    }

    pub(crate) fn source(&self) -> Option<&str> {
        self.source.as_deref()
    }

    /// Takes what has come, up to a limit for one turn. Records that came before the end of the
    /// connection are taken, too. `durable` tells how far a source is on disk.
    pub(crate) fn read(&mut self, batches: &mut Vec<Batch>, durable: impl Fn(&str) -> u64) -> Result<(), Left> {
        let mut buffer = [0; READ_BYTES];
        for _ in 0..READS_PER_TURN {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(Left::Closed),
                Ok(bytes) => self.decoder.push(&buffer[..bytes]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            }
            while let Some(message) = self.decoder.next()? {
                self.take(message, batches, &durable)?;
            }
        }
        Ok(())
    }

    fn take(
        &mut self,
        message: ToScribe,
        batches: &mut Vec<Batch>,
        durable: &impl Fn(&str) -> u64,
    ) -> Result<(), Left> {
        match (message, self.source.clone()) {
            (ToScribe::Open { wire_version, common_ground, source }, None) => {
                if wire_version != WIRE_VERSION || common_ground != COMMON_GROUND {
                    return Err(Left::NoCommonGround(wire_version));
                }
                if is_scribe(&source) {
                    return Err(Left::Violation("the scribe's own name"));
                }
                if !is_source(&source) {
                    return Err(Left::Violation("not the name of a source"));
                }
                self.source = Some(source);
                Ok(())
            }
            (ToScribe::Append { first_number, events }, Some(source)) => {
                self.admit(first_number, &events, durable(&source))?;
                batches.push(Batch { source, first_number, events });
                Ok(())
            }
            (ToScribe::Open { .. }, Some(_)) => Err(Left::Violation("named itself twice")),
            (ToScribe::Append { .. }, None) => Err(Left::Violation("sent records before its name")),
        }
    }

    fn admit(&mut self, first_number: u64, events: &[Event], durable: u64) -> Result<(), Left> {
        let next = first_number.checked_add(events.len() as u64).filter(|next| *next <= NUMBER_MAX);
        let next =
            next.filter(|_| first_number > 0).ok_or(Left::Violation("numbers begin with 1 and end somewhere"))?;
        if events.iter().any(|event| event.over_limit().is_some()) {
            return Err(Left::Violation("a record is too long"));
        }
        match self.next_number {
            Some(expected) if first_number > expected => return Err(Left::Violation("left numbers out")),
            None if first_number > durable + 1 => {
                // It was told that the ones before are on disk.
                let source = self.source();
                tracing::error!(source, durable, first_number, "acknowledged records are missing from the log");
            }
            _ => {}
        }
        self.next_number = Some(next);
        Ok(())
    }

    /// Tells how far its records are on disk, if that is news.
    pub(crate) fn acknowledge(&mut self, number: u64) -> Result<(), Left> {
        if self.told != Some(number) {
            self.told = Some(number);
            self.out.extend(wire::encode(&FromScribe::Durable { number })?);
        }
        self.flush()
    }

    pub(crate) fn fail(&mut self, reason: &str) -> Result<(), Left> {
        self.out.extend(wire::encode(&FromScribe::Failed { reason: reason.to_owned() })?);
        self.flush()
    }

    /// Bytes the socket has not taken yet.
    pub(crate) fn is_owed(&self) -> bool {
        !self.out.is_empty()
    }

    pub(crate) fn flush(&mut self) -> Result<(), Left> {
        while !self.out.is_empty() {
            match self.stream.write(&self.out) {
                Ok(0) => return Err(Left::Closed),
                Ok(bytes) => drop(self.out.drain(..bytes)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && self.out.len() > OWED_BYTES_MAX => {
                    return Err(Left::Deaf);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// `<slot>@<boot>.<generation>`, so that it may stand in the log as it is.
fn is_source(source: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-@.".contains(&byte);
    let life = source.split_once('@').filter(|(slot, _)| !slot.is_empty()).and_then(|(_, life)| life.split_once('.'));
    source.len() <= SOURCE_BYTES_MAX
        && source.bytes().all(is_plain)
        && life.is_some_and(|(boot, generation)| !boot.is_empty() && !generation.is_empty())
}

const READ_BYTES: usize = 64 << 10;
/// One worker cannot keep the others waiting for more than a megabyte.
const READS_PER_TURN: usize = 16;
const OWED_BYTES_MAX: usize = 64 << 10;
const SOURCE_BYTES_MAX: usize = 128;
/// Numbers in the log stay exact for programs that read them as doubles.
const NUMBER_MAX: u64 = 1 << 53;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_plain_and_lives_of_a_slot() {
        assert!(is_source("api-0@00aa.1"));
        let long = format!("{}@00aa.1", "a".repeat(122));
        for stranger in ["@00aa.1", "api-0", "api-0@00aa", "api-0@.1", "api-0@00aa.", "a b@00aa.1", "a\n@00aa.1", &long]
        {
            assert!(!is_source(stranger), "{stranger:?}");
        }
    }
}
