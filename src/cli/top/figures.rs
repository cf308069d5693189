//! What happened between two samples, as numbers. No clock, no socket, no terminal.
use hotline::telemetry::{Snapshot, names};

use super::sample::Sample;
use crate::supervisor::protocol::{SupervisorStatus, WorkerStatus};

/// One picture. Rates are `None` until there are two samples of one supervisor.
pub(super) struct Figures {
    pub(super) supervisor: SupervisorStatus,
    pub(super) address: String,
    /// Events a second.
    pub(super) rates: Vec<(&'static str, Option<f64>)>,
    pub(super) latencies: Vec<(&'static str, Latency)>,
    /// What is there, or waits, now.
    pub(super) levels: Vec<(&'static str, f64)>,
    pub(super) slots: Vec<SlotFigures>,
}

pub(super) struct SlotFigures {
    pub(super) worker: WorkerStatus,
    pub(super) requests_per_second: Option<f64>,
}

/// Of all events between the samples.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Latency {
    pub(super) p50: Option<Quantile>,
    pub(super) p99: Option<Quantile>,
    pub(super) p999: Option<Quantile>,
}

/// In seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Quantile {
    /// Interpolated within its bucket, as Prometheus does.
    About(f64),
    /// Beyond the last bucket with an end.
    Over(f64),
}

impl Figures {
    pub(super) fn between(before: Option<&Sample>, after: &Sample) -> Self {
        // Another supervisor counts from zero.
        let before = before.filter(|before| before.status.supervisor.pid == after.status.supervisor.pid);
        let span = Span {
            before: before.map(|before| &before.metrics),
            after: &after.metrics,
            seconds: before.map_or(0.0, |before| after.taken.saturating_duration_since(before.taken).as_secs_f64()),
        };
        let slots = after.status.workers.iter().map(|worker| SlotFigures {
            worker: worker.clone(),
            requests_per_second: span.rate(names::HTTP_REQUESTS, &[("slot", &worker.slot)]),
        });
        Self {
            supervisor: after.status.supervisor.clone(),
            address: after.status.address.clone(),
            rates: rates(&span),
            latencies: LATENCIES.iter().map(|(label, name)| (*label, span.latency(name))).collect(),
            levels: LEVELS.iter().map(|(label, name, labels)| (*label, sum(span.after, name, labels))).collect(),
            slots: slots.collect(),
        }
    }

    /// Slots whose worker is not the first, the youngest worker first.
    pub(super) fn restarted(&self) -> Vec<&WorkerStatus> {
        let mut restarted: Vec<_> = self.slots.iter().map(|slot| &slot.worker).filter(|w| w.restarts > 0).collect();
        restarted.sort_by_key(|worker| worker.uptime_seconds);
        restarted
    }
}

fn rates(span: &Span<'_>) -> Vec<(&'static str, Option<f64>)> {
    RATES.iter().map(|(label, name, labels)| (*label, span.rate(name, labels))).collect()
}

/// Two snapshots and the time between them.
struct Span<'a> {
    before: Option<&'a Snapshot>,
    after: &'a Snapshot,
    seconds: f64,
}

impl Span<'_> {
    fn rate(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let before = self.before.filter(|_| self.seconds > 0.0)?;
        Some((sum(self.after, name, labels) - sum(before, name, labels)).max(0.0) / self.seconds)
    }

    fn latency(&self, name: &str) -> Latency {
        let Some(before) = self.before else { return Latency::default() };
        let (before, mut buckets) = (buckets(before, name), buckets(self.after, name));
        for (end, count) in &mut buckets {
            let known = before.iter().find(|(known, _)| known == end).map_or(0.0, |(_, count)| *count);
            *count = (*count - known).max(0.0);
        }
        let at = |share| quantile(&buckets, share);
        Latency { p50: at(0.5), p99: at(0.99), p999: at(0.999) }
    }
}

/// Over all slots and all other labels.
fn sum(snapshot: &Snapshot, name: &str, labels: &[(&str, &str)]) -> f64 {
    let samples = snapshot.families.get(name).map_or(&[][..], |family| &family.samples);
    let wanted = |of: &str| labels.iter().all(|(key, value)| label(of, key) == Some(*value));
    // An empty sum of floats would be minus zero.
    samples.iter().filter(|sample| wanted(&sample.labels)).fold(0.0, |sum, sample| sum + sample.value)
}

/// Each bucket's end and how many events were at most that long, over all labels.
fn buckets(snapshot: &Snapshot, name: &str) -> Vec<(f64, f64)> {
    let mut buckets: Vec<(f64, f64)> = Vec::new();
    for sample in snapshot.families.get(name).map_or(&[][..], |family| &family.samples) {
        let Some(end) = label(&sample.labels, "le").and_then(|end| end.parse::<f64>().ok()) else { continue };
        match buckets.iter_mut().find(|(known, _)| *known == end) {
            Some((_, count)) => *count += sample.value,
            None => buckets.push((end, sample.value)),
        }
    }
    buckets.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    buckets
}

fn quantile(buckets: &[(f64, f64)], share: f64) -> Option<Quantile> {
    let (_, total) = buckets.last().filter(|(_, total)| *total > 0.0)?;
    let rank = share * total;
    let (mut start, mut below) = (0.0, 0.0);
    for (end, count) in buckets {
        if *count >= rank {
            let inside = (rank - below) / (count - below);
            return Some(if end.is_infinite() {
                Quantile::Over(start)
            } else {
                Quantile::About(start + (end - start) * inside)
            });
        }
        (start, below) = (*end, *count);
    }
    None
}

/// The value of one label in `a="1",b="2"`. Our labels have no quotes inside.
fn label<'a>(labels: &'a str, key: &str) -> Option<&'a str> {
    labels.split("\",").find_map(|pair| {
        let (name, value) = pair.split_once("=\"")?;
        (name == key).then(|| value.trim_end_matches('"'))
    })
}

type Labels = &'static [(&'static str, &'static str)];

const RATES: &[(&str, &str, Labels)] = &[
    ("answered", names::HTTP_REQUESTS, &[]),
    ("2xx", names::HTTP_REQUESTS, &[("status", "2xx")]),
    ("3xx", names::HTTP_REQUESTS, &[("status", "3xx")]),
    ("4xx", names::HTTP_REQUESTS, &[("status", "4xx")]),
    ("5xx", names::HTTP_REQUESTS, &[("status", "5xx")]),
    ("turned away", names::REFUSED, &[]),
    ("full handshakes", names::TLS_HANDSHAKES, &[("kind", "full")]),
    ("resumed handshakes", names::TLS_HANDSHAKES, &[("kind", "resumed")]),
    ("failed handshakes", names::TLS_HANDSHAKES, &[("kind", "failed")]),
    ("audit records", names::AUDIT_RECORDS, &[]),
];

const LATENCIES: &[(&str, &str)] = &[
    ("request", names::HTTP_REQUEST_SECONDS),
    ("audit wait", names::AUDIT_WAIT_SECONDS),
    ("audit commit", names::AUDIT_COMMIT_SECONDS),
    ("store commit", names::STORE_COMMIT_SECONDS),
    ("job", names::JOB_SECONDS),
];

const LEVELS: &[(&str, &str, Labels)] = &[
    ("connections", names::CONNECTIONS, &[]),
    ("websockets", names::WEBSOCKETS, &[]),
    ("requests in flight", names::HTTP_REQUESTS_IN_FLIGHT, &[]),
    ("audit records sent", names::AUDIT_QUEUE_RECORDS, &[]),
    ("audit records taken", names::AUDIT_BACKLOG_RECORDS, &[]),
    ("store writes", names::STORE_QUEUE_WRITES, &[]),
    ("password hashes", names::POOL_QUEUE, &[("pool", "password")]),
    ("jobs ready", names::JOBS, &[("state", "ready")]),
    ("jobs leased", names::JOBS, &[("state", "leased")]),
    ("jobs dead", names::JOBS, &[("state", "dead")]),
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn labels_are_read_whole() {
        let labels = "slot=\"api-0\",route=\"/cases/{id},x\",le=\"+Inf\"";
        assert_eq!(label(labels, "slot"), Some("api-0"));
        assert_eq!(label(labels, "route"), Some("/cases/{id},x"));
        assert_eq!(label(labels, "le").unwrap().parse::<f64>().unwrap(), f64::INFINITY);
        assert_eq!(label(labels, "lot"), None);
        assert_eq!(label("", "slot"), None);
    }

    #[test]
    fn quantiles_lie_where_their_events_are() {
        // 90 events up to 1 ms, 9 more up to 2 ms, one beyond.
        let buckets = [(0.001, 90.0), (0.002, 99.0), (f64::INFINITY, 100.0)];
        assert_eq!(quantile(&buckets, 0.45), Some(Quantile::About(0.0005)));
        assert_eq!(quantile(&buckets, 0.99), Some(Quantile::About(0.002)));
        assert_eq!(quantile(&buckets, 0.999), Some(Quantile::Over(0.002)));
        assert_eq!(quantile(&[(0.001, 0.0), (f64::INFINITY, 0.0)], 0.5), None);
        assert_eq!(quantile(&[], 0.5), None);
    }

    proptest! {
        #[test]
        fn quantiles_grow_with_their_share(counts in prop::collection::vec(0u32..50, 1..12), a in 0.01f64..1.0, b in 0.01f64..1.0) {
            let mut total = 0.0;
            let mut buckets: Vec<(f64, f64)> = (1u32..)
                .zip(counts)
                .map(|(end, count)| {
                    total += f64::from(count);
                    (f64::from(end), total)
                })
                .collect();
            buckets.push((f64::INFINITY, total));
            let value = |share| match quantile(&buckets, share) {
                Some(Quantile::About(value) | Quantile::Over(value)) => value,
                None => 0.0,
            };
            prop_assert!(value(a.min(b)) <= value(a.max(b)));
        }
    }
}
