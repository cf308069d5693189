//! Every metric of every process: one constant, one line of help. Nothing is counted that is not here.
use super::snapshot::FamilyKind;

/// A metric as operators see it.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    pub name: &'static str,
    pub kind: FamilyKind,
    pub help: &'static str,
}

macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $kind:ident $constant:ident = $name:literal;)+) => {
        $($(#[doc = $help])+ pub const $constant: &str = $name;)+
        /// All of them, in the order of this page.
        pub const ALL: &[Metric] =
            &[$(Metric { name: $name, kind: FamilyKind::$kind, help: concat!($($help),+).trim_ascii() }),+];
    };
}

metrics! {
    // Supervisor.
    /// 1 while the slot's worker serves.
    Gauge WORKER_UP = "hotline_worker_up";
    /// Workers started again, by what ended the one before.
    Counter WORKER_RESTARTS = "hotline_worker_restarts_total";
    /// Reloads and upgrades, by outcome: done, failed (and taken back), refused.
    Counter CHANGES = "hotline_changes_total";
    /// Listeners that a worker took over while their own slot was away.
    Counter LISTENERS_SHELTERED = "hotline_listeners_sheltered_total";
    /// Slots of a role that are to be filled; the others rest.
    Gauge WORKERS_WANTED = "hotline_workers_wanted";
    /// Slots that were laid to rest or woken, by role and direction.
    Counter SCALINGS = "hotline_scalings_total";
    /// Version and build of the supervisor; always 1.
    Gauge BUILD_INFO = "hotline_build_info";
    /// Seconds since the supervisor started.
    Gauge UPTIME_SECONDS = "hotline_uptime_seconds";
    /// Descriptors the supervisor has open.
    Gauge OPEN_FDS = "hotline_supervisor_open_fds";
    /// Live events not forwarded because a worker did not read fast enough.
    Counter LIVE_EVENTS_DROPPED = "hotline_live_events_dropped_total";
    /// Scrapes a worker did not answer in time; its last snapshot was used.
    Counter SCRAPES_LATE = "hotline_scrapes_late_total";
    /// Requests on the admin socket, by command and outcome.
    Counter ADMIN_REQUESTS = "hotline_admin_requests_total";
    /// Seconds since the worker's request runtime last beat.
    Gauge HEARTBEAT_AGE_SECONDS = "hotline_worker_heartbeat_age_seconds";
    /// Acts with keys, by act and outcome: done, failed, refused.
    Counter KEY_ACTS = "hotline_key_acts_total";
    /// Seconds since the key over the keys was made; grows beyond `keys.kek_rotation_seconds` when it cannot be replaced.
    Gauge KEK_AGE_SECONDS = "hotline_kek_age_seconds";
    /// Changes of the session ticket keys.
    Counter TICKET_KEY_ROTATIONS = "hotline_ticket_key_rotations_total";

    // API worker.
    /// Requests answered, by route template and status class.
    Counter HTTP_REQUESTS = "hotline_http_requests_total";
    /// Seconds from a request's head to its answer's head.
    Histogram HTTP_REQUEST_SECONDS = "hotline_http_request_seconds";
    /// Seconds of each phase, from accept to write. Phases of requests are taken of one request in eight;
    /// the handler's holds its wait for the audit log.
    Histogram HTTP_PHASE_SECONDS = "hotline_http_phase_seconds";
    /// Requests being answered now.
    Gauge HTTP_REQUESTS_IN_FLIGHT = "hotline_http_requests_in_flight";
    /// Share of the time since the last tick in which the request runtime was at work, not parked; 0 to 1.
    Gauge WORKER_BUSY_RATIO = "hotline_worker_busy_ratio";
    /// Bytes inside TLS, in and out.
    Counter HTTP_BYTES = "hotline_http_bytes_total";
    /// Connections taken from the listener.
    Counter ACCEPTS = "hotline_accepts_total";
    /// Connections open now.
    Gauge CONNECTIONS = "hotline_connections";
    /// TLS handshakes: full, resumed, failed.
    Counter TLS_HANDSHAKES = "hotline_tls_handshakes_total";
    /// Session tickets that did not open, by reason; their callers got a full handshake.
    Counter TLS_TICKETS_REFUSED = "hotline_tls_tickets_refused_total";
    /// Requests turned away, by reason.
    Counter REFUSED = "hotline_refused_total";
    /// Requests that admission let begin, by class.
    Counter ADMISSION_ADMITTED = "hotline_admission_admitted_total";
    /// Requests waiting for their turn, by class.
    Gauge ADMISSION_WAITING = "hotline_admission_waiting";
    /// Seconds that those who had to wait waited before they began, by class.
    Histogram ADMISSION_WAIT_SECONDS = "hotline_admission_wait_seconds";
    /// Requests refused by admission, by class and reason: full, late.
    Counter ADMISSION_REFUSED = "hotline_admission_refused_total";
    /// Requests that may be at work at once, as the worker's latency allows.
    Gauge ADMISSION_LIMIT = "hotline_admission_limit";
    /// Requests at work, as of the last tick.
    Gauge ADMISSION_WORKING = "hotline_admission_working";
    /// Requests let in that wait for something with bounds of its own, as of the last tick.
    Gauge ADMISSION_RESTING = "hotline_admission_resting";
    /// Requests marked as an emergency by their caller: believed, stranger, over-budget.
    Counter EMERGENCY_MARKS = "hotline_emergency_marks_total";
    /// Requests over their budget, by budget.
    Counter RATE_LIMITED = "hotline_rate_limited_total";
    /// Look-ups in the response cache: hit, miss, bypass.
    Counter CACHE_REQUESTS = "hotline_cache_requests_total";
    /// WebSockets open now.
    Gauge WEBSOCKETS = "hotline_websockets";
    /// Events sent to WebSockets.
    Counter LIVE_EVENTS = "hotline_live_events_total";

    // Every process.
    /// Panics caught.
    Counter PANICS = "hotline_panics_total";

    // Audit.
    /// Records written to the log.
    Counter AUDIT_RECORDS = "hotline_audit_records_total";
    /// Records written by one fsync.
    Histogram AUDIT_BATCH_RECORDS = "hotline_audit_batch_records";
    /// Seconds of one write and fsync of the log.
    Histogram AUDIT_COMMIT_SECONDS = "hotline_audit_commit_seconds";
    /// Writes to the log that failed.
    Counter AUDIT_WRITE_FAILURES = "hotline_audit_write_failures_total";
    /// Bytes of torn records trimmed at start.
    Counter AUDIT_TRIMMED_BYTES = "hotline_audit_trimmed_bytes_total";
    /// Records that the scribe has taken and not yet written.
    Gauge AUDIT_BACKLOG_RECORDS = "hotline_audit_backlog_records";
    /// Connections that the scribe did not take or ended: strangers, violations, too many.
    Counter AUDIT_CONNECTIONS_REFUSED = "hotline_audit_connections_refused_total";
    /// Records of this process that are not yet durable.
    Gauge AUDIT_QUEUE_RECORDS = "hotline_audit_queue_records";
    /// Records refused because the queue was full or the scribe too long away.
    Counter AUDIT_REFUSED = "hotline_audit_refused_total";
    /// Seconds from sending records to their being on disk.
    Histogram AUDIT_WAIT_SECONDS = "hotline_audit_wait_seconds";
    /// Records under the last signed head of the transparency log.
    Gauge AUDIT_TREE_SIZE = "hotline_audit_tree_size";
    /// Durable records that no signed head covers yet.
    Gauge AUDIT_UNPUBLISHED_RECORDS = "hotline_audit_unpublished_records";
    /// Tries to publish the log that failed; it stops for good where the log contradicts a signed head.
    Counter AUDIT_PUBLISH_FAILURES = "hotline_audit_publish_failures_total";
    /// Looks for records past their time, by outcome: nothing, done, bounded (done, and more is left), held (a legal hold stands), clock (it cannot be believed), broken (the log is not in order), failed.
    Counter AUDIT_DISPOSALS = "hotline_audit_disposals_total";
    /// Records that were disposed of, from the first of the log on.
    Gauge AUDIT_DISPOSED_RECORDS = "hotline_audit_disposed_records";
    /// Legal holds on the log; while there is one, nothing is disposed of.
    Gauge AUDIT_HOLDS = "hotline_audit_holds";
    /// What operators did about the keeping of the log, by act (hold, release, dispose) and outcome: done, refused.
    Counter AUDIT_KEEPING_ACTS = "hotline_audit_keeping_acts_total";
    /// Connections made to the scribe.
    Counter AUDIT_CONNECTS = "hotline_audit_connects_total";

    // Store.
    /// Writes waiting for the writer thread.
    Gauge STORE_QUEUE_WRITES = "hotline_store_queue_writes";
    /// Writes that shared one transaction.
    Histogram STORE_BATCH_WRITES = "hotline_store_batch_writes";
    /// Seconds of one commit, the wait for the lock not counted.
    Histogram STORE_COMMIT_SECONDS = "hotline_store_commit_seconds";
    /// Writes refused because the queue was full.
    Counter STORE_REFUSED = "hotline_store_refused_total";
    /// Threads of a pool.
    Gauge POOL_THREADS = "hotline_pool_threads";
    /// Jobs waiting for a thread of a pool.
    Gauge POOL_QUEUE = "hotline_pool_queue";
    /// Seconds a job waited for a thread of a pool.
    Histogram POOL_WAIT_SECONDS = "hotline_pool_wait_seconds";
    /// Threads added to and taken from a pool, by direction: up, down.
    Counter POOL_SCALED = "hotline_pool_scaled_total";
    /// Jobs refused because the queue of a pool was full.
    Counter POOL_REFUSED = "hotline_pool_refused_total";

    // Policy.
    /// Decisions about matters, by where they came from (engine, memory) and outcome (allowed, denied).
    Counter POLICY_DECISIONS = "hotline_policy_decisions_total";
    /// Decisions that a worker remembers.
    Gauge POLICY_REMEMBERED = "hotline_policy_remembered";
    /// Acts of forgetting somebody, by outcome: done, held (something stands against it), failed.
    Counter SUBJECTS_ERASED = "hotline_subjects_erased_total";

    // Background worker.
    /// Jobs by state: ready, leased, dead.
    Gauge JOBS = "hotline_jobs";
    /// Jobs ended, by kind and outcome.
    Counter JOBS_ENDED = "hotline_jobs_ended_total";
    /// Seconds a job took from lease to end.
    Histogram JOB_SECONDS = "hotline_job_seconds";
    /// Seconds of audio transcribed.
    Counter AUDIO_SECONDS = "hotline_audio_seconds_total";
    /// Values sealed anew because the version of their key is a former one.
    Counter RESEALED = "hotline_resealed_total";
    /// Values under a former version that do not open; they keep that version from being destroyed.
    Counter RESEAL_REFUSED = "hotline_reseal_refused_total";
    /// Values under a former version when last counted, by class of key.
    Gauge RESEAL_LEFT = "hotline_reseal_left";
    /// 1 while the speech model is loaded.
    Gauge MODEL_READY = "hotline_model_ready";
}

/// Gauges of something that all workers look at. They are not added while one worker follows another.
pub const STATES: &[&str] = &[JOBS, MODEL_READY, RESEAL_LEFT, WORKER_UP, HEARTBEAT_AGE_SECONDS];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions() {
        for metric in ALL {
            assert!(metric.name.starts_with("hotline_"), "{}", metric.name);
            let is_total = metric.name.ends_with("_total");
            assert_eq!(is_total, metric.kind == FamilyKind::Counter, "{}", metric.name);
            assert!(metric.help.ends_with('.'), "{}", metric.name);
        }
    }

    #[test]
    fn no_name_is_used_twice() {
        let mut names: Vec<_> = ALL.iter().map(|metric| metric.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
    }
}
