//! Every format we promise to read, whole, cut short and damaged.
use hotline_background::speech::decode::decode_anything;
use hotline_background::speech::{DecodeError, Decoded, decode};
use hotline_domain::audio::Container;
use proptest::prelude::*;

use super::sample;

const SECONDS_MAX: u64 = 60;

/// Each holds the same 2.43 s phrase. Only AAC, which counts its padding as sound, is longer.
const FIXTURES: &[(&str, Container)] = &[
    ("aac.m4a", Container::Mp4),
    ("adts.aac", Container::Adts),
    ("alaw.wav", Container::Wav),
    ("mulaw.wav", Container::Wav),
    ("opus.ogg", Container::Ogg),
    ("opus.webm", Container::Matroska),
    ("pcm.wav", Container::Wav),
    ("phrase.flac", Container::Flac),
    ("phrase.mp3", Container::Mp3),
    ("vorbis.ogg", Container::Ogg),
];

fn fixture(name: &str) -> Vec<u8> {
    sample(&format!("decoders/{name}"))
}

fn decoded(bytes: &[u8]) -> Result<Decoded, DecodeError> {
    decode(bytes, None, SECONDS_MAX)
}

fn refused(bytes: &[u8], declared: Option<&str>) -> DecodeError {
    decode(bytes, declared, SECONDS_MAX).err().expect("must be refused")
}

/// Loudness of each 20 ms, the shape of a recording that survives any codec.
fn envelope(samples: &[f32]) -> Vec<f32> {
    samples.chunks(320).map(|frame| frame.iter().map(|s| s * s).sum::<f32>().sqrt()).collect()
}

fn correlation(a: &[f32], b: &[f32]) -> f32 {
    let mean = |v: &[f32]| v.iter().sum::<f32>() / v.len() as f32;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        ab += (a - mean_a) * (b - mean_b);
        aa += (a - mean_a).powi(2);
        bb += (b - mean_b).powi(2);
    }
    ab / (aa * bb).sqrt()
}

#[test]
fn every_format_gives_the_same_recording() {
    let reference = envelope(&decoded(&fixture("pcm.wav")).unwrap().samples);
    for (name, container) in FIXTURES {
        let audio = decoded(&fixture(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(audio.container, *container, "{name}");
        assert!(!audio.partial, "{name} is whole");
        let ms = audio.samples.len() / 16;
        assert!((2_400..=2_600).contains(&ms), "{name}: {ms} ms");
        let ours = envelope(&audio.samples);
        // An encoder may shift the sound by a few frames.
        let best = (0..8).map(|shift| correlation(&reference[..110], &ours[shift..shift + 110])).fold(0.0, f32::max);
        assert!(best > 0.95, "{name}: only {best} like the original");
    }
}

#[test]
fn a_name_or_a_declared_type_changes_nothing() {
    for declared in ["audio/basic", "image/png", "", "audio/wav; codecs=1", "\u{1f4a9}"] {
        let audio = decode(&fixture("opus.ogg"), Some(declared), SECONDS_MAX).unwrap();
        assert_eq!(audio.container, Container::Ogg);
    }
}

#[test]
fn raw_mulaw_is_believed_only_when_declared() {
    let raw = fixture("mulaw.raw");
    assert_eq!(refused(&raw, None), DecodeError::NotAudio);
    assert_eq!(refused(&raw, Some("audio/wav")), DecodeError::NotAudio);
    let audio = decode(&raw, Some("audio/x-mulaw"), SECONDS_MAX).unwrap();
    let inside_wav = decoded(&fixture("mulaw.wav")).unwrap();
    assert_eq!(audio.samples.len(), inside_wav.samples.len());
    let worst =
        audio.samples.iter().zip(&inside_wav.samples).map(|(ours, theirs)| (ours - theirs).abs()).fold(0.0, f32::max);
    assert!(worst < 1e-3, "off by {worst} from the decoder in the library");
}

#[test]
fn a_recording_that_breaks_off_keeps_its_good_part_and_says_so() {
    for (name, _) in FIXTURES {
        if *name == "adts.aac" {
            continue; // Frames without a file around them: nothing ever said how many there would be.
        }
        let whole = fixture(name);
        let full_length = decoded(&whole).unwrap().samples.len();
        let audio = decoded(&whole[..whole.len() * 6 / 10]).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(audio.partial, "{name} was cut and does not say so");
        let kept = audio.samples.len() as f32 / full_length as f32;
        assert!((0.3..=0.75).contains(&kept), "{name}: kept {kept} of it");
    }
}

#[test]
fn damage_in_the_middle_does_not_lose_the_rest() {
    for name in ["opus.ogg", "phrase.mp3", "phrase.flac"] {
        let mut bytes = fixture(name);
        let middle = bytes.len() / 2;
        bytes[middle..middle + 64].fill(0x55);
        let audio = decoded(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(audio.samples.len() > 8_000, "{name}: {} samples", audio.samples.len());
    }
}

#[test]
fn a_wav_from_a_pipe_does_not_know_its_length_and_is_whole() {
    for unknown in [0_u32, u32::MAX] {
        let mut bytes = fixture("pcm.wav");
        let data = bytes.windows(4).position(|window| window == b"data").unwrap();
        bytes[data + 4..data + 8].copy_from_slice(&unknown.to_le_bytes());
        let audio = decoded(&bytes).unwrap();
        assert!(!audio.partial);
        assert!(audio.samples.len() > 38_000);
    }
}

#[test]
fn what_is_no_recording_is_refused_by_kind() {
    assert_eq!(refused(b"", None), DecodeError::Empty);
    assert_eq!(refused(b"", Some("audio/basic")), DecodeError::Empty);
    for bytes in [&b"%PDF-1.7 not a sound"[..], b"MZ\x90\0", b"<!doctype html>", &[0; 4096]] {
        assert_eq!(refused(bytes, Some("audio/wav")), DecodeError::NotAudio);
    }
    // A recognised beginning with nothing behind it.
    for bytes in
        [&b"RIFF\x24\0\0\0WAVE"[..], b"fLaC\0\0\0\x22", b"OggS\0\x02", b"\x1a\x45\xdf\xa3", b"\0\0\0\x20ftypM4A "]
    {
        assert!(matches!(refused(bytes, None), DecodeError::Corrupt { .. }), "{bytes:?}");
    }
}

#[test]
fn a_recording_longer_than_allowed_is_refused_not_cut() {
    let error = decode(&fixture("opus.ogg"), None, 2).err().unwrap();
    assert_eq!(error, DecodeError::TooLong { seconds_max: 2 });
    assert!(decode(&fixture("opus.ogg"), None, 3).is_ok());
    // Ten seconds of raw µ-law is 80 000 bytes; a day would be stopped as early.
    assert_eq!(
        decode(&vec![0xff; 80_000], Some("audio/basic"), 9).err().unwrap(),
        DecodeError::TooLong { seconds_max: 9 }
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..4096)) {
        decode_anything(&bytes);
    }

    /// Noise never gets past the front door, so the deeper floors need a real header.
    #[test]
    fn noise_behind_a_real_header_never_panics(
        which in 0..FIXTURES.len(),
        keep in 0_usize..2048,
        noise in proptest::collection::vec(any::<u8>(), 0..4096),
    ) {
        let real = fixture(FIXTURES[which].0);
        let mut bytes = real[..keep.min(real.len())].to_vec();
        bytes.extend(noise);
        decode_anything(&bytes);
    }

    #[test]
    fn flipped_bits_never_panic(
        which in 0..FIXTURES.len(),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), 0_u8..8), 1..40),
    ) {
        let mut bytes = fixture(FIXTURES[which].0);
        for (at, bit) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        decode_anything(&bytes);
    }
}
