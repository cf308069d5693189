//! Decodes a recording a stranger sent into 16 kHz mono.
//!
//! The bytes decide what it is, never a name. One demuxer is offered the bytes, the one they were
//! recognised for, so noise cannot wander through every parser. Damage ends or thins a recording but
//! does not lose it: what decoded is kept and `partial` says that it is not everything. A panic in a
//! decoder is one more kind of damage. Output is capped by duration, so a small file that unpacks to
//! days of silence costs no more than a long call.
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;

use hotline_domain::audio::{Container, sniff_declared};
use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::codecs::registry::CodecRegistry;
use symphonia::core::errors::Error as MediaError;
use symphonia::core::formats::probe::{Hint, Probe};
use symphonia::core::formats::{FormatOptions, FormatReader, Track, TrackType};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;
use symphonia::default::{formats, meta};
use symphonia_adapter_libopus::OpusDecoder;
use thiserror::Error;

use super::mono::{Mono, MonoError};
use super::{lengths, partial};

/// A recording as samples.
pub struct Decoded {
    /// 16 kHz, mono, within -1 to 1.
    pub samples: Vec<f32>,
    pub container: Container,
    /// The recording broke off, or some of it could not be decoded.
    pub partial: bool,
}

/// Why there are no samples. All of these are the recording's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    #[error("could not decode the recording: it has no bytes")]
    Empty,
    #[error("could not decode the recording: it is not audio")]
    NotAudio,
    #[error("could not decode the recording: it is longer than {seconds_max} s")]
    TooLong { seconds_max: u64 },
    #[error("could not decode the recording: {reason}")]
    Corrupt { reason: &'static str },
}

/// Decodes at most `seconds_max`; more is refused, not cut.
pub fn decode(bytes: &[u8], declared: Option<&str>, seconds_max: u64) -> Result<Decoded, DecodeError> {
    if bytes.is_empty() {
        return Err(DecodeError::Empty);
    }
    let container = sniff_declared(bytes, declared).ok_or(DecodeError::NotAudio)?;
    let mut mono = Mono::new(seconds_max);
    let outcome = catch_unwind(AssertUnwindSafe(|| match container {
        Container::Mulaw => mulaw(bytes, &mut mono).map(|()| false),
        _ => unpack(&lengths::corrected(bytes, container), container, &mut mono),
    }));
    let broke_off = match outcome {
        Ok(Ok(broke_off)) => broke_off,
        Ok(Err(error)) => return Err(error),
        // What was decoded before the decoder gave up is good.
        Err(_panic) => true,
    };
    let samples = mono.finish().map_err(refusal)?;
    if samples.is_empty() {
        return Err(DecodeError::Corrupt { reason: "nothing in it could be decoded" });
    }
    Ok(Decoded { samples, container, partial: broke_off })
}

/// Entry for the fuzz target: any bytes, any claim, never a panic.
pub fn decode_anything(bytes: &[u8]) -> Option<usize> {
    let declared = bytes.first().filter(|byte| **byte & 1 == 1).map(|_| "audio/basic");
    decode(bytes, declared, FUZZ_SECONDS_MAX).ok().map(|decoded| decoded.samples.len())
}

/// Feeds every packet of the first audio track to `mono`; true when the recording is incomplete.
fn unpack(bytes: &[u8], container: Container, mono: &mut Mono) -> Result<bool, DecodeError> {
    let mut format = open(bytes, container)?;
    let track = format.default_track(TrackType::Audio).ok_or(DecodeError::NotAudio)?.clone();
    let mut decoder = decoder_for(&track)?;
    let mut damaged_packets = 0_usize;
    let mut broke_off = false;
    // A packet has at least one byte, so this many end any recording; a demuxer that yields more is stuck.
    for _ in 0..=bytes.len() {
        let packet = match format.next_packet() {
            Ok(Some(packet)) => packet,
            Ok(None) => break,
            Err(_) => {
                broke_off = true;
                break;
            }
        };
        if packet.track_id != track.id {
            continue;
        }
        match decoder.decode(&packet) {
            Ok(audio) => mono.push(&audio).map_err(refusal)?,
            Err(MediaError::DecodeError(_) | MediaError::IoError(_)) => {
                // An MP3 cut out of a longer one opens with frames that refer to data before the cut.
                let expected = container == Container::Mp3 && mono.frames_in() == 0;
                damaged_packets += usize::from(!expected);
            }
            Err(_) => {
                broke_off = true;
                break;
            }
        }
    }
    Ok(broke_off || damaged_packets > 0 || partial::ends_early(bytes, container, track.num_frames, mono.frames_in()))
}

fn open<'b>(bytes: &'b [u8], container: Container) -> Result<Box<dyn FormatReader + 'b>, DecodeError> {
    let mut probe = Probe::new();
    match container {
        Container::Adts => probe.register_format::<formats::AdtsReader<'_>>(),
        Container::Flac => probe.register_format::<formats::FlacReader<'_>>(),
        Container::Matroska => probe.register_format::<formats::MkvReader<'_>>(),
        Container::Mp3 => {
            probe.register_format::<formats::MpaReader<'_>>();
            // The tag stands before the first frame and may be longer than the probe would skip.
            probe.register_metadata::<meta::Id3v2Reader<'_>>();
        }
        Container::Mp4 => probe.register_format::<formats::IsoMp4Reader<'_>>(),
        Container::Mulaw => return Err(DecodeError::NotAudio),
        Container::Ogg => probe.register_format::<formats::OggReader<'_>>(),
        Container::Wav => probe.register_format::<formats::WavReader<'_>>(),
    }
    let source = MediaSourceStream::new(Box::new(Cursor::new(bytes)), MediaSourceStreamOptions::default());
    probe
        .probe(&Hint::new(), source, FormatOptions::default(), MetadataOptions::default())
        .map_err(|_| DecodeError::Corrupt { reason: "its header is damaged" })
}

fn decoder_for(track: &Track) -> Result<Box<dyn AudioDecoder>, DecodeError> {
    let parameters =
        track.codec_params.as_ref().and_then(|parameters| parameters.audio()).ok_or(DecodeError::NotAudio)?;
    CODECS
        .make_audio_decoder(parameters, &AudioDecoderOptions::default())
        .map_err(|_| DecodeError::Corrupt { reason: "its codec is not one of those we read" })
}

/// G.711 µ-law: sign, three bits of exponent, four of mantissa, all inverted.
fn mulaw(bytes: &[u8], mono: &mut Mono) -> Result<(), DecodeError> {
    let mut frames = [0.0; 4096];
    for chunk in bytes.chunks(frames.len()) {
        for (frame, byte) in frames.iter_mut().zip(chunk) {
            let code = !byte;
            let magnitude = (((i32::from(code & 0x0f) << 3) + 0x84) << ((code >> 4) & 7)) - 0x84;
            let sample = if code & 0x80 == 0 { magnitude } else { -magnitude };
            *frame = sample as f32 / 32_768.0;
        }
        mono.push_frames(&frames[..chunk.len()], 1, MULAW_HERTZ).map_err(refusal)?;
    }
    Ok(())
}

fn refusal(error: MonoError) -> DecodeError {
    match error {
        MonoError::TooLong { seconds_max } => DecodeError::TooLong { seconds_max },
        MonoError::Rate => DecodeError::Corrupt { reason: "its sample rate is not plausible" },
        MonoError::Resample => DecodeError::Corrupt { reason: "it could not be resampled" },
    }
}

static CODECS: LazyLock<CodecRegistry> = LazyLock::new(|| {
    let mut registry = CodecRegistry::new();
    symphonia::default::register_enabled_codecs(&mut registry);
    registry.register_audio_decoder::<OpusDecoder>();
    registry
});

const MULAW_HERTZ: u32 = 8_000;
const FUZZ_SECONDS_MAX: u64 = 30;
