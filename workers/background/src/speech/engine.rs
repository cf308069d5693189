//! What a speech engine must do, and how the one who started it watches and stops it.
//!
//! The engine is replaceable: the rest of the product sees this trait, a description that goes into
//! every transcript, and two kinds of failure. It gets speech only; silence is dropped before.
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use hotline_domain::transcript::{self, Segment};
use thiserror::Error;

/// Turns samples into words. Blocking; one call occupies the calling thread for seconds to minutes.
pub trait Engine: Send + Sync {
    /// Name, model, digest and parameters, as stored with each transcript.
    fn describe(&self) -> &transcript::Engine;

    /// `samples` are 16 kHz mono and contain speech. Segment times count from the first sample, and
    /// segment texts carry their own spacing, so that joining them gives the whole.
    fn listen(&self, samples: &[f32], language: Option<&str>, job: &Job) -> Result<Heard, EngineError>;
}

/// What an engine heard.
pub struct Heard {
    /// BCP-47, or `und`.
    pub language: String,
    pub language_probability: f32,
    pub segments: Vec<Segment>,
}

impl Heard {
    /// The answer to silence.
    pub fn nothing() -> Heard {
        Heard { language: "und".into(), language_probability: 0.0, segments: Vec::new() }
    }
}

#[derive(Debug, Error)]
pub enum EngineError {
    #[error("could not finish the transcript: the job was cancelled")]
    Cancelled,
    #[error("could not transcribe: {reason}")]
    Failed { reason: String },
    #[error("could not load the speech model {path}: {reason}")]
    Load { path: String, reason: String },
}

/// The leash of one run: clone it, keep one, give one to the engine.
#[derive(Clone, Default)]
pub struct Job {
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    cancelled: AtomicBool,
    percent: AtomicU8,
    on_progress: Option<Box<dyn Fn(u8) + Send + Sync>>,
}

impl Job {
    /// `on_progress` hears each new percentage once, on the engine's thread; it should be quick.
    pub fn watched(on_progress: impl Fn(u8) + Send + Sync + 'static) -> Job {
        let state = State { on_progress: Some(Box::new(on_progress)), ..State::default() };
        Job { state: Arc::new(state) }
    }

    /// Takes effect within one step of the engine, a fraction of a second.
    pub fn cancel(&self) {
        self.state.cancelled.store(true, Ordering::Relaxed);
    }

    pub fn is_cancelled(&self) -> bool {
        self.state.cancelled.load(Ordering::Relaxed)
    }

    /// 0 to 100; never goes back.
    pub fn percent(&self) -> u8 {
        self.state.percent.load(Ordering::Relaxed)
    }

    /// For engines. Reports from foreign code may be out of range or repeated; watchers see neither.
    pub fn report(&self, percent: i32) {
        let percent = u8::try_from(percent.clamp(0, 100)).unwrap_or(100);
        let before = self.state.percent.fetch_max(percent, Ordering::Relaxed);
        if percent > before
            && let Some(on_progress) = &self.state.on_progress
        {
            // The caller may be C++, through which a panic cannot pass.
            let _ = catch_unwind(AssertUnwindSafe(|| on_progress(percent)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn progress_only_grows_and_stays_within_a_hundred() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let job = Job::watched({
            let seen = Arc::clone(&seen);
            move |percent| seen.lock().unwrap().push(percent)
        });
        for percent in [-3, 0, 10, 10, 5, 60, 250, 100] {
            job.report(percent);
        }
        assert_eq!(*seen.lock().unwrap(), [10, 60, 100]);
        assert_eq!(job.percent(), 100);
    }

    #[test]
    fn a_clone_cancels_the_run() {
        let job = Job::default();
        job.clone().cancel();
        assert!(job.is_cancelled());
    }

    #[test]
    fn a_panicking_watcher_stays_with_its_panic() {
        let job = Job::watched(|_| panic!("watcher"));
        job.report(50);
        assert_eq!(job.percent(), 50);
    }
}
