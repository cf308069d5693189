//! A process's own metrics: the ordinary Prometheus recorder, with our names described and our buckets.
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use super::names;
use super::snapshot::{FamilyKind, Snapshot};

/// Gives snapshots of everything this process counts.
#[derive(Clone)]
pub struct Recorder {
    handle: PrometheusHandle,
}

impl Recorder {
    /// Installs the recorder for this process; once, before anything is counted.
    ///
    /// # Panics
    /// If a recorder is installed already: two would each count half.
    pub fn install() -> Self {
        let mut builder = PrometheusBuilder::new();
        for (name, buckets) in BUCKETS {
            builder = builder
                .set_buckets_for_metric(Matcher::Full((*name).to_owned()), buckets)
                .expect("every bucket list above has entries");
        }
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).expect("a process installs its recorder once");
        describe_all();
        Self { handle }
    }

    pub fn snapshot(&self) -> Snapshot {
        Snapshot::parse(&self.handle.render())
    }

    /// Folds samples that histograms gathered; without it they grow with every request.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

fn describe_all() {
    for metric in names::ALL {
        match metric.kind {
            FamilyKind::Counter => metrics::describe_counter!(metric.name, metric.help),
            FamilyKind::Gauge => metrics::describe_gauge!(metric.name, metric.help),
            _ => metrics::describe_histogram!(metric.name, metric.help),
        }
    }
}

/// From a tenth of a millisecond (a cached read) to half a minute (the request deadline).
const SECONDS: &[f64] =
    &[0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// From ten microseconds (the gate) to half a minute.
const PHASE_SECONDS: &[f64] = &[
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
    0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
const JOB_SECONDS: &[f64] = &[0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0];
const BATCH: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1_024.0];
const BUCKETS: &[(&str, &[f64])] = &[
    (names::HTTP_REQUEST_SECONDS, SECONDS),
    (names::HTTP_PHASE_SECONDS, PHASE_SECONDS),
    (names::AUDIT_COMMIT_SECONDS, SECONDS),
    (names::ADMISSION_WAIT_SECONDS, SECONDS),
    (names::AUDIT_WAIT_SECONDS, SECONDS),
    (names::STORE_COMMIT_SECONDS, SECONDS),
    (names::POOL_WAIT_SECONDS, SECONDS),
    (names::AUDIT_BATCH_RECORDS, BATCH),
    (names::STORE_BATCH_WRITES, BATCH),
    (names::JOB_SECONDS, JOB_SECONDS),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_histogram_has_buckets() {
        for metric in names::ALL.iter().filter(|metric| metric.kind == FamilyKind::Histogram) {
            assert!(BUCKETS.iter().any(|(name, _)| *name == metric.name), "{}", metric.name);
        }
    }
}
