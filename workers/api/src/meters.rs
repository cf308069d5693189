//! Registered metric handles; a look-up by name for each request would cost more than the request.
use hotline::telemetry::names;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use crate::gate::Route;

/// All that this worker counts.
pub(crate) struct Meters {
    requests: Vec<[Counter; CLASSES.len()]>,
    seconds: Vec<Histogram>,
    pub(crate) in_flight: Gauge,
    pub(crate) busy_ratio: Gauge,
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
            in_flight: gauge!(names::HTTP_REQUESTS_IN_FLIGHT),
            busy_ratio: gauge!(names::WORKER_BUSY_RATIO),
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

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
