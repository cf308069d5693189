//! Collects decoded audio of any rate and channel count as 16 kHz mono, never more than was allowed.
//!
//! Resampling happens on the way in, chunk by chunk, so a recording exists once in memory and at the
//! rate it is listened at. The resampler is built for the first rate seen; a stream that changes its
//! rate later has it rebuilt and pays with a few milliseconds of edge.
use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Indexing, Resampler};
use symphonia::core::audio::GenericAudioBufferRef;
use thiserror::Error;

use super::SAMPLES_PER_SECOND;

pub(super) struct Mono {
    samples: Vec<f32>,
    samples_max: usize,
    seconds_max: u64,
    frames_in: u64,
    scratch: Vec<f32>,
    stage: Option<Stage>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum MonoError {
    #[error("could not keep more than {seconds_max} s")]
    TooLong { seconds_max: u64 },
    #[error("could not accept the sample rate")]
    Rate,
    #[error("could not resample")]
    Resample,
}

impl Mono {
    pub(super) fn new(seconds_max: u64) -> Mono {
        let samples_max = usize::try_from(seconds_max).unwrap_or(usize::MAX).saturating_mul(SAMPLES_PER_SECOND);
        Mono { samples: Vec::new(), samples_max, seconds_max, frames_in: 0, scratch: Vec::new(), stage: None }
    }

    /// Frames taken in so far, at the recording's own rate.
    pub(super) fn frames_in(&self) -> u64 {
        self.frames_in
    }

    pub(super) fn push(&mut self, audio: &GenericAudioBufferRef<'_>) -> Result<(), MonoError> {
        let mut interleaved = std::mem::take(&mut self.scratch);
        audio.copy_to_vec_interleaved(&mut interleaved);
        let outcome = self.push_frames(&interleaved, audio.num_planes(), audio.spec().rate());
        self.scratch = interleaved;
        outcome
    }

    pub(super) fn push_frames(&mut self, interleaved: &[f32], channels: usize, hertz: u32) -> Result<(), MonoError> {
        if channels == 0 || interleaved.is_empty() {
            return Ok(());
        }
        if self.stage.as_ref().is_none_or(|stage| stage.hertz != hertz) {
            self.flush()?;
            self.stage = Some(Stage::new(hertz)?);
        }
        let Some(stage) = &mut self.stage else { return Ok(()) };
        self.frames_in += (interleaved.len() / channels) as u64;
        stage.pending.extend(interleaved.chunks_exact(channels).map(mix));
        stage.drain(&mut self.samples)?;
        self.within_bounds()
    }

    /// Everything, once the last frame is in.
    pub(super) fn finish(mut self) -> Result<Vec<f32>, MonoError> {
        self.flush()?;
        Ok(self.samples)
    }

    fn flush(&mut self) -> Result<(), MonoError> {
        if let Some(stage) = self.stage.take() {
            stage.finish(&mut self.samples)?;
        }
        self.within_bounds()
    }

    fn within_bounds(&self) -> Result<(), MonoError> {
        if self.samples.len() > self.samples_max {
            return Err(MonoError::TooLong { seconds_max: self.seconds_max });
        }
        Ok(())
    }
}

/// The resampler for one input rate, and the frames it has not taken yet.
struct Stage {
    hertz: u32,
    pending: Vec<f32>,
    frames_taken: u64,
    /// Output frames that are the filter's own delay and must not be kept.
    delay_left: usize,
    frames_kept: u64,
    /// None: the rate is already right.
    resampler: Option<Fft<f32>>,
}

impl Stage {
    fn new(hertz: u32) -> Result<Stage, MonoError> {
        if !PLAUSIBLE_HERTZ.contains(&hertz) {
            return Err(MonoError::Rate);
        }
        let resampler = if hertz as usize == SAMPLES_PER_SECOND {
            None
        } else {
            let resampler = Fft::new(hertz as usize, SAMPLES_PER_SECOND, CHUNK_FRAMES, 1, FixedSync::Input)
                .map_err(|_| MonoError::Resample)?;
            Some(resampler)
        };
        let delay_left = resampler.as_ref().map_or(0, Resampler::output_delay);
        Ok(Stage { hertz, pending: Vec::new(), frames_taken: 0, delay_left, frames_kept: 0, resampler })
    }

    /// Moves every whole chunk of `pending` through the resampler.
    fn drain(&mut self, out: &mut Vec<f32>) -> Result<(), MonoError> {
        let Some(resampler) = &mut self.resampler else {
            out.append(&mut self.pending);
            return Ok(());
        };
        let mut at = 0;
        while self.pending.len() - at >= resampler.input_frames_next() {
            let frames = resampler.input_frames_next();
            let made = run(resampler, &self.pending[at..at + frames], None)?;
            at += frames;
            self.frames_taken += frames as u64;
            keep(&made, &mut self.delay_left, u64::MAX, &mut self.frames_kept, out);
        }
        self.pending.drain(..at);
        Ok(())
    }

    /// Pushes the rest and then silence, until the output is as long as the input was.
    fn finish(mut self, out: &mut Vec<f32>) -> Result<(), MonoError> {
        self.drain(out)?;
        let Some(mut resampler) = self.resampler else { return Ok(()) };
        let frames_in = self.frames_taken + self.pending.len() as u64;
        let wanted = frames_in * SAMPLES_PER_SECOND as u64 / u64::from(self.hertz);
        let mut rest = self.pending.len();
        self.pending.resize(resampler.input_frames_next(), 0.0);
        while self.frames_kept < wanted {
            let made = run(&mut resampler, &self.pending, Some(rest))?;
            rest = 0;
            keep(&made, &mut self.delay_left, wanted, &mut self.frames_kept, out);
        }
        Ok(())
    }
}

fn run(resampler: &mut Fft<f32>, frames: &[f32], partial_len: Option<usize>) -> Result<Vec<f32>, MonoError> {
    let input = InterleavedSlice::new(frames, 1, frames.len()).map_err(|_| MonoError::Resample)?;
    let indexing = Indexing { partial_len, ..Indexing::new() };
    let output = resampler.process(&input, Some(&indexing)).map_err(|_| MonoError::Resample)?;
    Ok(output.take_data())
}

fn keep(made: &[f32], delay_left: &mut usize, wanted: u64, kept: &mut u64, out: &mut Vec<f32>) {
    let skip = (*delay_left).min(made.len());
    *delay_left -= skip;
    let room = usize::try_from(wanted - *kept).unwrap_or(usize::MAX);
    let good = &made[skip..];
    let good = &good[..good.len().min(room)];
    *kept += good.len() as u64;
    out.extend_from_slice(good);
}

/// The mean of a frame's channels; a float file may hold anything, so what is no sample is silence.
fn mix(frame: &[f32]) -> f32 {
    let mean = frame.iter().sum::<f32>() / frame.len() as f32;
    if mean.is_finite() { mean.clamp(-1.0, 1.0) } else { 0.0 }
}

/// Telephony begins at 8 kHz, the best converters end at 192.
const PLAUSIBLE_HERTZ: std::ops::RangeInclusive<u32> = 4_000..=192_000;
/// 21 to 128 ms: long enough for a sharp filter, short enough to stay in cache.
const CHUNK_FRAMES: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hertz: f32, rate: u32, frames: usize) -> Vec<f32> {
        (0..frames).map(|i| (i as f32 * hertz * std::f32::consts::TAU / rate as f32).sin() * 0.5).collect()
    }

    #[test]
    fn every_rate_keeps_length_pitch_and_place() {
        for rate in [8_000, 11_025, 16_000, 22_050, 44_100, 48_000] {
            let input = tone(440.0, rate, rate as usize);
            let mut mono = Mono::new(2);
            for chunk in input.chunks(777) {
                mono.push_frames(chunk, 1, rate).unwrap();
            }
            let output = mono.finish().unwrap();
            assert_eq!(output.len(), SAMPLES_PER_SECOND, "{rate}");
            let ideal = tone(440.0, 16_000, SAMPLES_PER_SECOND);
            let error =
                ideal[1_000..15_000].iter().zip(&output[1_000..15_000]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            // One sample of displacement is 0.09: some rates put the filter's delay between two samples.
            assert!(error < 0.09, "{rate}: off by {error}");
        }
    }

    #[test]
    fn channels_are_averaged_and_impossible_samples_silenced() {
        let mut mono = Mono::new(1);
        mono.push_frames(&[0.5, -0.5, 1.0, 0.5, f32::NAN, 0.0, f32::INFINITY, 1.0], 2, 16_000).unwrap();
        assert_eq!(mono.finish().unwrap(), [0.0, 0.75, 0.0, 0.0]);
    }

    #[test]
    fn more_than_allowed_is_refused_at_once() {
        let mut mono = Mono::new(1);
        mono.push_frames(&vec![0.0; 16_000], 1, 16_000).unwrap();
        assert_eq!(mono.push_frames(&[0.0], 1, 16_000), Err(MonoError::TooLong { seconds_max: 1 }));
    }

    #[test]
    fn a_rate_nobody_records_at_is_refused() {
        for rate in [0, 1, 3_999, 192_001, u32::MAX] {
            assert_eq!(Mono::new(1).push_frames(&[0.0], 1, rate), Err(MonoError::Rate));
        }
    }

    #[test]
    fn a_stream_may_change_its_rate() {
        let mut mono = Mono::new(2);
        mono.push_frames(&tone(440.0, 8_000, 4_000), 1, 8_000).unwrap();
        mono.push_frames(&tone(440.0, 48_000, 24_000), 1, 48_000).unwrap();
        assert_eq!(mono.finish().unwrap().len(), SAMPLES_PER_SECOND);
    }
}
