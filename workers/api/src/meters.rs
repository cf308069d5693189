//! Registered metric handles; a look-up by name for each request would cost more than the request.
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hotline::telemetry::names;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use crate::gate::Route;

/// The phases of a connection and of its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Taken from the listener until its task runs.
    Accept,
    Handshake,
    /// From a request's head until it asks for a place.
    Gate,
    /// Until it has one.
    Queue,
    Handler,
    /// A wait for a record to be on disk, inside the handler.
    Audit,
    /// From the answer until the socket has taken its last byte.
    Write,
}

/// All that this worker counts.
pub(crate) struct Meters {
    requests: Vec<[Counter; CLASSES.len()]>,
    seconds: Vec<Histogram>,
    phases: [Histogram; PHASES.len()],
    requests_seen: AtomicU32,
    pub(crate) in_flight: Gauge,
    pub(crate) remembered: Gauge,
    pub(crate) busy_ratio: Gauge,
    pub(crate) accepts: Counter,
    pub(crate) connections: Gauge,
    pub(crate) handshakes_full: Counter,
    pub(crate) handshakes_resumed: Counter,
    pub(crate) handshakes_failed: Counter,
    pub(crate) bytes_in: Counter,
    pub(crate) bytes_out: Counter,
    pub(crate) cache_hit: Counter,
    pub(crate) cache_miss: Counter,
    pub(crate) cache_bypass: Counter,
    pub(crate) websockets: Gauge,
    pub(crate) live_events: Counter,
}

impl Meters {
    /// After the recorder is installed, or everything goes nowhere.
    pub(crate) fn new() -> Self {
        let for_route = |route: Route| {
            CLASSES.map(|class| counter!(names::HTTP_REQUESTS, "route" => route.template(), "status" => class))
        };
        let handshakes = |kind: &'static str| counter!(names::TLS_HANDSHAKES, "kind" => kind);
        let bytes = |direction: &'static str| counter!(names::HTTP_BYTES, "direction" => direction);
        let cache = |result: &'static str| counter!(names::CACHE_REQUESTS, "result" => result);
        Self {
            requests: Route::ALL.into_iter().map(for_route).collect(),
            seconds: Route::ALL
                .map(|route| histogram!(names::HTTP_REQUEST_SECONDS, "route" => route.template()))
                .into(),
            phases: PHASES.map(|phase| histogram!(names::HTTP_PHASE_SECONDS, "phase" => phase.name())),
            requests_seen: AtomicU32::new(0),
            in_flight: gauge!(names::HTTP_REQUESTS_IN_FLIGHT),
            busy_ratio: gauge!(names::WORKER_BUSY_RATIO),
            remembered: gauge!(names::POLICY_REMEMBERED),
            accepts: counter!(names::ACCEPTS),
            connections: gauge!(names::CONNECTIONS),
            handshakes_full: handshakes("full"),
            handshakes_resumed: handshakes("resumed"),
            handshakes_failed: handshakes("failed"),
            bytes_in: bytes("in"),
            bytes_out: bytes("out"),
            cache_hit: cache("hit"),
            cache_miss: cache("miss"),
            cache_bypass: cache("bypass"),
            websockets: gauge!(names::WEBSOCKETS),
            live_events: counter!(names::LIVE_EVENTS),
        }
    }

    /// Whether the phases of this request are timed: every eighth is enough for a distribution.
    pub(crate) fn times_this_one(&self) -> bool {
        self.requests_seen.fetch_add(1, Ordering::Relaxed).is_multiple_of(TIMED_ONE_IN)
    }

    pub(crate) fn phase(&self, phase: Phase, took: Duration) {
        self.phases[phase as usize].record(took.as_secs_f64());
    }

    pub(crate) fn answered(&self, route: Route, status: u16, seconds: f64) {
        let class = usize::from(status / 100).clamp(1, CLASSES.len()) - 1;
        self.requests[route as usize][class].increment(1);
        self.seconds[route as usize].record(seconds);
    }

    /// Refusals are rare enough for a look-up by name.
    pub(crate) fn refused(&self, reason: &'static str) {
        counter!(names::REFUSED, "reason" => reason).increment(1);
    }

    /// Marks are rare, too.
    pub(crate) fn marked_emergency(&self, outcome: &'static str) {
        counter!(names::EMERGENCY_MARKS, "outcome" => outcome).increment(1);
    }

    pub(crate) fn rate_limited(&self, budget: &'static str) {
        counter!(names::RATE_LIMITED, "budget" => budget).increment(1);
    }
}

impl Phase {
    fn name(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Handshake => "handshake",
            Self::Gate => "gate",
            Self::Queue => "queue",
            Self::Handler => "handler",
            Self::Audit => "audit",
            Self::Write => "write",
        }
    }
}

const PHASES: [Phase; 7] =
    [Phase::Accept, Phase::Handshake, Phase::Gate, Phase::Queue, Phase::Handler, Phase::Audit, Phase::Write];
const TIMED_ONE_IN: u32 = 8;
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
