//! What became of a request: one class for each, strict about whose fault it is.
//!
//! An answer that did not come is excused by a kill alone: the caller's worker must have been killed while the request
//! was under way. Who served a connection is in the request ids of its earlier answers; of a new connection nobody
//! knows, so any kill at that time may be the reason.
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Instant;

/// How a caller comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// A connection for each request, HTTP/1.1.
    New,
    /// One connection for as long as the server keeps it, HTTP/1.1.
    Kept,
    /// Several requests at once over one connection, HTTP/2.
    Multiplexed,
}

/// The class of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// 2xx.
    Answered,
    /// 503: come back later.
    Shed,
    /// The worker was killed while the request was under way.
    LostInFlight,
    /// A connection in use was closed before the request could have been read: send it again.
    ClosedUnread,
    /// ECONNREFUSED.
    Refused,
    /// A new connection ended without an answer, and nobody was killed.
    Dropped,
    /// An answer ended in its middle, and nobody was killed.
    Cut,
    /// No answer in all the patience there is.
    Late,
    /// A status that this request cannot have.
    Wrong,
}

/// One life of an API slot, as request ids tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Worker {
    pub(super) slot: u16,
    pub(super) generation: u32,
}

/// How a request ended for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Status(u16),
    Refused,
    /// Reset or closed before the first byte of an answer.
    Silence,
    /// The server said itself that it has not looked at the request (GOAWAY).
    Unread,
    /// Reset or closed within the answer.
    Cut,
    Late,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    pub(super) way: Way,
    /// Who answered on this connection before; nobody did on a new one.
    pub(super) served_by: Option<Worker>,
    pub(super) begun: Instant,
    pub(super) ended: Instant,
    pub(super) ending: Ending,
}

/// An API worker's violent end: the signal, and when its sockets were closed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kill {
    pub(super) worker: Worker,
    pub(super) killed: Instant,
    pub(super) gone: Instant,
}

/// All requests of a storm. Failures are judged at the end, when every kill is known.
#[derive(Default)]
pub(super) struct Outcomes {
    log: Mutex<Log>,
}

#[derive(Default)]
struct Log {
    counts: BTreeMap<(Class, Way), u64>,
    answered: usize,
    failed: Vec<Attempt>,
    kills: Vec<Kill>,
    /// The first few, in words.
    wrong: Vec<String>,
}

/// Requests by class and way.
pub struct Tally {
    pub counts: BTreeMap<(Class, Way), u64>,
    pub wrong: Vec<String>,
}

impl Outcomes {
    pub(super) fn note(&self, attempt: Attempt) {
        let mut log = self.log.lock().unwrap();
        match attempt.ending {
            Ending::Status(status) => {
                let class = class_of_status(status);
                log.answered += usize::from(class == Class::Answered);
                *log.counts.entry((class, attempt.way)).or_default() += 1;
            }
            _ => log.failed.push(attempt),
        }
    }

    /// Keeps what an impossible answer said.
    pub(super) fn note_wrong(&self, said: String) {
        let mut log = self.log.lock().unwrap();
        if log.wrong.len() < WRONG_KEPT_MAX {
            log.wrong.push(said);
        }
    }

    pub(super) fn note_kill(&self, kill: Kill) {
        self.log.lock().unwrap().kills.push(kill);
    }

    pub(super) fn answered(&self) -> usize {
        self.log.lock().unwrap().answered
    }

    pub(super) fn tally(&self) -> Tally {
        let log = self.log.lock().unwrap();
        let mut counts = log.counts.clone();
        for attempt in &log.failed {
            *counts.entry((judge(attempt, &log.kills), attempt.way)).or_default() += 1;
        }
        Tally { counts, wrong: log.wrong.clone() }
    }
}

impl Tally {
    pub fn of(&self, class: Class) -> u64 {
        WAYS.iter().filter_map(|way| self.counts.get(&(class, *way))).sum()
    }
}

impl Worker {
    /// From a request id: boot (12 digits), slot (4), generation (4), number.
    pub(super) fn from_request_id(id: &str) -> Option<Self> {
        let slot = u16::from_str_radix(id.get(12..16)?, 16).ok()?;
        let generation = u32::from_str_radix(id.get(16..20)?, 16).ok()?;
        Some(Self { slot, generation })
    }
}

pub(super) fn class_of_status(status: u16) -> Class {
    match status {
        200..=299 => Class::Answered,
        503 => Class::Shed,
        _ => Class::Wrong,
    }
}

fn judge(attempt: &Attempt, kills: &[Kill]) -> Class {
    let excuse = kills.iter().find(|kill| {
        let served_by_it = attempt.served_by.is_none_or(|worker| worker == kill.worker);
        served_by_it && attempt.begun <= kill.gone && attempt.ended >= kill.killed
    });
    match (attempt.ending, excuse) {
        (Ending::Status(status), _) => class_of_status(status),
        (Ending::Refused, _) => Class::Refused,
        (Ending::Late, _) => Class::Late,
        (Ending::Unread, _) => Class::ClosedUnread,
        // Sent to a process that was dead or dying already.
        (Ending::Silence, Some(kill)) if attempt.served_by.is_some() && attempt.begun > kill.killed => {
            Class::ClosedUnread
        }
        (Ending::Silence | Ending::Cut, Some(_)) => Class::LostInFlight,
        (Ending::Silence, None) if attempt.served_by.is_some() => Class::ClosedUnread,
        (Ending::Silence, None) => Class::Dropped,
        (Ending::Cut, None) => Class::Cut,
    }
}

pub(super) const WAYS: [Way; 3] = [Way::New, Way::Kept, Way::Multiplexed];
pub(super) const CLASSES: [Class; 9] = [
    Class::Answered,
    Class::Shed,
    Class::LostInFlight,
    Class::ClosedUnread,
    Class::Refused,
    Class::Dropped,
    Class::Cut,
    Class::Late,
    Class::Wrong,
];
const WRONG_KEPT_MAX: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const VICTIM: Worker = Worker { slot: 1, generation: 3 };

    /// Killed at 100 ms, gone at 110 ms.
    fn class(ending: Ending, served_by: Option<Worker>, begun_ms: u64, ended_ms: u64) -> Class {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let attempt = Attempt { way: Way::Kept, served_by, begun: at(begun_ms), ended: at(ended_ms), ending };
        judge(&attempt, &[Kill { worker: VICTIM, killed: at(100), gone: at(110) }])
    }

    #[test]
    fn only_a_kill_of_its_own_worker_at_that_time_excuses_silence() {
        let other = Worker { slot: 0, generation: 3 };
        assert_eq!(class(Ending::Silence, Some(VICTIM), 90, 105), Class::LostInFlight);
        assert_eq!(class(Ending::Silence, None, 90, 105), Class::LostInFlight);
        assert_eq!(class(Ending::Silence, None, 120, 130), Class::Dropped);
        assert_eq!(class(Ending::Silence, None, 50, 99), Class::Dropped);
        assert_eq!(class(Ending::Cut, Some(VICTIM), 90, 105), Class::LostInFlight);
        assert_eq!(class(Ending::Cut, Some(other), 90, 105), Class::Cut);
    }

    #[test]
    fn what_a_dead_worker_cannot_have_read_may_be_sent_again() {
        assert_eq!(class(Ending::Silence, Some(VICTIM), 101, 105), Class::ClosedUnread);
        assert_eq!(class(Ending::Silence, Some(VICTIM), 500, 505), Class::ClosedUnread);
        assert_eq!(class(Ending::Unread, Some(VICTIM), 90, 105), Class::ClosedUnread);
    }

    #[test]
    fn no_kill_excuses_a_refusal_or_an_endless_wait() {
        assert_eq!(class(Ending::Refused, None, 90, 105), Class::Refused);
        assert_eq!(class(Ending::Late, Some(VICTIM), 90, 105), Class::Late);
    }

    #[test]
    fn a_request_id_names_the_worker() {
        assert_eq!(Worker::from_request_id("7f7dbd07518a00010003000000000001"), Some(VICTIM));
        assert_eq!(Worker::from_request_id("short"), None);
    }
}
