//! Tells whether a recording ends before its own header says it should.
//!
//! A phone that loses its network leaves a file whose every packet is fine. Only the container knows
//! that more was promised: by a frame count, or in Ogg by the flag on the last page. Recorders that
//! stream do not know the length in advance and promise nothing; that is not a defect.
use hotline_domain::audio::Container;

/// `declared` is the demuxer's idea of the length, `decoded` what came out, both in frames.
pub(super) fn ends_early(bytes: &[u8], container: Container, declared: Option<u64>, decoded: u64) -> bool {
    let slack = match container {
        Container::Ogg => return !last_ogg_page_ends_the_stream(bytes),
        Container::Adts | Container::Mulaw => return false,
        Container::Mp3 if !mp3_counts_its_frames(bytes) => return false,
        Container::Flac | Container::Wav => 0,
        // Encoder delay and padding are counted differently by every muxer: two or three packets.
        Container::Matroska | Container::Mp3 | Container::Mp4 => 4_096,
    };
    declared.is_some_and(|declared| decoded.saturating_add(slack) < declared)
}

/// A page is at most 65 307 bytes, so the last one begins within that distance of the end.
fn last_ogg_page_ends_the_stream(bytes: &[u8]) -> bool {
    let tail = &bytes[bytes.len().saturating_sub(OGG_PAGE_BYTES_MAX)..];
    let Some(at) = tail.windows(4).rposition(|window| window == b"OggS") else { return false };
    let page = &tail[at..];
    let (Some(flags), Some(segments)) = (page.get(5), page.get(26)) else { return false };
    let table = page.get(27..27 + usize::from(*segments)).unwrap_or_default();
    let body: usize = table.iter().map(|length| usize::from(*length)).sum();
    let whole = table.len() == usize::from(*segments) && page.len() >= 27 + table.len() + body;
    whole && flags & OGG_END_OF_STREAM != 0
}

/// Encoders write the number of frames into the first one, behind a tag; without it the demuxer guesses.
fn mp3_counts_its_frames(bytes: &[u8]) -> bool {
    let id3 = match bytes {
        [b'I', b'D', b'3', _, _, _, a, b, c, d, ..] => {
            10 + [a, b, c, d].iter().fold(0, |size, byte| size << 7 | usize::from(**byte & 0x7f))
        }
        _ => 0,
    };
    let first_frame = bytes.get(id3..).unwrap_or_default();
    first_frame[..first_frame.len().min(64)].windows(4).any(|window| window == b"Xing" || window == b"Info")
}

const OGG_PAGE_BYTES_MAX: usize = 65_307;
const OGG_END_OF_STREAM: u8 = 4;
