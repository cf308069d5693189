//! Frames: a little-endian u32 length, then a bincode value of exactly that length.
//!
//! The cap is checked before anything is allocated, and bincode is told the same cap, so a lying
//! length inside a frame cannot make it allocate either. A frame that does not decode, or that has
//! bytes left over, is a violation of the protocol, not a warning.
use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Largest frame either side will send or take.
pub const FRAME_BYTES_MAX: usize = 1 << 20;

/// Why a frame could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("a frame of {bytes} bytes is over the limit of {FRAME_BYTES_MAX}")]
    TooLong { bytes: usize },
    #[error("could not decode a frame: {0}")]
    Decode(#[from] bincode::error::DecodeError),
    #[error("could not encode a frame: {0}")]
    Encode(#[from] bincode::error::EncodeError),
    #[error("a frame has {bytes} bytes left over")]
    LeftOver { bytes: usize },
    #[error("could not read or write a frame")]
    Io(#[from] io::Error),
}

/// The whole frame for a message, length included.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, FrameError> {
    let mut frame = vec![0; LENGTH_BYTES];
    bincode::serde::encode_into_std_write(message, &mut frame, FORMAT)?;
    let bytes = frame.len() - LENGTH_BYTES;
    let length = u32::try_from(bytes).ok().filter(|_| bytes <= FRAME_BYTES_MAX).ok_or(FrameError::TooLong { bytes })?;
    frame[..LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
    Ok(frame)
}

/// The message inside a frame's body.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, FrameError> {
    if body.len() > FRAME_BYTES_MAX {
        return Err(FrameError::TooLong { bytes: body.len() });
    }
    let (message, used) = bincode::serde::decode_from_slice(body, FORMAT)?;
    match body.len() - used {
        0 => Ok(message),
        bytes => Err(FrameError::LeftOver { bytes }),
    }
}

/// Sends one message; blocks until it is written.
pub fn write<T: Serialize>(to: &mut impl Write, message: &T) -> Result<(), FrameError> {
    to.write_all(&encode(message)?)?;
    Ok(to.flush()?)
}

/// Takes one message; blocks until it is there. `None` when the other side closed between frames.
pub fn read<T: DeserializeOwned>(from: &mut impl Read) -> Result<Option<T>, FrameError> {
    let mut length = [0; LENGTH_BYTES];
    match from.read(&mut length[..1])? {
        0 => return Ok(None),
        _ => from.read_exact(&mut length[1..])?,
    }
    let bytes = u32::from_le_bytes(length) as usize;
    if bytes > FRAME_BYTES_MAX {
        return Err(FrameError::TooLong { bytes });
    }
    let mut body = vec![0; bytes];
    from.read_exact(&mut body)?;
    decode(&body).map(Some)
}

/// Puts frames together from whatever a non-blocking read brought.
#[derive(Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    taken: usize,
}

impl Decoder {
    /// Adds bytes as they came.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.taken > 0 {
            self.buffer.drain(..self.taken);
            self.taken = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Every byte that has come belonged to a message that was taken.
    pub fn is_empty(&self) -> bool {
        self.taken == self.buffer.len()
    }

    /// The next whole message, if its last byte has come.
    #[allow(clippy::should_implement_trait)] // an iterator cannot give messages of the caller's choice
    pub fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        let rest = &self.buffer[self.taken..];
        let Some((length, after)) = rest.split_first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let bytes = u32::from_le_bytes(*length) as usize;
        if bytes > FRAME_BYTES_MAX {
            return Err(FrameError::TooLong { bytes });
        }
        let Some(body) = after.get(..bytes) else { return Ok(None) };
        let message = decode(body)?;
        self.taken += LENGTH_BYTES + bytes;
        Ok(Some(message))
    }

    /// Bytes that wait for the rest of their frame; never more than one frame and one read.
    pub fn waiting_bytes(&self) -> usize {
        self.buffer.len() - self.taken
    }
}

const LENGTH_BYTES: usize = 4;
const FORMAT: bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Varint,
    bincode::config::Limit<FRAME_BYTES_MAX>,
> = bincode::config::standard().with_limit::<FRAME_BYTES_MAX>();

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{FromWorker, LiveEvent, ToScribe};
    use proptest::prelude::*;

    fn event(topic: &str) -> LiveEvent {
        LiveEvent { topic: topic.to_owned(), payload: "{}".to_owned() }
    }

    #[test]
    fn a_length_beyond_the_cap_is_refused_before_its_bytes_come() {
        let mut decoder = Decoder::default();
        decoder.push(&u32::MAX.to_le_bytes());
        assert!(matches!(decoder.next::<LiveEvent>(), Err(FrameError::TooLong { .. })));
        let mut stream: &[u8] = &u32::MAX.to_le_bytes();
        assert!(matches!(read::<LiveEvent>(&mut stream), Err(FrameError::TooLong { .. })));
    }

    #[test]
    fn a_message_with_something_behind_it_is_refused() {
        let mut body = encode(&event("cases")).unwrap()[LENGTH_BYTES..].to_vec();
        body.push(0);
        assert!(matches!(decode::<LiveEvent>(&body), Err(FrameError::LeftOver { bytes: 1 })));
    }

    proptest! {
        #[test]
        fn frames_survive_any_splitting(topics in prop::collection::vec("[a-z]{0,40}", 1..8), cut in 1usize..64) {
            let sent: Vec<LiveEvent> = topics.iter().map(|topic| event(topic)).collect();
            let stream: Vec<u8> = sent.iter().flat_map(|message| encode(message).unwrap()).collect();
            let (mut decoder, mut got) = (Decoder::default(), Vec::new());
            for bytes in stream.chunks(cut) {
                decoder.push(bytes);
                while let Some(message) = decoder.next::<LiveEvent>().unwrap() {
                    got.push(message);
                }
            }
            prop_assert_eq!(got, sent);
            prop_assert_eq!(decoder.waiting_bytes(), 0);
        }

        #[test]
        fn no_bytes_make_decoding_panic(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
            let _ = decode::<FromWorker>(&bytes);
            let _ = decode::<ToScribe>(&bytes);
        }
    }
}
