//! What a call said, as the speech engine heard it: text, timed segments, and which engine made it.
//!
//! These are the caller's words. They are serialised only on their way into a sealed column or an
//! answer to somebody entitled to them, and `Debug` prints sizes, never words. An edited transcript
//! is a new `version`; nothing overwrites what the engine heard.
use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One version of what was said in a call.
#[derive(Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Transcript {
    /// All segments, joined; empty when nobody spoke.
    pub text: String,
    /// BCP-47; `und` when nothing was heard.
    pub language: String,
    /// How sure the engine is of `language`, 0 to 1; 1 when the caller declared it.
    pub language_probability: f32,
    pub segments: Vec<Segment>,
    pub engine: Engine,
    /// Length of the recording, silence included.
    pub duration_ms: u64,
    /// The recording broke off or part of it could not be read; the text covers what could.
    pub partial: bool,
    /// 1 is what the engine heard; edits count up from there.
    pub version: u32,
}

impl Transcript {
    /// Token-weighted would be finer; segments are short and alike, so the mean over time will do.
    pub fn confidence(&self) -> f32 {
        let (weighted, total) = self.segments.iter().fold((0.0, 0.0), |(sum, total), segment| {
            let ms = segment.end_ms.saturating_sub(segment.start_ms).max(1) as f32;
            (sum + segment.confidence * ms, total + ms)
        });
        if total > 0.0 { weighted / total } else { 0.0 }
    }
}

/// A stretch of speech between two pauses.
#[derive(Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Segment {
    /// From the start of the recording.
    pub start_ms: u64,
    pub end_ms: u64,
    pub text: String,
    /// Mean probability of the segment's tokens, 0 to 1.
    pub confidence: f32,
}

/// What made a transcript, exactly enough to make it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Engine {
    /// For example `whisper.cpp 1.8.2`.
    pub name: String,
    /// For example `ggml-base.bin`.
    pub model: String,
    /// Of the very bytes that were loaded, lower-case hexadecimal.
    pub model_sha256: String,
    pub parameters: String,
}

impl fmt::Debug for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transcript")
            .field("text_bytes", &self.text.len())
            .field("segments", &self.segments.len())
            .field("language", &self.language)
            .field("duration_ms", &self.duration_ms)
            .field("partial", &self.partial)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment")
            .field("start_ms", &self.start_ms)
            .field("end_ms", &self.end_ms)
            .field("text_bytes", &self.text.len())
            .field("confidence", &self.confidence)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transcript() -> Transcript {
        let segment =
            |start_ms, end_ms, text: &str, confidence| Segment { start_ms, end_ms, text: text.into(), confidence };
        Transcript {
            text: "My landlord changed the locks.".into(),
            language: "en".into(),
            language_probability: 0.75,
            segments: vec![segment(0, 3_000, "My landlord", 1.0), segment(3_000, 4_000, "changed the locks.", 0.5)],
            engine: Engine {
                name: "whisper.cpp".into(),
                model: "ggml-base.bin".into(),
                model_sha256: "00".into(),
                parameters: "greedy".into(),
            },
            duration_ms: 4_000,
            partial: false,
            version: 1,
        }
    }

    #[test]
    fn debug_prints_no_word_of_the_caller() {
        let shown = format!("{:?} {:?}", transcript(), transcript().segments);
        assert!(!shown.contains("landlord") && !shown.contains("locks"), "{shown}");
        assert!(shown.contains("text_bytes: 30"), "{shown}");
    }

    #[test]
    fn the_json_shape_is_the_published_one() {
        let json = serde_json::to_string(&transcript()).unwrap();
        assert_eq!(
            json,
            concat!(
                r#"{"text":"My landlord changed the locks.","language":"en","languageProbability":0.75,"#,
                r#""segments":[{"startMs":0,"endMs":3000,"text":"My landlord","confidence":1.0},"#,
                r#"{"startMs":3000,"endMs":4000,"text":"changed the locks.","confidence":0.5}],"#,
                r#""engine":{"name":"whisper.cpp","model":"ggml-base.bin","modelSha256":"00","parameters":"greedy"},"#,
                r#""durationMs":4000,"partial":false,"version":1}"#
            )
        );
        assert!(serde_json::from_str::<Transcript>(&json).unwrap() == transcript());
    }

    #[test]
    fn confidence_weighs_segments_by_their_length() {
        assert_eq!(transcript().confidence(), 0.875);
        assert_eq!(Transcript { segments: vec![], ..transcript() }.confidence(), 0.0);
    }
}
