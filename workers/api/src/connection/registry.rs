//! Every open connection with what it is doing, and the sweep that ends those that do it too long.
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use hotline::config::Limits;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// One connection, as the sweep and the gate see it. Times are the worker's coarse clock.
pub(crate) struct Connection {
    pub(super) peer: IpAddr,
    /// For whom the peer speaks, if it said so before anything else.
    introduced: OnceLock<IpAddr>,
    pub(super) opened: Instant,
    accepted_ms: u64,
    requests: AtomicU64,
    in_flight: AtomicU32,
    /// Bytes came in that no request accounts for yet: a head is being read.
    receiving: AtomicBool,
    /// When `in_flight` or `receiving` last changed.
    since_ms: AtomicU64,
    /// Now a WebSocket, which has rules of its own.
    upgraded: AtomicBool,
    /// An answer went out before the request's body was read.
    lingers: AtomicBool,
    /// When an answer was ready whose writing is timed, since `opened`; 0: none.
    answered_ns: AtomicU64,
    order: AtomicU8,
    ordered: Notify,
}

/// What the connection's task is told to do, weaker orders first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Order {
    /// As `Leave`, but an HTTP/1.1 connection that is idle is not closed under the request that may be on its
    /// way: its next answer says goodbye. If none is asked for, the sweep closes it.
    Finish,
    /// Finish what is begun, take nothing new.
    Leave,
    /// Now.
    Close,
}

/// A connection's place among the open ones; given back when dropped.
pub(crate) struct Place {
    connections: Arc<Connections>,
    connection: Arc<Connection>,
    number: u64,
}

/// The open connections of this worker.
#[derive(Default)]
pub(crate) struct Connections {
    open: Mutex<HashMap<u64, Arc<Connection>>>,
    next: AtomicU64,
    changed: Notify,
}

impl Connections {
    pub(crate) fn enter(self: &Arc<Self>, connection: Arc<Connection>) -> Place {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.open.lock().insert(number, Arc::clone(&connection));
        Place { connections: Arc::clone(self), connection, number }
    }

    pub(crate) fn count(&self) -> usize {
        self.open.lock().len()
    }

    /// Waits until some connection has left.
    pub(crate) async fn until_one_leaves(&self) {
        self.changed.notified().await;
    }

    pub(crate) fn order_all_to_finish(&self) {
        self.open.lock().values().for_each(|connection| connection.order(Order::Finish));
    }

    /// Ends what has been idle or half-spoken for too long. Draining shortens every patience.
    pub(crate) fn sweep(&self, now_ms: u64, limits: &Limits, draining: bool) {
        for connection in self.open.lock().values() {
            if let Some(order) = connection.overdue(now_ms, limits, draining) {
                connection.order(order);
            }
        }
    }

    /// Makes room by letting go of the connection that has been idle longest.
    pub(crate) fn evict_idle(&self) -> bool {
        let open = self.open.lock();
        let idle = open.values().filter(|connection| connection.is_idle());
        let longest = idle.min_by_key(|connection| connection.since_ms.load(Ordering::Relaxed));
        longest.inspect(|connection| connection.order(Order::Leave)).is_some()
    }
}

impl Place {
    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.open.lock().remove(&self.number);
        self.connections.changed.notify_waiters();
    }
}

impl Connection {
    pub(crate) fn new(peer: IpAddr, now_ms: u64) -> Arc<Self> {
        Arc::new(Self {
            peer,
            introduced: OnceLock::new(),
            opened: Instant::now(),
            answered_ns: AtomicU64::new(0),
            accepted_ms: now_ms,
            requests: AtomicU64::new(0),
            in_flight: AtomicU32::new(0),
            receiving: AtomicBool::new(true),
            since_ms: AtomicU64::new(now_ms),
            upgraded: AtomicBool::new(false),
            lingers: AtomicBool::new(false),
            order: AtomicU8::new(NONE),
            ordered: Notify::new(),
        })
    }

    /// The peer speaks for somebody else.
    pub(super) fn introduce(&self, caller: IpAddr) {
        let _ = self.introduced.set(caller);
    }

    /// Who is at the other end, as far as TCP knows.
    pub(crate) fn address(&self) -> IpAddr {
        *self.introduced.get().unwrap_or(&self.peer)
    }

    /// A request's head is complete. Orders the connection to leave if it has had its share.
    pub(crate) fn begin(&self, now_ms: u64, limits: &Limits) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.receiving.store(false, Ordering::Relaxed);
        self.since_ms.store(now_ms, Ordering::Relaxed);
        let requests = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let age_ms = now_ms.saturating_sub(self.accepted_ms);
        if requests >= limits.requests_per_connection_max || age_ms >= limits.connection_age_ms_max {
            self.order(Order::Leave);
        }
    }

    pub(crate) fn end(&self, now_ms: u64) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.since_ms.store(now_ms, Ordering::Relaxed);
    }

    /// Bytes arrived.
    pub(super) fn received(&self, now_ms: u64) {
        let idle = self.in_flight.load(Ordering::Relaxed) == 0;
        if idle && !self.receiving.swap(true, Ordering::Relaxed) {
            self.since_ms.store(now_ms, Ordering::Relaxed);
        }
    }

    /// An answer is ready; the next flush tells how long writing it took.
    pub(crate) fn answered(&self) {
        let since_ns = u64::try_from(self.opened.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.answered_ns.store(since_ns.max(1), Ordering::Relaxed);
    }

    /// Everything was written. How long it took, if an answer was among it whose writing is timed.
    pub(super) fn flushed(&self) -> Option<Duration> {
        // Nearly every flush ends here.
        if self.answered_ns.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let since = Duration::from_nanos(self.answered_ns.swap(0, Ordering::Relaxed));
        Some(self.opened.elapsed().saturating_sub(since))
    }

    pub(crate) fn upgrade(&self) {
        self.upgraded.store(true, Ordering::Relaxed);
    }

    pub(crate) fn linger(&self) {
        self.lingers.store(true, Ordering::Relaxed);
    }

    pub(super) fn lingers(&self) -> bool {
        self.lingers.load(Ordering::Relaxed)
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.order.load(Ordering::Relaxed) != NONE
    }

    pub(super) fn order(&self, order: Order) {
        let value = 1 + order as u8;
        if self.order.fetch_max(value, Ordering::Relaxed) < value {
            self.ordered.notify_one();
        }
    }

    /// Waits for an order that is stronger than what was obeyed before.
    pub(super) async fn next_order(&self, obeyed: Option<Order>) -> Order {
        loop {
            let order = match self.order.load(Ordering::Relaxed) {
                NONE => None,
                1 => Some(Order::Finish),
                2 => Some(Order::Leave),
                _ => Some(Order::Close),
            };
            match order.filter(|order| obeyed.is_none_or(|obeyed| *order > obeyed)) {
                Some(order) => return order,
                None => self.ordered.notified().await,
            }
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.in_flight.load(Ordering::Relaxed) == 0 && !self.upgraded.load(Ordering::Relaxed)
    }

    fn overdue(&self, now_ms: u64, limits: &Limits, draining: bool) -> Option<Order> {
        if !self.is_idle() {
            return None;
        }
        let quiet_ms = now_ms.saturating_sub(self.since_ms.load(Ordering::Relaxed));
        let receiving = self.receiving.load(Ordering::Relaxed);
        match (receiving, draining) {
            (true, _) if quiet_ms >= limits.header_read_deadline_ms => Some(Order::Close),
            // Whoever has not asked anything a second after the drain began gets no answer any more.
            (_, true) if quiet_ms >= 1_000 => Some(Order::Close),
            (false, _) if quiet_ms >= limits.keep_alive_ms + LEAVE_GRACE_MS => Some(Order::Close),
            (false, _) if quiet_ms >= limits.keep_alive_ms => Some(Order::Leave),
            _ => None,
        }
    }
}

const NONE: u8 = 0;
/// An HTTP/2 peer gets this long to answer our GOAWAY.
const LEAVE_GRACE_MS: u64 = 5_000;

#[cfg(test)]
mod tests {
    use super::*;

    const START_MS: u64 = 1_000_000;

    fn limits() -> Limits {
        Limits { requests_per_connection_max: 3, ..crate::testing::config(std::path::Path::new("/nowhere")).limits }
    }

    fn connection() -> Arc<Connection> {
        Connection::new("192.0.2.1".parse().unwrap(), START_MS)
    }

    #[test]
    fn a_head_that_does_not_come_ends_the_connection() {
        let (connection, limits) = (connection(), limits());
        let late = START_MS + limits.header_read_deadline_ms;
        assert_eq!(connection.overdue(late - 1, &limits, false), None);
        assert_eq!(connection.overdue(late, &limits, false), Some(Order::Close));
        connection.begin(late, &limits);
        assert_eq!(connection.overdue(u64::MAX, &limits, false), None, "a request in flight has its own deadline");
    }

    #[test]
    fn idle_time_counts_from_the_last_answer_and_a_trickle_does_not_extend_it() {
        let (connection, limits) = (connection(), limits());
        connection.begin(START_MS, &limits);
        connection.end(START_MS + 10);
        let idle = START_MS + 10 + limits.keep_alive_ms;
        assert_eq!(connection.overdue(idle - 1, &limits, false), None);
        assert_eq!(connection.overdue(idle, &limits, false), Some(Order::Leave));
        connection.received(idle);
        connection.received(idle + limits.header_read_deadline_ms - 1);
        let late = idle + limits.header_read_deadline_ms;
        assert_eq!(connection.overdue(late, &limits, false), Some(Order::Close));
    }

    #[test]
    fn a_connection_leaves_after_its_share_of_requests() {
        let (connection, limits) = (connection(), limits());
        for _ in 0..2 {
            connection.begin(START_MS, &limits);
            connection.end(START_MS);
        }
        assert_eq!(connection.order.load(Ordering::Relaxed), NONE);
        connection.begin(START_MS, &limits);
        assert_eq!(connection.order.load(Ordering::Relaxed), 1 + Order::Leave as u8);
    }

    #[test]
    fn room_is_made_by_the_longest_idle() {
        let (connections, limits) = (Arc::new(Connections::default()), limits());
        let (busy, old, new) = (connection(), connection(), connection());
        let _places = [&busy, &old, &new].map(|connection| connections.enter(Arc::clone(connection)));
        busy.begin(START_MS, &limits);
        new.received(START_MS + 5);
        new.begin(START_MS + 5, &limits);
        new.end(START_MS + 6);
        assert!(connections.evict_idle());
        assert_eq!(old.order.load(Ordering::Relaxed), 1 + Order::Leave as u8);
        assert_eq!(busy.order.load(Ordering::Relaxed), NONE);
        assert_eq!(new.order.load(Ordering::Relaxed), NONE);
    }
}
