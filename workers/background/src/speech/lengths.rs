//! Gives a file whose own lengths are wrong the right ones, where the demuxer would refuse it for that.
//!
//! A WAV written to a pipe leaves the size of its sound at zero or at its maximum, because the writer
//! could not return to fill it in; the sound reaches to the end of the file. An MP4 or WebM
//! whose upload broke off promises more bytes than came; those that came are good. Each gets a
//! corrected copy.
use std::borrow::Cow;

use hotline_domain::audio::Container;

/// The same file, or a copy that a demuxer will open.
pub(super) fn corrected(bytes: &[u8], container: Container) -> Cow<'_, [u8]> {
    let correction = match container {
        Container::Wav => wav(bytes),
        Container::Mp4 => mp4(bytes),
        Container::Matroska => matroska(bytes),
        _ => None,
    };
    correction.map_or(Cow::Borrowed(bytes), Cow::Owned)
}

fn wav(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut at = RIFF_HEADER_BYTES;
    for _ in 0..CHUNKS_MAX {
        let (name, size) = (bytes.get(at..at + 4)?, u32_le(bytes, at + 4)?);
        if name == b"data" {
            let rest = u32::try_from(bytes.len() - (at + 8)).ok()?;
            let open = matches!(size, 0 | 0xffff_f000..) && rest > 0;
            let riff = u32::try_from(bytes.len() - 8).ok()?;
            return open.then(|| patched(bytes, &[(4, riff.to_le_bytes()), (at + 4, rest.to_le_bytes())]));
        }
        // Chunks are padded to even lengths.
        let size = usize::try_from(size).ok()?;
        at = at.checked_add(8)?.checked_add(size)?.checked_add(size & 1)?;
    }
    None
}

fn mp4(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut at = 0_usize;
    for _ in 0..CHUNKS_MAX {
        let name = bytes.get(at + 4..at + 8)?;
        let size = usize::try_from(u32_le(bytes, at)?.swap_bytes()).ok()?;
        let end = at.checked_add(size)?;
        if name == b"mdat" && end > bytes.len() {
            let rest = u32::try_from(bytes.len() - at).ok()?;
            return Some(patched(bytes, &[(at, rest.to_be_bytes())]));
        }
        // 0 reaches to the end by itself and 1 announces 64 bits; both are for more than a call.
        if size < 8 {
            return None;
        }
        at = end;
    }
    None
}

/// Opens the segment and the cluster that reach beyond the end, and blanks the index of places to seek
/// to, which lie there too.
fn matroska(bytes: &[u8]) -> Option<Vec<u8>> {
    let header = Element::at(bytes, 0)?;
    let segment = Element::at(bytes, header.end()?)?;
    if segment.id != *SEGMENT || segment.end()? <= bytes.len() {
        return None;
    }
    let mut copy = bytes.to_vec();
    segment.leave_open(&mut copy);
    let mut at = segment.body;
    while let Some(child) = Element::at(bytes, at) {
        let end = child.end()?;
        let whole = end - child.start;
        if child.id == *SEEK_HEAD && whole >= VOID_HEADER_BYTES && end <= copy.len() {
            let size = (whole - VOID_HEADER_BYTES) as u64 | 1 << 56;
            copy[child.start] = VOID;
            copy[child.start + 1..child.start + VOID_HEADER_BYTES].copy_from_slice(&size.to_be_bytes());
        }
        if child.id == *CLUSTER && end > bytes.len() {
            child.leave_open(&mut copy);
        }
        at = end;
    }
    Some(copy)
}

/// An EBML element: an identifier and a size, each saying its own length by its leading zeros.
struct Element<'b> {
    id: &'b [u8],
    start: usize,
    size_at: usize,
    body: usize,
    size: u64,
}

impl<'b> Element<'b> {
    fn at(bytes: &'b [u8], start: usize) -> Option<Element<'b>> {
        let id_bytes = bytes.get(start)?.leading_zeros() as usize + 1;
        let size_at = start.checked_add(id_bytes)?;
        let size_bytes = bytes.get(size_at)?.leading_zeros() as usize + 1;
        let body = size_at.checked_add(size_bytes)?;
        if id_bytes > 4 || size_bytes > 8 {
            return None;
        }
        let size = bytes.get(size_at..body)?.iter().fold(0, |size, byte| size << 8 | u64::from(*byte));
        let size = size & !(1 << (7 * size_bytes));
        Some(Element { id: bytes.get(start..size_at)?, start, size_at, body, size })
    }

    fn end(&self) -> Option<usize> {
        self.body.checked_add(usize::try_from(self.size).ok()?)
    }

    /// All ones: as long as it lasts.
    fn leave_open(&self, bytes: &mut [u8]) {
        let size = &mut bytes[self.size_at..self.body];
        size.fill(0xff);
        size[0] >>= size.len() - 1;
    }
}

fn patched(bytes: &[u8], patches: &[(usize, [u8; 4])]) -> Vec<u8> {
    let mut copy = bytes.to_vec();
    for (at, patch) in patches {
        copy[*at..*at + 4].copy_from_slice(patch);
    }
    copy
}

fn u32_le(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_le_bytes)
}

const SEGMENT: &[u8; 4] = b"\x18\x53\x80\x67";
const SEEK_HEAD: &[u8; 4] = b"\x11\x4d\x9b\x74";
const CLUSTER: &[u8; 4] = b"\x1f\x43\xb6\x75";
const VOID: u8 = 0xec;
/// Its one-byte identifier and a size of eight.
const VOID_HEADER_BYTES: usize = 9;
const RIFF_HEADER_BYTES: usize = 12;
/// Real files have three or four before the sound.
const CHUNKS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_open_wav_reaches_to_its_end_and_a_closed_one_is_left_alone() {
        let open = b"RIFF\xff\xff\xff\xffWAVEfmt \x02\0\0\0\x01\0data\xff\xff\xff\xffsound!";
        let closed = b"RIFF\x1c\0\0\0WAVEfmt \x02\0\0\0\x01\0data\x06\0\0\0sound!";
        assert_eq!(*corrected(open, Container::Wav), *b"RIFF\x1c\0\0\0WAVEfmt \x02\0\0\0\x01\0data\x06\0\0\0sound!");
        assert!(matches!(corrected(closed, Container::Wav), Cow::Borrowed(_)));
    }

    #[test]
    fn an_mp4_that_broke_off_promises_what_it_has() {
        let cut = b"\0\0\0\x08free\0\0\x10\0mdatsound";
        assert_eq!(*corrected(cut, Container::Mp4), *b"\0\0\0\x08free\0\0\0\x0dmdatsound");
        let whole = b"\0\0\0\x0dmdatsound";
        assert!(matches!(corrected(whole, Container::Mp4), Cow::Borrowed(_)));
    }

    proptest! {
        #[test]
        fn any_bytes_keep_their_number(head in 0..3_usize, bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let heads: [&[u8]; 3] = [
                b"RIFF\0\0\0\0WAVEdata",
                b"\0\0\0\x08free\0\0",
                b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x40\xff",
            ];
            let bytes = [heads[head], &bytes].concat();
            for container in [Container::Wav, Container::Mp4, Container::Matroska] {
                prop_assert_eq!(corrected(&bytes, container).len(), bytes.len());
            }
        }
    }
}
