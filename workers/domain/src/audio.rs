//! Recognises audio by its first bytes, so that what is no recording is refused before it is stored.
//!
//! File names and declared types are the sender's claims and are not asked, with one exception:
//! headerless µ-law has nothing to recognise and counts only when declared. A recognised container
//! may still hold nothing playable; only the decoder in the background process can say that.
use serde::{Deserialize, Serialize};

/// The outermost format of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Container {
    /// AAC frames without a file format around them.
    Adts,
    Flac,
    /// WebM and Matroska.
    Matroska,
    Mp3,
    /// M4A and its relatives.
    Mp4,
    /// 8 kHz mono G.711 without a header, as telephone exchanges write it.
    Mulaw,
    /// Vorbis or Opus.
    Ogg,
    Wav,
}

impl Container {
    /// The media type to store and to serve the recording with.
    pub fn media_type(self) -> &'static str {
        match self {
            Container::Adts => "audio/aac",
            Container::Flac => "audio/flac",
            Container::Matroska => "audio/webm",
            Container::Mp3 => "audio/mpeg",
            Container::Mp4 => "audio/mp4",
            Container::Mulaw => "audio/basic",
            Container::Ogg => "audio/ogg",
            Container::Wav => "audio/wav",
        }
    }
}

/// What these bytes are, by themselves. The first `SNIFF_BYTES` of a recording are enough.
pub fn sniff(bytes: &[u8]) -> Option<Container> {
    match bytes {
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', ..] => Some(Container::Wav),
        [b'f', b'L', b'a', b'C', ..] => Some(Container::Flac),
        [b'O', b'g', b'g', b'S', 0, ..] => Some(Container::Ogg),
        [0x1a, 0x45, 0xdf, 0xa3, ..] => Some(Container::Matroska),
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => Some(Container::Mp4),
        [b'I', b'D', b'3', 2..=4, _, _, a, b, c, d, ..] if (a | b | c | d) & 0x80 == 0 => Some(Container::Mp3),
        _ => sniff_frames(bytes),
    }
}

/// As `sniff`, and believes a declared `audio/basic` or `audio/x-mulaw` when the bytes say nothing.
pub fn sniff_declared(bytes: &[u8], declared: Option<&str>) -> Option<Container> {
    sniff(bytes).or_else(|| {
        let declared = declared?.split(';').next()?.trim();
        let raw = RAW_MULAW_TYPES.iter().any(|known| known.eq_ignore_ascii_case(declared));
        (raw && !bytes.is_empty()).then_some(Container::Mulaw)
    })
}

/// MPEG audio and ADTS have no magic number, only a sync pattern that noise meets once in 2 000
/// tries: so where the bytes reach that far, the second frame must begin where the first one ends.
fn sniff_frames(bytes: &[u8]) -> Option<Container> {
    for (container, frame_bytes) in
        [(Container::Adts, adts_frame_bytes as fn(&[u8]) -> Option<usize>), (Container::Mp3, mpeg_frame_bytes)]
    {
        if let Some(length) = frame_bytes(bytes) {
            let next = bytes.get(length..).unwrap_or_default();
            if next.len() < 8 || frame_bytes(next).is_some() {
                return Some(container);
            }
        }
    }
    None
}

fn adts_frame_bytes(bytes: &[u8]) -> Option<usize> {
    let [0xff, b1, b2, b3, b4, b5, _, ..] = *bytes else { return None };
    let layer_is_zero = b1 & 0xf6 == 0xf0;
    let rate_is_known = (b2 >> 2) & 0xf < 13;
    let length = usize::from(b3 & 3) << 11 | usize::from(b4) << 3 | usize::from(b5) >> 5;
    (layer_is_zero && rate_is_known && length > 7).then_some(length)
}

/// Layer III only: that is what people call MP3.
fn mpeg_frame_bytes(bytes: &[u8]) -> Option<usize> {
    let [0xff, b1, b2, ..] = *bytes else { return None };
    let (version, layer) = ((b1 >> 3) & 3, (b1 >> 1) & 3);
    if b1 & 0xe0 != 0xe0 || version == 1 || layer != 1 {
        return None;
    }
    let version_1 = version == 3;
    let kilobits = if version_1 { MPEG_1_KILOBITS } else { MPEG_2_KILOBITS }[usize::from(b2 >> 4)];
    let hertz = [44_100, 48_000, 32_000, 0][usize::from((b2 >> 2) & 3)]
        >> match version {
            3 => 0,
            2 => 1,
            _ => 2,
        };
    if kilobits == 0 || hertz == 0 {
        return None;
    }
    let samples_over_8 = if version_1 { 144_000 } else { 72_000 };
    Some(samples_over_8 * kilobits / hertz + usize::from((b2 >> 1) & 1))
}

/// Enough of a recording for `sniff` to see two frames of anything.
pub const SNIFF_BYTES: usize = 16 * 1024;

const RAW_MULAW_TYPES: &[&str] = &["audio/basic", "audio/x-mulaw"];

const MPEG_1_KILOBITS: [usize; 16] = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0];
const MPEG_2_KILOBITS: [usize; 16] = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn containers_are_known_by_their_first_bytes() {
        for (bytes, container) in [
            (&b"RIFF\x24\0\0\0WAVEfmt "[..], Container::Wav),
            (b"fLaC\0\0\0\x22", Container::Flac),
            (b"OggS\0\x02", Container::Ogg),
            (b"\x1a\x45\xdf\xa3\x9f", Container::Matroska),
            (b"\0\0\0\x20ftypM4A ", Container::Mp4),
            (b"ID3\x04\0\0\0\0\0\x23", Container::Mp3),
        ] {
            assert_eq!(sniff(bytes), Some(container));
        }
    }

    #[test]
    fn an_mpeg_sync_needs_a_second_frame_where_the_first_ends() {
        // 32 kb/s, 16 kHz, MPEG-2 layer III: 144 bytes a frame.
        let mut two = [0xff, 0xf3, 0x48, 0xc4].to_vec();
        two.resize(144, 0);
        two.extend([0xff, 0xf3, 0x48, 0xc4, 0, 0, 0, 0]);
        assert_eq!(sniff(&two), Some(Container::Mp3));
        two[144] = 0;
        assert_eq!(sniff(&two), None);
        assert_eq!(sniff(&two[..100]), Some(Container::Mp3), "too short to see the second");
    }

    #[test]
    fn what_is_no_audio_is_not_recognised() {
        for bytes in [&b""[..], b"R", b"%PDF-1.7", b"PK\x03\x04", b"\x7fELF", b"<html>", b"RIFF....AVI "] {
            assert_eq!(sniff(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn raw_mulaw_counts_only_when_declared() {
        let silence = [0xff_u8; 64].map(|byte| byte & 0x7f);
        assert_eq!(sniff_declared(&silence, None), None);
        assert_eq!(sniff_declared(&silence, Some("application/octet-stream")), None);
        assert_eq!(sniff_declared(&silence, Some("Audio/Basic; rate=8000")), Some(Container::Mulaw));
        assert_eq!(sniff_declared(b"", Some("audio/x-mulaw")), None);
        assert_eq!(sniff_declared(b"fLaC\0", Some("audio/basic")), Some(Container::Flac), "bytes win");
    }

    proptest! {
        #[test]
        fn any_bytes_get_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..4096)) {
            if let Some(container) = sniff(&bytes) {
                prop_assert!(container.media_type().starts_with("audio/"));
            }
        }
    }
}
