//! Live connections of this worker: who listens to what, and letting everybody know.
//!
//! An event goes to every listener of its topic on this worker, and through the supervisor to the
//! other workers. A listener that cannot keep up is closed rather than waited for.
mod alerts;
mod resume;
mod socket;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use hotline::wire::LiveEvent;
use parking_lot::Mutex;
use tokio::sync::mpsc;

pub(crate) use alerts::tell_alerts;
pub(crate) use socket::converse;

use crate::gate::Principal;

/// The listeners of one worker.
#[derive(Default)]
pub(crate) struct Hub {
    listeners: Mutex<HashMap<u64, Listener>>,
    next: AtomicU64,
    /// WebSockets among the listeners; uploads that wait for their result listen, too.
    sockets: AtomicUsize,
}

/// Why the server ends a live connection; the codes are those of RFC 6455.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Farewell {
    /// The worker drains: come back, another one answers.
    GoingAway,
    /// The session ended or its rights changed.
    SessionEnded,
    /// Events came faster than they were read.
    TooSlow,
    /// Something was said that is not in the protocol.
    Policy(&'static str),
}

struct Listener {
    principal: Principal,
    topics: HashSet<String>,
    events: mpsc::Sender<LiveEvent>,
    farewell: mpsc::Sender<Farewell>,
}

/// One listener's end of the hub; leaving is dropping it.
pub(crate) struct Ear<'a> {
    hub: &'a Hub,
    number: u64,
    pub(crate) events: mpsc::Receiver<LiveEvent>,
    pub(crate) farewell: mpsc::Receiver<Farewell>,
}

impl Hub {
    pub(crate) fn sockets(&self) -> usize {
        self.sockets.load(Ordering::Relaxed)
    }

    pub(crate) fn listen(&self, principal: Principal, queue_max: usize) -> Ear<'_> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (events_in, events) = mpsc::channel(queue_max.max(1));
        let (farewell_in, farewell) = mpsc::channel(1);
        // Everybody hears of the end of the own session.
        let topics = HashSet::from([session_topic(principal.session)]);
        let listener = Listener { principal, topics, events: events_in, farewell: farewell_in };
        self.listeners.lock().insert(number, listener);
        Ear { hub: self, number, events, farewell }
    }

    /// Hands an event to everybody on this worker who asked for its topic.
    pub(crate) fn deliver(&self, event: &LiveEvent) -> usize {
        let listeners = self.listeners.lock();
        let interested = listeners.values().filter(|listener| listener.topics.contains(&event.topic));
        interested
            .map(|listener| {
                let full = matches!(listener.events.try_send(event.clone()), Err(mpsc::error::TrySendError::Full(_)));
                if full {
                    let _ = listener.farewell.try_send(Farewell::TooSlow);
                }
            })
            .count()
    }

    /// Whether anybody on this worker asked for the topic.
    pub(crate) fn hears(&self, topic: &str) -> bool {
        self.listeners.lock().values().any(|listener| listener.topics.contains(topic))
    }

    /// Ends everybody whose principal `still_holds` no more.
    pub(crate) fn sweep(&self, still_holds: impl Fn(&Principal) -> bool) {
        for listener in self.listeners.lock().values().filter(|listener| !still_holds(&listener.principal)) {
            let _ = listener.farewell.try_send(Farewell::SessionEnded);
        }
    }

    pub(crate) fn end_all(&self, farewell: Farewell) {
        for listener in self.listeners.lock().values() {
            let _ = listener.farewell.try_send(farewell);
        }
    }
}

impl Ear<'_> {
    /// False if there are too many already.
    pub(crate) fn subscribe(&self, topic: &str) -> bool {
        let mut listeners = self.hub.listeners.lock();
        let Some(listener) = listeners.get_mut(&self.number) else { return false };
        if listener.topics.len() >= TOPICS_MAX && !listener.topics.contains(topic) {
            return false;
        }
        listener.topics.insert(topic.to_owned());
        true
    }

    pub(crate) fn unsubscribe(&self, topic: &str) {
        if let Some(listener) = self.hub.listeners.lock().get_mut(&self.number) {
            listener.topics.remove(topic);
        }
    }
}

impl Drop for Ear<'_> {
    fn drop(&mut self) {
        self.hub.listeners.lock().remove(&self.number);
    }
}

impl Farewell {
    pub(crate) fn code(self) -> u16 {
        match self {
            Self::GoingAway => 1001,
            Self::SessionEnded => 4401,
            Self::TooSlow => 1013,
            Self::Policy(_) => 1008,
        }
    }

    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::GoingAway => "going away",
            Self::SessionEnded => "session ended",
            Self::TooSlow => "try again later",
            Self::Policy(reason) => reason,
        }
    }
}

pub(crate) fn session_topic(session: uuid::Uuid) -> String {
    format!("session:{session}")
}

const TOPICS_MAX: usize = 256;

#[cfg(test)]
mod conversations;

#[cfg(test)]
mod tests {
    use super::*;

    fn event(topic: &str) -> LiveEvent {
        LiveEvent { topic: topic.to_owned(), payload: "{}".to_owned() }
    }

    #[test]
    fn only_who_asked_is_told() {
        let hub = Hub::default();
        let (mut one, mut two) = (hub.listen(Principal::example(1), 4), hub.listen(Principal::example(2), 4));
        one.subscribe("cases");
        assert_eq!(hub.deliver(&event("cases")), 1);
        assert_eq!(one.events.try_recv().unwrap().topic, "cases");
        assert!(two.events.try_recv().is_err());
        one.unsubscribe("cases");
        assert_eq!(hub.deliver(&event("cases")), 0);
        drop(one);
        assert_eq!(hub.listeners.lock().len(), 1);
    }

    #[test]
    fn who_does_not_read_is_let_go_and_nobody_else_waits() {
        let hub = Hub::default();
        let (mut slow, mut quick) = (hub.listen(Principal::example(1), 2), hub.listen(Principal::example(2), 2));
        slow.subscribe("cases");
        quick.subscribe("cases");
        for _ in 0..3 {
            hub.deliver(&event("cases"));
            quick.events.try_recv().unwrap();
        }
        assert_eq!(slow.farewell.try_recv(), Ok(Farewell::TooSlow));
        assert!(quick.farewell.try_recv().is_err());
    }

    #[test]
    fn a_session_that_ends_takes_its_listener_along() {
        let hub = Hub::default();
        let (mut one, mut two) = (hub.listen(Principal::example(1), 2), hub.listen(Principal::example(2), 2));
        hub.sweep(|principal| principal.user.as_u128() != 1);
        assert_eq!(one.farewell.try_recv(), Ok(Farewell::SessionEnded));
        assert!(two.farewell.try_recv().is_err());
    }

    #[test]
    fn topics_are_bounded() {
        let hub = Hub::default();
        let ear = hub.listen(Principal::example(1), 2);
        let taken = (0..2 * TOPICS_MAX).filter(|n| ear.subscribe(&format!("case:{n}"))).count();
        assert_eq!(taken, TOPICS_MAX - 1, "one is the own session");
    }
}
