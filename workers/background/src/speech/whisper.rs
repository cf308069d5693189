//! whisper.cpp as the speech engine: greedy, a fixed number of threads, words with times and odds.
//!
//! The model is read once, and the digest in every transcript is that of the very bytes loaded. Each
//! run has a state of its own, freed afterwards, so one caller's audio never meets another's. The C++
//! side can neither log a caller's words nor outlive a cancelled job. An assertion inside it still
//! aborts the process: that is why it lives in the background worker.
use std::cell::RefCell;
use std::fs;
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use hotline_domain::transcript::{self, Segment};
use tracing::dispatcher::{self, Dispatch};
use whisper_rs::{
    FullParams, SamplingStrategy, WHISPER_CPP_VERSION, WhisperContext, WhisperContextParameters, WhisperError,
    WhisperSegment, WhisperState,
};

use super::SAMPLES_PER_SECOND;
use super::engine::{Engine, EngineError, Heard, Job};

/// How to listen.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Threads of one run. One is the most work per core; two halve the wait.
    pub threads: u16,
}

/// A loaded model; share it between threads.
pub struct Whisper {
    context: WhisperContext,
    description: transcript::Engine,
    threads: usize,
    multilingual: bool,
}

impl Whisper {
    /// Reads and digests a ggml file: about half a second for `base`.
    pub fn load(model: &Path, settings: Settings) -> Result<Whisper, EngineError> {
        whisper_rs::install_logging_hooks();
        let failed = |reason: String| EngineError::Load { path: model.display().to_string(), reason };
        let bytes = fs::read(model).map_err(|error| failed(error.to_string()))?;
        let sha256 = digest(&SHA256, &bytes);
        let context = WhisperContext::new_from_buffer_with_params(
            &bytes,
            WhisperContextParameters { use_gpu: false, ..WhisperContextParameters::default() },
        )
        .map_err(|_| failed("it is not a ggml model this version reads".into()))?;
        let threads = usize::from(settings.threads.max(1));
        let description = transcript::Engine {
            name: format!("whisper.cpp {WHISPER_CPP_VERSION}"),
            model: model.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            model_sha256: sha256.as_ref().iter().map(|byte| format!("{byte:02x}")).collect(),
            parameters: format!("greedy best_of=1 threads={threads} audio_ctx=full"),
        };
        Ok(Whisper { multilingual: context.is_multilingual(), context, description, threads })
    }

    /// The hint if the model knows it, else what the first half minute sounds like.
    fn language(
        &self,
        state: &mut WhisperState,
        samples: &[f32],
        hint: Option<&str>,
    ) -> Result<(&'static str, f32), WhisperError> {
        if !self.multilingual {
            return Ok(("en", 1.0));
        }
        let primary = hint.and_then(|hint| hint.split('-').next());
        if let Some(known) = primary.and_then(language_named) {
            return Ok((known, 1.0));
        }
        let heard = &samples[..samples.len().min(WINDOW_SAMPLES)];
        state.pcm_to_mel(heard, self.threads)?;
        let (id, odds) = state.lang_detect(0, self.threads)?;
        let probability = usize::try_from(id).ok().and_then(|id| odds.get(id)).copied();
        Ok((whisper_rs::get_lang_str(id).unwrap_or("en"), probability.unwrap_or_default()))
    }

    fn run(&self, samples: &[f32], hint: Option<&str>) -> Result<Heard, WhisperError> {
        let mut state = self.context.create_state()?;
        let (language, language_probability) = self.language(&mut state, samples, hint)?;
        let mut parameters = TEMPLATE.with(FullParams::clone);
        parameters.set_n_threads(i32::try_from(self.threads).unwrap_or(1));
        parameters.set_language(Some(language));
        state.full(parameters, samples)?;
        let first_special = self.context.token_eot();
        let segments = state.as_iter().map(|segment| heard_segment(&segment, first_special)).collect();
        Ok(Heard { language: language.to_owned(), language_probability, segments })
    }
}

impl Engine for Whisper {
    fn describe(&self) -> &transcript::Engine {
        &self.description
    }

    fn listen(&self, samples: &[f32], language: Option<&str>, job: &Job) -> Result<Heard, EngineError> {
        if job.is_cancelled() {
            return Err(EngineError::Cancelled);
        }
        // Shorter than a second is refused by some versions and misheard by the rest.
        let mut padded;
        let samples = if samples.len() < SHORTEST_SAMPLES {
            padded = samples.to_vec();
            padded.resize(SHORTEST_SAMPLES, 0.0);
            &padded
        } else {
            samples
        };
        CURRENT.set(Some(job.clone()));
        // A build with debug assertions logs every token it considers: the caller's words. Load-time
        // messages pass; from here to the end nothing does, and the error value tells the rest.
        let outcome = dispatcher::with_default(&Dispatch::none(), || self.run(samples, language));
        CURRENT.set(None);
        match outcome {
            _ if job.is_cancelled() => Err(EngineError::Cancelled),
            Ok(heard) => Ok(heard),
            Err(error) => Err(EngineError::Failed { reason: error.to_string() }),
        }
    }
}

/// Times are centiseconds. Odds are those of the text tokens; time stamps and markers would flatter them.
fn heard_segment(segment: &WhisperSegment<'_>, first_special: i32) -> Segment {
    let (mut sum, mut tokens) = (0.0, 0.0);
    for token in (0..segment.n_tokens()).filter_map(|index| segment.get_token(index)) {
        if token.token_id() < first_special {
            sum += token.token_probability();
            tokens += 1.0;
        }
    }
    let ms = |centiseconds: i64| u64::try_from(centiseconds).unwrap_or(0) * 10;
    Segment {
        start_ms: ms(segment.start_timestamp()),
        end_ms: ms(segment.end_timestamp()),
        text: segment.to_str_lossy().map(|text| text.into_owned()).unwrap_or_default(),
        confidence: if tokens > 0.0 { sum / tokens } else { 0.0 },
    }
}

fn language_named(code: &str) -> Option<&'static str> {
    whisper_rs::get_lang_id(&code.to_ascii_lowercase()).and_then(whisper_rs::get_lang_str)
}

thread_local! {
    /// The job this thread is running; the callbacks below are called on the thread that started the run.
    static CURRENT: RefCell<Option<Job>> = const { RefCell::new(None) };

    /// Parameters with the callbacks already in place. The binding never frees a callback, so it gets
    /// one pair per thread instead of one per job.
    static TEMPLATE: FullParams<'static, 'static> = {
        let mut parameters = FullParams::new(SamplingStrategy::Greedy { best_of: 1 });
        parameters.set_print_special(false);
        parameters.set_print_progress(false);
        parameters.set_print_realtime(false);
        parameters.set_print_timestamps(false);
        parameters.set_suppress_nst(true);
        let progress: Box<dyn FnMut(i32)> = Box::new(|percent| {
            CURRENT.with_borrow(|job| {
                if let Some(job) = job {
                    job.report(percent);
                }
            });
        });
        parameters.set_progress_callback_safe(progress);
        // Must be exactly this boxed type: the binding's trampoline takes what it finds for the type
        // it was given, and it finds a `Box<dyn FnMut() -> bool>`.
        let abort: Box<dyn FnMut() -> bool> =
            Box::new(|| CURRENT.with_borrow(|job| job.as_ref().is_some_and(Job::is_cancelled)));
        parameters.set_abort_callback_safe(abort);
        parameters
    };
}

/// The model hears half a minute at a time; its language guess uses the first.
const WINDOW_SAMPLES: usize = 30 * SAMPLES_PER_SECOND;
const SHORTEST_SAMPLES: usize = SAMPLES_PER_SECOND * 12 / 10;
