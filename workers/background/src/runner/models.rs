//! The models: read on a thread of their own, so that the worker is ready before they are.
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use hotline::config::Config;
use hotline::telemetry::names;
use hotline_domain::triage::{EmbeddingScores, Triage};
use hotline_embedding::{Embedder, EmbeddingError, similarity};

use crate::speech::{Engine, EngineError, Settings, Whisper};

/// What has been read so far. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Models {
    speech: Arc<OnceLock<Box<dyn Engine>>>,
    meaning: Arc<OnceLock<Option<Meaning>>>,
}

/// The embedding model and what each issue means in it.
pub(super) struct Meaning {
    embedder: Embedder,
    name: String,
    /// For each issue, the vectors of its prompts.
    prompts: Vec<Vec<[f32; hotline_embedding::DIMENSIONS]>>,
}

impl Models {
    /// Starts reading; tries again while a model is missing, because somebody may be fetching it.
    pub(super) fn load_in_background(config: &Config, triage: Arc<Triage>) -> Self {
        let models = Self::default();
        let loading = models.clone();
        let config = config.clone();
        metrics::gauge!(names::MODEL_READY).set(0.0);
        let thread = thread::Builder::new().name("models".to_owned());
        let started = thread.spawn(move || {
            for tries in 0u32.. {
                let Err(error) = loading.load(&config, &triage) else { return };
                if tries.is_multiple_of(TRIES_PER_COMPLAINT) {
                    let consequence =
                        if loading.speech().is_some() { "triage goes by its rules alone" } else { "calls wait" };
                    tracing::error!(%error, consequence, "a model is missing or broken; `make models` fetches it");
                }
                thread::sleep(RETRY_EVERY);
            }
        });
        if let Err(error) = started {
            tracing::error!(%error, "could not start reading the models");
        }
        models
    }

    /// A model that is there already, for tests.
    #[cfg(test)]
    pub(super) fn given(engine: Box<dyn Engine>) -> Self {
        let models = Self::default();
        let _ = models.speech.set(engine);
        let _ = models.meaning.set(None);
        models
    }

    pub(super) fn are_ready(&self) -> bool {
        self.speech.get().is_some() && self.meaning.get().is_some()
    }

    pub(super) fn speech(&self) -> Option<&dyn Engine> {
        self.speech.get().map(AsRef::as_ref)
    }

    /// How near the text is to each issue; `None` without the model.
    pub(super) fn scores(&self, text: &str) -> Option<EmbeddingScores> {
        let meaning = self.meaning.get()?.as_ref()?;
        match meaning.scores(text) {
            Ok(scores) => Some(scores),
            Err(error) => {
                tracing::warn!(%error, "going on with the rules alone");
                None
            }
        }
    }

    fn load(&self, config: &Config, triage: &Triage) -> Result<(), ModelError> {
        if self.speech.get().is_none() {
            let file = config.paths.models_dir.join(&config.speech.model);
            let whisper = Whisper::load(&file, Settings { threads: config.speech.threads })?;
            let _ = self.speech.set(Box::new(whisper));
            metrics::gauge!(names::MODEL_READY).set(1.0);
        }
        let meaning = match config.triage.embedding {
            true => Some(Meaning::load(&config.paths.models_dir.join("minilm"), triage)?),
            false => None,
        };
        let _ = self.meaning.set(meaning);
        Ok(())
    }
}

#[derive(Debug, thiserror::Error)]
enum ModelError {
    #[error(transparent)]
    Speech(#[from] EngineError),
    #[error(transparent)]
    Embedding(#[from] EmbeddingError),
}

impl Meaning {
    fn load(folder: &Path, triage: &Triage) -> Result<Self, EmbeddingError> {
        let embedder = Embedder::load(folder)?;
        let described = triage.issue_prompts();
        let embed = |prompts: &Vec<String>| {
            let texts: Vec<&str> = prompts.iter().map(String::as_str).collect();
            embedder.embed(&texts)
        };
        let prompts = described.iter().map(|(_, prompts)| embed(prompts)).collect::<Result<_, _>>()?;
        Ok(Self { embedder, name: "all-MiniLM-L6-v2".to_owned(), prompts })
    }

    /// The nearest of an issue's prompts to the nearest of the text's passages.
    fn scores(&self, text: &str) -> Result<EmbeddingScores, EmbeddingError> {
        let passages = passages(text);
        let passages = self.embedder.embed(&passages)?;
        let nearest = |prompts: &Vec<[f32; hotline_embedding::DIMENSIONS]>| {
            let pairs = passages.iter().flat_map(|passage| prompts.iter().map(|prompt| similarity(passage, prompt)));
            pairs.fold(0.0f32, f32::max)
        };
        Ok(EmbeddingScores { model: self.name.clone(), scores: self.prompts.iter().map(nearest).collect() })
    }
}

/// Cuts a text into pieces that the model reads whole, at ends of sentences where there are some.
fn passages(text: &str) -> Vec<&str> {
    let mut passages = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() && passages.len() < PASSAGES_MAX {
        let window = &rest[..rest.floor_char_boundary(PASSAGE_BYTES_MAX)];
        let end = match window.len() == rest.len() {
            true => rest.len(),
            false => window.rfind(['.', '?', '!']).map_or(window.len(), |at| at + 1),
        };
        let (passage, after) = rest.split_at(end.max(1).min(rest.len()));
        passages.push(passage.trim());
        rest = after.trim_start();
    }
    if passages.is_empty() {
        passages.push("");
    }
    passages
}

const RETRY_EVERY: Duration = Duration::from_secs(5);
/// Once a minute.
const TRIES_PER_COMPLAINT: u32 = 12;
/// About 120 word pieces; the model reads 256.
const PASSAGE_BYTES_MAX: usize = 500;
/// An hour of talk; what comes after is left to the rules.
const PASSAGES_MAX: usize = 120;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passages_cover_the_text_in_order() {
        let text = "One sentence here. ".repeat(100);
        let cut = passages(&text);
        assert!(cut.iter().all(|passage| passage.len() <= PASSAGE_BYTES_MAX));
        assert_eq!(cut.join(" "), text.trim());
        assert_eq!(passages(""), [""]);
        let no_ends = "ñ".repeat(2_000);
        assert_eq!(passages(&no_ends).concat(), no_ends);
    }
}
