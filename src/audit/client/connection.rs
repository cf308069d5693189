//! One connection to the scribe: frames out, acknowledgements in, never blocking.
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use socket2::{Domain, SockAddr, Socket, Type};

use crate::wire::{self, COMMON_GROUND, Decoder, FrameError, FromScribe, ToScribe, WIRE_VERSION};

pub(super) struct Connection {
    stream: UnixStream,
    decoder: Decoder,
    /// Bytes that the socket has not taken yet.
    out: Vec<u8>,
    written: usize,
    /// The scribe has said how far our source has come; before that nothing is sent.
    pub(super) is_welcome: bool,
}

/// Why a connection is of no more use.
#[derive(Debug, thiserror::Error)]
pub(super) enum Lost {
    #[error("could not reach the scribe: {0}")]
    Io(#[from] io::Error),
    #[error("the scribe closed the connection")]
    Closed,
    #[error("the scribe did not keep to the protocol: {0}")]
    Frame(#[from] FrameError),
    #[error("the scribe acknowledged number {0}, which this source has not given yet")]
    Unknown(u64),
}

impl Connection {
    pub(super) fn open(path: &Path, source: &str) -> Result<Self, Lost> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        // A full backlog must not hold up those whose time to wait is over.
        socket.set_nonblocking(true)?;
        socket.connect(&SockAddr::unix(path)?)?;
        let open =
            ToScribe::Open { wire_version: WIRE_VERSION, common_ground: COMMON_GROUND, source: source.to_owned() };
        Ok(Self {
            stream: UnixStream::from(std::os::fd::OwnedFd::from(socket)),
            decoder: Decoder::default(),
            out: wire::encode(&open)?,
            written: 0,
            is_welcome: false,
        })
    }

    /// Everything given has been taken by the socket.
    pub(super) fn is_idle(&self) -> bool {
        self.written == self.out.len()
    }

    /// Gives a frame; only when idle, so that what gathers meanwhile shares the next one.
    pub(super) fn send(&mut self, frame: &[u8]) {
        self.out.clear();
        self.out.extend_from_slice(frame);
        self.written = 0;
    }

    pub(super) fn flush(&mut self) -> Result<(), Lost> {
        while !self.is_idle() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(0) => return Err(Lost::Closed),
                Ok(bytes) => self.written += bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Every message that has come, oldest first.
    pub(super) fn receive(&mut self) -> Result<Vec<FromScribe>, Lost> {
        let mut buffer = [0; 4 << 10];
        let mut messages = Vec::new();
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(Lost::Closed),
                Ok(bytes) => self.decoder.push(&buffer[..bytes]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(messages),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
            while let Some(message) = self.decoder.next()? {
                messages.push(message);
            }
        }
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
