//! Admission: a full worker serves emergencies first, and says to the others when to come back.
//!
//! The rules live in [`line`] (who goes next) and [`limit`] (how many at once), which know no clock and no
//! runtime; here are the clock, the lock and the wakers. All requests of a worker run on one thread, so the
//! lock is never waited for: a request that finds room costs one uncontended lock on its way in and one on
//! its way out, and allocates nothing. Probes never come here.
mod body;
mod class;
mod emergencies;
mod limit;
mod line;
mod meters;

use std::sync::Arc;
use std::time::{Duration, Instant};

use hotline::config::{self, Limits};
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use parking_lot::Mutex;
use tokio::sync::oneshot;

pub(crate) use body::patient;
pub(crate) use class::Class;
pub(crate) use emergencies::{Emergencies, X_EMERGENCY};
pub(crate) use line::Ticket;

use crate::problem::Problem;
use class::CLASSES;
use line::{Line, Terms};
use meters::Meters;

/// The line of this worker.
pub(crate) struct Admission {
    line: Mutex<Line<Wake>>,
    wait_max: [Duration; CLASSES],
    meters: Meters,
}

/// A place at work. Given back when dropped, wherever that happens.
pub(crate) struct Permit {
    admission: Arc<Admission>,
    ticket: Ticket,
    counts: bool,
}

/// How a waiter gets its permit.
struct Wake {
    admission: Arc<Admission>,
    permit: oneshot::Sender<Permit>,
}

/// Why a request does not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    /// The queue of its class is full.
    Full,
    /// It waited as long as its class may.
    Late,
}

/// Waits in the line, and leaves it when the caller does.
struct Waiting<'a> {
    admission: &'a Admission,
    class: Class,
    number: u64,
}

/// While it lives, the place of a request is free for others.
pub(crate) struct Rest<'a> {
    admission: &'a Admission,
    ticket: Option<Ticket>,
}

impl Admission {
    pub(crate) fn new(config: &config::Admission, limits: &Limits) -> Self {
        let queues = [config.emergency, config.live_call, config.interactive, config.batch];
        let terms = Terms {
            concurrency_min: config.concurrency_min,
            ceiling: limits.requests_in_flight_max,
            ageing: Duration::from_millis(config.ageing_ms),
            waiting_max: queues.map(|queue| queue.waiting_max as usize),
        };
        Self {
            line: Mutex::new(Line::new(terms, Instant::now())),
            wait_max: queues.map(|queue| Duration::from_millis(queue.wait_ms_max)),
            meters: Meters::new(),
        }
    }

    /// A permit, at once or after its turn has come; else the refusal. `kind` tells requests apart that
    /// usually take differently long.
    pub(crate) async fn admit(self: &Arc<Self>, class: Class, kind: u8, now: Instant) -> Result<Permit, Problem> {
        let entered = self.line.lock().enter(class, kind, now);
        let admitted = match entered {
            Some(ticket) => Ok(self.permit(ticket)),
            None => self.wait(class, kind, now).await,
        };
        match admitted {
            Ok(permit) => {
                self.meters.admitted(class);
                Ok(permit)
            }
            Err(refused) => {
                self.meters.refused(class, refused);
                Err(problem(class, refused))
            }
        }
    }

    /// Leaves the request's place to others until the guard is dropped. For waits that have bounds of their own.
    pub(crate) fn rest(&self, ticket: Option<Ticket>) -> Rest<'_> {
        let now = Instant::now();
        let ticket = ticket.filter(|ticket| self.line.lock().rest(*ticket, now));
        if ticket.is_some() {
            self.call_next(now);
        }
        Rest { admission: self, ticket }
    }

    /// Twice a second: who waits has aged, and the gauges are brought up to date.
    pub(crate) fn tick(&self) {
        self.call_next(Instant::now());
        let line = self.line.lock();
        self.meters.state(line.limit(), line.working(), line.resting());
    }

    async fn wait(self: &Arc<Self>, class: Class, kind: u8, asked: Instant) -> Result<Permit, Refused> {
        // Somebody may have aged into room that is there; his place in the queue is ours.
        self.call_next(asked);
        let (sender, permit) = oneshot::channel();
        let wake = Wake { admission: Arc::clone(self), permit: sender };
        let waits = self.line.lock().wait(class, kind, asked, wake);
        let Ok(number) = waits else { return Err(Refused::Full) };
        self.meters.begins_to_wait(class);
        let waiting = Waiting { admission: self, class, number };
        self.call_next(asked);
        let permit = tokio::time::timeout(self.wait_max[class as usize], permit).await;
        drop(waiting);
        match permit {
            Ok(Ok(permit)) => {
                self.meters.waited(class, asked.elapsed());
                Ok(permit)
            }
            Ok(Err(_)) | Err(_) => Err(Refused::Late),
        }
    }

    /// Lets begin whoever may.
    fn call_next(&self, now: Instant) {
        loop {
            // Outside the lock: a permit that nobody takes is dropped, and comes back through it.
            let next = self.line.lock().next(now);
            let Some((Wake { admission, permit }, ticket)) = next else { return };
            drop(permit.send(admission.permit(ticket)));
        }
    }

    fn permit(self: &Arc<Self>, ticket: Ticket) -> Permit {
        Permit { admission: Arc::clone(self), ticket, counts: false }
    }

    fn leave(&self, ticket: Ticket, counts: bool) {
        let now = Instant::now();
        let somebody_waits = {
            let mut line = self.line.lock();
            line.leave(ticket, counts, now);
            line.anybody_waits()
        };
        if somebody_waits {
            self.call_next(now);
        }
    }
}

impl Permit {
    pub(crate) fn ticket(&self) -> Ticket {
        self.ticket
    }

    /// The request came to its end; how long it took tells something about load.
    pub(crate) fn finish(mut self) {
        self.counts = true;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.leave(self.ticket, self.counts);
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.admission.meters.ends_to_wait(self.class);
        self.admission.line.lock().give_up(self.class, self.number);
    }
}

impl Drop for Rest<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.admission.line.lock().resume(ticket, Instant::now());
        }
    }
}

fn problem(class: Class, refused: Refused) -> Problem {
    let detail = match refused {
        Refused::Full => "Too many requests are waiting at this moment.",
        Refused::Late => "The request waited too long for its turn.",
    };
    let retry_s = class.retry_after_seconds();
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "Service unavailable")
        .detail(detail)
        .member("class", class.name())
        .member("retryAfterSeconds", retry_s)
        .header(RETRY_AFTER, HeaderValue::from(retry_s))
}

#[cfg(test)]
mod tests;
