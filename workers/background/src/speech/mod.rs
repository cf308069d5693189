//! Turns a recording into a transcript: recognise and decode, drop what is no speech, listen.
//!
//! Everything here works on bytes a stranger sent. Nothing trusts a name, a declared type or a
//! length in a header; memory and time are bounded by `seconds_max`; whatever the decoders do, the
//! answer is a transcript or one of the errors below. All of it is blocking and wants a thread of
//! its own.
pub mod decode;
pub mod engine;
pub mod gate;
mod lengths;
mod mono;
mod partial;

pub mod whisper;

use hotline_domain::transcript::Transcript;
use thiserror::Error;

pub use decode::{DecodeError, Decoded, decode};
pub use engine::{Engine, EngineError, Job};
pub use whisper::{Settings, Whisper};

/// Why a recording gave no transcript.
#[derive(Debug, Error)]
pub enum SpeechError {
    /// The recording is at fault; trying again cannot help.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The engine is; another attempt may help, unless the job was cancelled.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// What is said in `recording`. `declared` is the sender's media type, `language` a BCP-47 hint.
pub fn transcribe(
    engine: &dyn Engine,
    recording: &[u8],
    declared: Option<&str>,
    language: Option<&str>,
    seconds_max: u64,
    job: &Job,
) -> Result<Transcript, SpeechError> {
    let Decoded { samples, partial, .. } = decode(recording, declared, seconds_max)?;
    let duration_ms = samples.len() as u64 / SAMPLES_PER_MS;
    let voiced = gate::Voiced::find(&samples);
    let samples = voiced.keep_only(samples);
    let heard = if samples.is_empty() { engine::Heard::nothing() } else { engine.listen(&samples, language, job)? };
    job.report(100);
    let text = heard.segments.iter().map(|segment| segment.text.as_str()).collect::<String>();
    let segments = heard
        .segments
        .into_iter()
        .filter(|segment| !segment.text.trim().is_empty())
        .map(|mut segment| {
            segment.start_ms = voiced.original_ms(segment.start_ms).min(duration_ms);
            segment.end_ms = voiced.original_ms(segment.end_ms).min(duration_ms);
            segment.text = segment.text.trim().to_owned();
            segment
        })
        .collect();
    Ok(Transcript {
        text: text.trim().to_owned(),
        language: heard.language,
        language_probability: heard.language_probability,
        segments,
        engine: engine.describe().clone(),
        duration_ms,
        partial,
        version: 1,
    })
}

/// What every engine listens at.
pub const SAMPLES_PER_SECOND: usize = 16_000;
const SAMPLES_PER_MS: u64 = SAMPLES_PER_SECOND as u64 / 1_000;
