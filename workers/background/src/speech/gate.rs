//! Finds where somebody speaks, so that silence yields no words.
//!
//! Speech models invent a "Thank you." for silence and steady noise. This gate is the plain kind: it
//! measures energy in 30 ms frames against the recording's own noise floor. Losing a caller's word is
//! worse than an invented one, so it is generous: it cuts only stretches without any speech for more
//! than a second and leaves half a second around what it keeps. A dial tone or a fan is steady and
//! goes; music on hold is not, and stays.
use std::ops::Range;

use super::{SAMPLES_PER_MS, SAMPLES_PER_SECOND};

/// The stretches of a recording that hold speech, in order, apart from each other.
pub struct Voiced {
    stretches: Vec<Range<usize>>,
}

impl Voiced {
    pub fn find(samples: &[f32]) -> Voiced {
        let levels = levels_db(samples);
        let mut loud = above_floor(&levels);
        drop_clicks(&mut loud);
        Voiced { stretches: widen(&loud, samples.len()) }
    }

    /// The speech alone, moved together in place.
    pub fn keep_only(&self, mut samples: Vec<f32>) -> Vec<f32> {
        let mut end = 0;
        for stretch in &self.stretches {
            samples.copy_within(stretch.clone(), end);
            end += stretch.len();
        }
        samples.truncate(end);
        samples
    }

    /// Where a time within the kept speech lies in the recording.
    pub fn original_ms(&self, kept_ms: u64) -> u64 {
        let mut left = usize::try_from(kept_ms * SAMPLES_PER_MS).unwrap_or(usize::MAX);
        for stretch in &self.stretches {
            // A segment that ends with a stretch belongs to it, not to the start of the next one.
            if left <= stretch.len() {
                return (stretch.start + left) as u64 / SAMPLES_PER_MS;
            }
            left -= stretch.len();
        }
        self.stretches.last().map_or(0, |stretch| stretch.end as u64 / SAMPLES_PER_MS)
    }

    pub fn is_silent(&self) -> bool {
        self.stretches.is_empty()
    }
}

/// Level of each frame above 100 Hz: an offset and mains hum do not count, a voice does.
fn levels_db(samples: &[f32]) -> Vec<f32> {
    let mut before = samples.first().copied().unwrap_or_default();
    let mut passed = 0.0_f32;
    samples
        .chunks(FRAME_SAMPLES)
        .map(|frame| {
            let mut power = 0.0;
            for sample in frame {
                passed = sample - before + HIGH_PASS * passed;
                before = *sample;
                power += passed * passed;
            }
            10.0 * (power / frame.len() as f32).max(1e-12).log10()
        })
        .collect()
}

/// The floor is what the quietest tenth of the recording does not exceed: even a breathless speaker
/// closes the lips that often.
fn above_floor(levels: &[f32]) -> Vec<bool> {
    let mut sorted = levels.to_vec();
    sorted.sort_unstable_by(f32::total_cmp);
    let floor = sorted.get(sorted.len() / 10).copied().unwrap_or(QUIET_DB);
    let threshold = (floor + OVER_FLOOR_DB).max(QUIET_DB);
    levels.iter().map(|level| *level > threshold).collect()
}

/// A syllable lasts at least three frames; a click, a pop or a lone packet does not.
fn drop_clicks(loud: &mut [bool]) {
    for run in loud.chunk_by_mut(|a, b| a == b) {
        if run[0] && run.len() < SYLLABLE_FRAMES {
            run.fill(false);
        }
    }
}

fn widen(loud: &[bool], samples: usize) -> Vec<Range<usize>> {
    let mut stretches: Vec<Range<usize>> = Vec::new();
    for (index, _) in loud.iter().enumerate().filter(|(_, loud)| **loud) {
        let start = (index * FRAME_SAMPLES).saturating_sub(MARGIN_SAMPLES);
        let end = ((index + 1) * FRAME_SAMPLES + MARGIN_SAMPLES).min(samples);
        match stretches.last_mut() {
            Some(last) if start <= last.end => last.end = end,
            _ => stretches.push(start..end),
        }
    }
    stretches
}

/// One pole at 100 Hz.
const HIGH_PASS: f32 = 0.96;
const FRAME_SAMPLES: usize = SAMPLES_PER_SECOND * 30 / 1_000;
const SYLLABLE_FRAMES: usize = 3;
const MARGIN_SAMPLES: usize = SAMPLES_PER_SECOND / 2;
/// Steady noise varies by one or two decibels from frame to frame, speech by thirty.
const OVER_FLOOR_DB: f32 = 6.0;
/// Nobody talks to a telephone below this; codecs and converters hiss there.
const QUIET_DB: f32 = -60.0;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn noise(seconds: usize, level: f32) -> Vec<f32> {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        (0..seconds * SAMPLES_PER_SECOND)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                ((state >> 40) as f32 / 8_388_608.0 - 1.0) * level
            })
            .collect()
    }

    /// Syllables: 120 ms of a buzzing 200 Hz voice, 60 ms of pause.
    fn voice(seconds: usize) -> Vec<f32> {
        (0..seconds * SAMPLES_PER_SECOND)
            .map(|i| {
                let open = i % (SAMPLES_PER_SECOND * 180 / 1_000) < SAMPLES_PER_SECOND * 120 / 1_000;
                let phase = (i % 80) as f32 / 80.0;
                if open { 0.3 * (0.5 - phase) } else { 0.0 }
            })
            .collect()
    }

    #[test]
    fn silence_noise_tones_and_clicks_are_not_speech() {
        let tone: Vec<f32> = (0..48_000).map(|i| (i as f32 * 0.17).sin() * 0.4).collect();
        let mut click = vec![0.0; 48_000];
        click[20_000] = 1.0;
        for (name, samples) in [
            ("nothing", vec![]),
            ("silence", vec![0.0; 48_000]),
            ("offset", vec![0.4; 48_000]),
            ("soft noise", noise(3, 0.001)),
            ("loud noise", noise(3, 0.5)),
            ("tone", tone),
            ("click", click),
        ] {
            assert!(Voiced::find(&samples).is_silent(), "{name}");
        }
    }

    #[test]
    fn speech_between_silences_is_kept_with_its_margins_and_its_times() {
        let second = SAMPLES_PER_SECOND;
        let quiet = noise(5, 0.001);
        let samples = [&quiet[..], &voice(2), &quiet, &voice(1), &quiet].concat();
        let voiced = Voiced::find(&samples);
        assert_eq!(voiced.stretches.len(), 2);
        let kept = voiced.keep_only(samples.clone());
        assert!((kept.len() as i64 - 5 * second as i64).abs() < second as i64 / 5, "{}", kept.len());
        // The first sample kept is half a second before the voice at 5 s.
        let first = voiced.original_ms(0);
        assert!((4_400..=4_600).contains(&first), "{first}");
        // Three and a half seconds in we are inside the second stretch, which starts near 11.5 s.
        let later = voiced.original_ms(3_500);
        assert!((11_400..=12_200).contains(&later), "{later}");
    }

    #[test]
    fn speech_over_noise_is_kept() {
        let samples: Vec<f32> = voice(3).iter().zip(noise(3, 0.05)).map(|(voice, noise)| voice + noise).collect();
        let kept = Voiced::find(&samples).keep_only(samples.clone());
        assert_eq!(kept.len(), samples.len());
    }

    proptest! {
        #[test]
        fn stretches_are_ordered_apart_and_inside(samples in proptest::collection::vec(-1.0_f32..1.0, 0..40_000)) {
            let voiced = Voiced::find(&samples);
            let mut end = 0;
            for (index, stretch) in voiced.stretches.iter().enumerate() {
                prop_assert!(stretch.start < stretch.end && stretch.end <= samples.len());
                prop_assert!(index == 0 || stretch.start > end);
                end = stretch.end;
            }
            prop_assert!(voiced.keep_only(samples.clone()).len() <= samples.len());
        }
    }
}
