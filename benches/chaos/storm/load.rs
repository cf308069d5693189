//! The steady load: who calls how often with what, until it is told to end.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::book::Book;
use super::chance::Chance;
use super::inflict::Scene;
use super::outcome::{Attempt, Class, Outcomes, Tally, WAYS, Way, class_of_status};
use super::plan::Plan;
use super::{caller, multiplexed};
use crate::support::{Request, until};

pub(super) struct Load {
    over: Arc<AtomicBool>,
    pub(super) outcomes: Arc<Outcomes>,
    book: Arc<Book>,
    callers: Vec<JoinHandle<()>>,
}

/// What one caller is to do next, and what comes of it.
pub(super) struct Errand {
    over: Arc<AtomicBool>,
    outcomes: Arc<Outcomes>,
    book: Arc<Book>,
    chance: Chance,
    every: Duration,
    due: Instant,
}

/// One request, to be sent so often at most.
pub(super) struct Call {
    pub(super) request: Request,
    /// The number of the write, if it is one.
    write: Option<usize>,
    pub(super) tries: usize,
}

impl Load {
    pub(super) fn start(plan: &Plan, scene: &Scene) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (outcomes, book) = (Arc::new(Outcomes::default()), Arc::new(Book::new(plan.seed)));
        let client = scene.client();
        let ways: Vec<Way> = WAYS.into_iter().flat_map(|way| std::iter::repeat_n(way, plan.callers)).collect();
        let every = Duration::from_secs(1).mul_f64(ways.len() as f64 / plan.rate.max(1) as f64);
        let callers = ways.iter().zip(1..).map(|(way, stream)| {
            let errand = Errand {
                over: Arc::clone(&over),
                outcomes: Arc::clone(&outcomes),
                book: Arc::clone(&book),
                chance: Chance::of(plan.seed, stream),
                every,
                due: Instant::now(),
            };
            let (way, client) = (*way, client.clone());
            std::thread::spawn(move || match way {
                Way::New | Way::Kept => caller::run(way, &client, errand),
                Way::Multiplexed => multiplexed::run(&client, errand),
            })
        });
        let callers = callers.collect();
        Self { over, outcomes, book, callers }
    }

    /// Waits for so many further answers.
    pub(super) fn progress(&self, answers: usize) {
        let target = self.outcomes.answered() + answers;
        until("the service goes on answering", || self.outcomes.answered() >= target);
    }

    pub(super) fn finish(self) -> (Tally, Arc<Book>) {
        self.over.store(true, Ordering::Relaxed);
        for caller in self.callers {
            caller.join().expect("callers do not panic");
        }
        (self.outcomes.tally(), self.book)
    }
}

impl Errand {
    /// How long to wait before so many further requests. A steady load, not a stampede after each wait: what could
    /// not be sent in time is not made up for.
    pub(super) fn pause(&mut self, requests: u32) -> Duration {
        let now = Instant::now();
        self.due = (self.due + self.every * requests).max(now);
        self.due - now
    }

    /// The next request; none when the load is over.
    pub(super) fn next(&mut self) -> Option<Call> {
        (!self.over.load(Ordering::Relaxed)).then(|| self.choose())
    }

    /// Writes down how it went; tells whether that was an answer to keep.
    pub(super) fn heard(&self, call: &Call, attempt: Attempt, told: Option<(u16, Option<&str>, &[u8])>) -> bool {
        self.outcomes.note(attempt);
        let Some((status, location, body)) = told else { return false };
        match (class_of_status(status), call.write, location) {
            (Class::Answered, Some(number), Some(location)) => self.book.acknowledge(number, location),
            (Class::Wrong, ..) => {
                let said = String::from_utf8_lossy(body);
                self.outcomes.note_wrong(format!("{} {}: {status} {said}", call.request.method, call.request.path));
            }
            _ => {}
        }
        status != 503
    }

    fn choose(&mut self) -> Call {
        match self.chance.between(0, 2) {
            0 => {
                let (number, write) = self.book.begin();
                // Half of the callers try again at once, with the same key; for the others it is done at the end.
                Call { request: write.request(), write: Some(number), tries: 1 + number % 2 }
            }
            1 => {
                let known = self.book.one_of(&mut self.chance).unwrap_or_else(|| "/api/v1/cases".to_owned());
                Call { request: Request::new("GET", &known), write: None, tries: 1 }
            }
            _ => Call { request: Request::new("GET", "/health"), write: None, tries: 1 },
        }
    }
}
