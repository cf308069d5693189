//! A file, sealed while it is written and opened where it is read: a stream of segments of 64 KiB.
//!
//! Each file has a key of its own, from its subject's key, its place and a random salt. Under it the nonce of a segment
//! is its number and whether it is the last one (the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizár), so
//! a segment opens in its place in its file and nowhere else, and a file that was cut off, extended, shuffled or mixed
//! with another does not open as anything but what was written. Numbers never repeat and end at a bound.
//!
//! `head (4) · salt (32) · { ciphertext (65,536; the last one 0 to 65,536) · tag (16) }`
use std::io::{self, Read, Seek, SeekFrom, Write};

use aws_lc_rs::aead::{self, LessSafeKey, NONCE_LEN, Nonce};
use aws_lc_rs::rand;
use zeroize::Zeroizing;

use super::envelope::{HEAD_BYTES, TAG_BYTES, gcm};
use super::{Aad, SubjectKey, Under, VaultError};

/// Seals what is written to it. Only [`SealingWriter::finish`] makes a whole file of it.
pub struct SealingWriter<W> {
    output: W,
    cipher: Cipher,
    next: u32,
    segments_max: u32,
    /// Of the segment at hand; a full one waits until it is known whether it is the last.
    plain: Zeroizing<Vec<u8>>,
}

/// Opens what is read from it, segment by segment, from wherever is asked for.
pub struct SegmentReader<R> {
    input: R,
    cipher: Cipher,
    segments: u32,
    plain_bytes: u64,
    at: u64,
    /// The segment at hand and its number.
    plain: Zeroizing<Vec<u8>>,
    holds: u32,
}

impl<W: Write> SealingWriter<W> {
    /// Writes the header.
    pub fn new(key: &SubjectKey, place: &Aad<'_>, output: W) -> io::Result<Self> {
        Self::with_bound(key, place, output, SEGMENTS_MAX)
    }

    fn with_bound(key: &SubjectKey, place: &Aad<'_>, mut output: W, segments_max: u32) -> io::Result<Self> {
        let mut header = [0; HEADER_BYTES];
        header[..HEAD_BYTES].copy_from_slice(&Under::Segments(key.class()).head());
        rand::fill(&mut header[HEAD_BYTES..]).map_err(|_| refused(VaultError::Random))?;
        output.write_all(&header)?;
        let plain = Zeroizing::new(Vec::with_capacity(SEGMENT_BYTES));
        Ok(Self { output, cipher: Cipher::new(key, place, &header), next: 0, segments_max, plain })
    }

    /// The last segment; from here on the file is whole.
    pub fn finish(mut self) -> io::Result<W> {
        self.seal_segment(true)?;
        self.output.flush()?;
        Ok(self.output)
    }

    fn seal_segment(&mut self, is_last: bool) -> io::Result<()> {
        if self.next >= self.segments_max {
            return Err(refused(VaultError::TooLong));
        }
        let tag = self.cipher.seal(self.next, is_last, &mut self.plain)?;
        // Before it is written: whatever becomes of this segment, its number is used.
        self.next += 1;
        self.output.write_all(&self.plain)?;
        self.output.write_all(&tag)?;
        self.plain.clear();
        Ok(())
    }
}

impl<W: Write> Write for SealingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.plain.len() == SEGMENT_BYTES && !bytes.is_empty() {
            self.seal_segment(false)?;
        }
        let taken = bytes.len().min(SEGMENT_BYTES - self.plain.len());
        self.plain.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    /// What does not fill a segment waits for the rest of it.
    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

impl<R: Read + Seek> SegmentReader<R> {
    /// Opens the last segment first: then the file is known to end where it was ended.
    pub fn open(key: &SubjectKey, place: &Aad<'_>, mut input: R) -> io::Result<Self> {
        let bytes = input.seek(SeekFrom::End(0))?;
        input.seek(SeekFrom::Start(0))?;
        let mut header = [0; HEADER_BYTES];
        input.read_exact(&mut header)?;
        if header[..HEAD_BYTES] != Under::Segments(key.class()).head() {
            return Err(refused(VaultError::Malformed));
        }
        let (segments, last_bytes) = shape(bytes).ok_or_else(|| refused(VaultError::Malformed))?;
        let plain_bytes = u64::from(segments - 1) * SEGMENT_BYTES as u64 + last_bytes as u64;
        let plain = Zeroizing::new(Vec::with_capacity(SEGMENT_BYTES + TAG_BYTES));
        let cipher = Cipher::new(key, place, &header);
        let mut reader = Self { input, cipher, segments, plain_bytes, at: 0, plain, holds: 0 };
        reader.load(segments - 1)?;
        Ok(reader)
    }

    /// What there is to be read in all.
    pub fn plain_bytes(&self) -> u64 {
        self.plain_bytes
    }

    fn load(&mut self, segment: u32) -> io::Result<()> {
        let is_last = segment + 1 == self.segments;
        self.input.seek(SeekFrom::Start(HEADER_BYTES as u64 + u64::from(segment) * SEALED_BYTES as u64))?;
        let plain_bytes = match is_last {
            true => {
                usize::try_from(self.plain_bytes - u64::from(segment) * SEGMENT_BYTES as u64).unwrap_or(SEGMENT_BYTES)
            }
            false => SEGMENT_BYTES,
        };
        self.holds = NONE;
        self.plain.clear();
        self.plain.resize(plain_bytes + TAG_BYTES, 0);
        let opened =
            self.input.read_exact(&mut self.plain).and_then(|()| self.cipher.open(segment, is_last, &mut self.plain));
        self.plain.truncate(if opened.is_ok() { plain_bytes } else { 0 });
        self.holds = if opened.is_ok() { segment } else { NONE };
        opened
    }
}

impl<R: Read + Seek> Read for SegmentReader<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.plain_bytes || into.is_empty() {
            return Ok(0);
        }
        let segment = u32::try_from(self.at / SEGMENT_BYTES as u64).map_err(|_| refused(VaultError::Malformed))?;
        if self.holds != segment {
            self.load(segment)?;
        }
        let from = (self.at % SEGMENT_BYTES as u64) as usize;
        let taken = into.len().min(self.plain.len() - from);
        into[..taken].copy_from_slice(&self.plain[from..from + taken]);
        self.at += taken as u64;
        Ok(taken)
    }
}

impl<R> Seek for SegmentReader<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.plain_bytes.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

/// A file's own key, and what its segments are bound to.
struct Cipher {
    key: LessSafeKey,
    bound: Vec<u8>,
}

impl Cipher {
    fn new(key: &SubjectKey, place: &Aad<'_>, header: &[u8; HEADER_BYTES]) -> Self {
        let (secret, bound) = key.of_file(place, header);
        Self { key: gcm(&secret), bound }
    }

    fn seal(&self, segment: u32, is_last: bool, plain: &mut [u8]) -> io::Result<[u8; TAG_BYTES]> {
        let tag = self.key.seal_in_place_separate_tag(nonce(segment, is_last), aead::Aad::from(&self.bound), plain);
        let tag = tag.map_err(|_| refused(VaultError::TooLong))?;
        Ok(tag.as_ref().try_into().expect("a tag of AES-GCM has 16 bytes"))
    }

    fn open(&self, segment: u32, is_last: bool, sealed: &mut [u8]) -> io::Result<()> {
        let opened = self.key.open_in_place(nonce(segment, is_last), aead::Aad::from(&self.bound), sealed);
        opened.map(drop).map_err(|_| refused(VaultError::Refused))
    }
}

/// Seven bytes of nothing, the segment's number, whether it is the last.
fn nonce(segment: u32, is_last: bool) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    nonce[7..11].copy_from_slice(&segment.to_be_bytes());
    nonce[11] = u8::from(is_last);
    Nonce::assume_unique_for_key(nonce)
}

/// How many segments a file of this length has, and what the last one holds. There is one way to write a text: only an
/// empty one has an empty last segment.
fn shape(file_bytes: u64) -> Option<(u32, usize)> {
    let sealed = file_bytes.checked_sub(HEADER_BYTES as u64)?;
    let segments =
        u32::try_from(sealed.div_ceil(SEALED_BYTES as u64)).ok().filter(|count| (1..=SEGMENTS_MAX).contains(count))?;
    let last = sealed - u64::from(segments - 1) * SEALED_BYTES as u64;
    let last_bytes = usize::try_from(last).ok()?.checked_sub(TAG_BYTES)?;
    (last_bytes > 0 || segments == 1).then_some((segments, last_bytes))
}

/// The kind tells it from a disk that fails.
fn refused(error: VaultError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

const SALT_BYTES: usize = 32;
const HEADER_BYTES: usize = HEAD_BYTES + SALT_BYTES;
const SEGMENT_BYTES: usize = 64 << 10;
const SEALED_BYTES: usize = SEGMENT_BYTES + TAG_BYTES;
/// Of one file, a terabyte: 2^36 blocks under one key, where AES-GCM bears 2^64 before anybody could tell.
const SEGMENTS_MAX: u32 = 1 << 24;
/// No segment has this number.
const NONE: u32 = u32::MAX;

#[cfg(test)]
#[path = "segments_tests.rs"]
mod tests;
