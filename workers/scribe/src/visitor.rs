//! One worker's connection: frames in, acknowledgements out, never blocking.
//!
//! A worker says first who it is. After that it may only append, with consecutive numbers; anything
//! else ends the connection, for a worker that has been taken over must not be able to confuse the log.
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use hotline::audit::Event;
use hotline::wire::{self, BUILD_ID, Decoder, FrameError, FromScribe, ToScribe, WIRE_VERSION};

pub(crate) struct Visitor {
    stream: UnixStream,
    decoder: Decoder,
    unsent: Vec<u8>,
    /// Empty until it has said who it is.
    source: String,
    /// How far its source was on disk when it came.
    welcomed_at: u64,
    /// The number its next event must not be beyond; nothing before its first events.
    next_number: Option<u64>,
    /// It has events here that are not on disk yet.
    pub(crate) is_waiting: bool,
}

/// What a worker said.
pub(crate) enum Said {
    /// Who it is; it waits to hear how far its source has come.
    Open,
    Append {
        first_number: u64,
        events: Vec<Event>,
    },
}

/// Why a connection ends.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Goodbye {
    #[error("the worker closed it")]
    Closed,
    #[error("could not use the connection: {0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Frame(#[from] FrameError),
    #[error("not of this build")]
    OtherBuild,
    #[error("not a source of this start of the service")]
    Stranger,
    #[error("a message out of turn")]
    OutOfTurn,
    #[error("numbers out of order")]
    Numbers,
    #[error("an event whose {0} is too long")]
    TooLong(&'static str),
    #[error("the worker does not read its acknowledgements")]
    Deaf,
}

impl Visitor {
    pub(crate) fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            decoder: Decoder::default(),
            unsent: Vec::new(),
            source: String::new(),
            welcomed_at: 0,
            next_number: None,
            is_waiting: false,
        })
    }

    /// Everything that has come, up to a bound that lets the others have their turn.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<(), Goodbye> {
        for _ in 0..READS_PER_TURN {
            match self.stream.read(buffer) {
                Ok(0) => return Err(Goodbye::Closed),
                Ok(bytes) => {
                    self.decoder.push(&buffer[..bytes]);
                    if bytes < buffer.len() {
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The next whole message that may be said now.
    pub(crate) fn next(&mut self, boot: &str) -> Result<Option<Said>, Goodbye> {
        match self.decoder.next()? {
            None => Ok(None),
            Some(ToScribe::Open { wire_version, build_id, source }) => {
                if !self.source.is_empty() {
                    return Err(Goodbye::OutOfTurn);
                }
                if wire_version != WIRE_VERSION || build_id != BUILD_ID {
                    return Err(Goodbye::OtherBuild);
                }
                if !is_of_boot(&source, boot) {
                    return Err(Goodbye::Stranger);
                }
                self.source = source;
                Ok(Some(Said::Open))
            }
            Some(ToScribe::Append { first_number, events }) => {
                self.admit(first_number, &events)?;
                Ok(Some(Said::Append { first_number, events }))
            }
        }
    }

    /// First answer: how far its source has come.
    pub(crate) fn welcome(&mut self, number: u64) {
        self.welcomed_at = number;
        self.say(&FromScribe::Durable { number });
    }

    /// Everything it sent is on disk.
    pub(crate) fn acknowledge(&mut self, number: u64) {
        self.is_waiting = false;
        self.say(&FromScribe::Durable { number });
    }

    pub(crate) fn failed(&mut self, reason: &str) {
        self.say(&FromScribe::Failed { reason: reason.to_owned() });
    }

    pub(crate) fn flush(&mut self) -> Result<(), Goodbye> {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(bytes) => drop(self.unsent.drain(..bytes)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        if self.unsent.len() > UNSENT_BYTES_MAX { Err(Goodbye::Deaf) } else { Ok(()) }
    }

    pub(crate) fn wants_to_write(&self) -> bool {
        !self.unsent.is_empty()
    }

    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// Numbers may repeat, for a worker sends again what it does not know to be on disk; they may not
    /// leave a gap.
    fn admit(&mut self, first_number: u64, events: &[Event]) -> Result<(), Goodbye> {
        if self.source.is_empty() || events.is_empty() {
            return Err(Goodbye::OutOfTurn);
        }
        let next =
            first_number.checked_add(events.len() as u64).filter(|_| first_number > 0).ok_or(Goodbye::Numbers)?;
        if self.next_number.is_some_and(|expected| first_number > expected) || next > NUMBER_MAX {
            return Err(Goodbye::Numbers);
        }
        if let Some(part) = events.iter().find_map(Event::over_limit) {
            return Err(Goodbye::TooLong(part));
        }
        if self.next_number.is_none() && first_number > self.welcomed_at + 1 {
            // The worker had been told that those are on disk: somebody has shortened the log.
            tracing::error!(
                source = self.source,
                from = self.welcomed_at + 1,
                before = first_number,
                "acknowledged records are missing from the log"
            );
        }
        self.next_number = Some(next);
        Ok(())
    }

    fn say(&mut self, message: &FromScribe) {
        let frame = wire::encode(message).expect("a number or a short reason fits a frame");
        self.unsent.extend_from_slice(&frame);
    }
}

/// `<slot>@<boot>.<generation>` with our boot: only those are remembered.
fn is_of_boot(source: &str, boot: &str) -> bool {
    let parts = source.split_once('@').and_then(|(slot, rest)| Some((slot, rest.split_once('.')?)));
    let Some((slot, (of_boot, generation))) = parts else { return false };
    let is_word =
        |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    source.len() <= SOURCE_BYTES_MAX && of_boot == boot && is_word(slot) && is_word(generation)
}

const READS_PER_TURN: usize = 16;
/// Acknowledgements are 15 bytes; whoever leaves four thousand unread is not well.
const UNSENT_BYTES_MAX: usize = 64 << 10;
const SOURCE_BYTES_MAX: usize = 64;
/// Canonical numbers of a record stay exact as doubles.
const NUMBER_MAX: u64 = 1 << 53;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sources_of_this_start_are_known() {
        assert!(is_of_boot("api-0@00aa.1", "00aa"));
        for stranger in ["api-0@00ab.1", "api-0@00aa", "@00aa.1", "api-0@00aa.", "a b@00aa.1", "a\n@00aa.1", ""] {
            assert!(!is_of_boot(stranger, "00aa"), "{stranger}");
        }
    }
}
