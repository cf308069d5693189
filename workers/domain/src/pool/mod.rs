//! Threads for work that would hold up an event loop: few, bounded, and as many as the work needs.
//!
//! A job waits in a bounded queue; a full one refuses, with when to come back. How long jobs wait decides
//! how many threads there are (see [`scaling`]); every decision is logged with its numbers and counted.
mod scaling;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use hotline::config;
use hotline::sys::run_nicely;
use hotline::telemetry::names;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use scaling::{Scaling, Terms};

/// A pool. It ends with its last clone, after what is queued.
#[derive(Clone)]
pub(crate) struct Pool {
    owner: Arc<Owner>,
}

/// Why a job was not done.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum PoolError {
    #[error("the queue of the pool is full")]
    Full { retry_after: Duration },
    /// It panicked; the panic hook has logged it.
    #[error("the job was lost")]
    Lost,
}

struct Owner {
    inside: Arc<Inside>,
}

struct Inside {
    name: &'static str,
    queue_max: usize,
    look_every: Duration,
    state: Mutex<State>,
    changed: Condvar,
    meters: Meters,
}

struct State {
    queue: VecDeque<Job>,
    scaling: Scaling,
    idle: u16,
    started: u64,
    closed: bool,
}

struct Job {
    queued: Instant,
    work: Box<dyn FnOnce() + Send>,
}

struct Meters {
    threads: Gauge,
    queue: Gauge,
    wait_seconds: Histogram,
    grown: Counter,
    shrunk: Counter,
    refused: Counter,
}

impl Pool {
    /// Starts the least number of threads.
    pub(crate) fn start(name: &'static str, config: &config::Pool) -> std::io::Result<Self> {
        let terms = Terms {
            threads_min: config.threads_min,
            threads_max: config.threads_max.max(config.threads_min),
            grow_after: Duration::from_millis(config.grow_after_ms),
            shrink_after: Duration::from_millis(config.shrink_after_ms),
        };
        let scaling = Scaling::new(terms, Instant::now());
        let state = State { queue: VecDeque::new(), scaling, idle: 0, started: 0, closed: false };
        let inside = Arc::new(Inside {
            name,
            queue_max: config.queue_max as usize,
            look_every: terms.shrink_after / 4,
            state: Mutex::new(state),
            changed: Condvar::new(),
            meters: Meters::new(name),
        });
        let pool = Self { owner: Arc::new(Owner { inside: Arc::clone(&inside) }) };
        let mut state = inside.state.lock();
        for _ in 0..terms.threads_min {
            inside.add_thread(&mut state)?;
        }
        inside.meters.threads.set(f64::from(terms.threads_min));
        drop(state);
        Ok(pool)
    }

    /// Runs `work` on a thread of the pool. Whoever does not wait for the end does not stop it.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PoolError> {
        let (answer, answered) = oneshot::channel();
        self.owner.inside.enqueue(Box::new(move || drop(answer.send(work()))))?;
        answered.await.map_err(|_| PoolError::Lost)
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.inside.state.lock().closed = true;
        self.inside.changed.notify_all();
    }
}

impl Inside {
    fn enqueue(self: &Arc<Self>, work: Box<dyn FnOnce() + Send>) -> Result<(), PoolError> {
        let now = Instant::now();
        let mut state = self.state.lock();
        let oldest = state.queue.front().map_or(Duration::ZERO, |job| now.saturating_duration_since(job.queued));
        if state.queue.len() >= self.queue_max {
            self.meters.refused.increment(1);
            // The oldest has waited as long as a new one would, at least.
            return Err(PoolError::Full { retry_after: oldest.max(Duration::from_secs(1)) });
        }
        state.queue.push_back(Job { queued: now, work });
        self.meters.queue.set(state.queue.len() as f64);
        self.scale(&mut state, oldest, now);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// A thread's life.
    fn work(self: &Arc<Self>) {
        while let Some(job) = self.next() {
            // Whoever waits for a job that panicked hears that it was dropped.
            let _ = catch_unwind(AssertUnwindSafe(job.work));
        }
    }

    /// The next job, or None if this thread ends.
    fn next(self: &Arc<Self>) -> Option<Job> {
        let mut state = self.state.lock();
        loop {
            if let Some(job) = state.queue.pop_front() {
                let now = Instant::now();
                let delay = now.saturating_duration_since(job.queued);
                self.meters.queue.set(state.queue.len() as f64);
                self.meters.wait_seconds.record(delay.as_secs_f64());
                self.scale(&mut state, delay, now);
                return Some(job);
            }
            if state.closed {
                return None;
            }
            state.idle += 1;
            let waited = self.changed.wait_for(&mut state, self.look_every);
            state.idle -= 1;
            let threads = state.scaling.threads();
            if waited.timed_out() && state.queue.is_empty() && state.scaling.idle(Instant::now()) {
                self.meters.shrunk.increment(1);
                self.tell(&state, threads, Duration::ZERO, "a pool shrank");
                return None;
            }
        }
    }

    fn scale(self: &Arc<Self>, state: &mut State, delay: Duration, now: Instant) {
        let (threads, spare) = (state.scaling.threads(), state.idle > 0);
        if !state.scaling.waited(delay, spare, now) {
            return;
        }
        if let Err(error) = self.add_thread(state) {
            state.scaling.not_started(now);
            tracing::warn!(pool = self.name, %error, "could not start a thread");
            return;
        }
        self.meters.grown.increment(1);
        self.tell(state, threads, delay, "a pool grew");
    }

    fn tell(&self, state: &State, before: u16, delay: Duration, what: &'static str) {
        let (threads, delay_ms) = (state.scaling.threads(), delay.as_secs_f64() * 1_000.0);
        self.meters.threads.set(f64::from(threads));
        tracing::info!(
            pool = self.name,
            before,
            threads,
            delay_ms,
            queue = state.queue.len(),
            idle = state.idle,
            "{what}"
        );
    }

    fn add_thread(self: &Arc<Self>, state: &mut State) -> std::io::Result<()> {
        let inside = Arc::clone(self);
        let name = format!("{}-{}", self.name, state.started);
        thread::Builder::new().name(name).spawn(move || {
            if let Err(error) = run_nicely(NICENESS) {
                tracing::warn!(pool = inside.name, %error, "could not lower the priority of a thread");
            }
            inside.work();
        })?;
        state.started += 1;
        Ok(())
    }
}

impl Meters {
    fn new(pool: &'static str) -> Self {
        let scaled = |direction: &'static str| counter!(names::POOL_SCALED, "pool" => pool, "direction" => direction);
        Self {
            threads: gauge!(names::POOL_THREADS, "pool" => pool),
            queue: gauge!(names::POOL_QUEUE, "pool" => pool),
            wait_seconds: histogram!(names::POOL_WAIT_SECONDS, "pool" => pool),
            grown: scaled("up"),
            shrunk: scaled("down"),
            refused: counter!(names::POOL_REFUSED, "pool" => pool),
        }
    }
}

/// A worker and its pool share a CPU: the event loop goes first, whoever waits for a thread waits a little longer.
const NICENESS: i32 = 10;

#[cfg(test)]
mod tests;
