//! The parsed configuration: after `Config::load` no field can be wrong.
//!
//! Units are in the names. Zero never means "unlimited". Defaults are those of `config/hotline.toml`.
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Keys;
use super::alerts::Alerts;
use crate::sys::sandbox::Account;

/// Everything a process may need to know. Holds no secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    pub server: Server,
    pub paths: Paths,
    pub tls: Tls,
    pub workers: Workers,
    pub limits: Limits,
    pub admission: Admission,
    pub rate: Rate,
    pub sessions: Sessions,
    pub people: People,
    pub policy: Policy,
    pub cases: Cases,
    pub passwords: Pool,
    pub audit: Audit,
    pub alerts: Alerts,
    pub keys: Keys,
    pub store: Store,
    pub cache: Cache,
    pub speech: Speech,
    pub triage: Triage,
    pub telemetry: Telemetry,
}

/// Where callers reach us.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// `HOTLINE_BIND`; port 0 takes any and the ready line names it.
    pub bind: SocketAddr,
    pub environment: Environment,
    /// Origins other than our own that a browser may call from; exact, never `*`.
    pub allowed_origins: Vec<String>,
    /// Proxies whose forwarded address is believed, as CIDRs.
    pub trusted_proxies: Vec<String>,
    /// The one header in which they say for whom they speak.
    pub forwarded_header: ForwardedHeader,
    /// They begin each connection with a PROXY header, version 2.
    pub proxy_protocol: bool,
}

/// Only one is read: a proxy that writes one passes the other on as a stranger wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardedHeader {
    None,
    XForwardedFor,
    /// RFC 7239.
    Forwarded,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    Production,
    Development,
}

/// The policies themselves, as they were when the settings were read: so a reload sees a change, workers that are
/// started later decide as the others do, and a change that fails is taken back whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    pub files: BTreeMap<String, String>,
}

/// How long what a case holds is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cases {
    /// Calendar years after a case was archived, before it may be disposed of.
    pub retention_years: u16,
}

/// Folders. Relative paths are taken from the working directory at start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Paths {
    /// `HOTLINE_STATE_DIR`: database, blobs, audit log, keys. Created 0700.
    pub state_dir: PathBuf,
    /// Unix sockets: `admin.sock`, `scribe.sock`. Default `<state_dir>/run`.
    pub run_dir: PathBuf,
    /// Speech and embedding models.
    pub models_dir: PathBuf,
    /// The sourced knowledge base.
    pub knowledge_dir: PathBuf,
    /// Who may do what: the files that end in `.cedar`.
    pub policy_dir: PathBuf,
    /// `HOTLINE_ADMIN_PASSWORD_FILE`: the first administrator's password, read on the first start only.
    pub admin_password_file: Option<PathBuf>,
}

impl Paths {
    /// The folders of the state that workers write, made by the supervisor before it starts them. What
    /// lies beside them (the keys, the supervisor's lock) is none of theirs.
    pub fn of_workers(&self) -> [PathBuf; 6] {
        [self.audit_dir(), self.blobs_dir(), self.cache_dir(), self.store_dir(), self.tlog_dir(), self.tls_dir()]
    }

    /// The log, of the scribe alone.
    pub fn audit_dir(&self) -> PathBuf {
        self.state_dir.join("audit")
    }

    /// Recordings.
    pub fn blobs_dir(&self) -> PathBuf {
        self.state_dir.join("blobs")
    }

    /// Answers that were built before; may be thrown away.
    pub fn cache_dir(&self) -> PathBuf {
        self.state_dir.join("cache")
    }

    /// The database, and the first administrator's one-time password.
    pub fn store_dir(&self) -> PathBuf {
        self.state_dir.join("store")
    }

    /// The log as the world may see it: tiles and signed heads.
    pub fn tlog_dir(&self) -> PathBuf {
        self.state_dir.join("tlog")
    }

    /// The certificate that is made where none is configured.
    pub fn tls_dir(&self) -> PathBuf {
        self.state_dir.join("tls")
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tls {
    /// PEM chain; none: a self-signed certificate for this machine is made under `<state_dir>/tls`.
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub handshake_deadline_ms: u64,
    /// How long a session can be resumed; ticket keys change twice in this time.
    pub ticket_lifetime_seconds: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Workers {
    /// `HOTLINE_WORKERS`; API workers, one listener each. Default: CPUs.
    pub api: u16,
    pub background: u16,
    /// Fewer are never there; the rest come and go with the load. The same as above: nobody does.
    pub api_min: u16,
    pub background_min: u16,
    /// Mean share of time in which API workers are at work: one more beyond `high`, one fewer if the rest would then
    /// stay below `low`.
    pub busy_high_permille: u32,
    pub busy_low_permille: u32,
    /// One more background worker when a job has waited this long.
    pub queue_age_high_ms: u64,
    pub scale_up_after_ms: u64,
    pub scale_down_after_ms: u64,
    /// Pin API worker i to CPU i.
    pub pin: bool,
    pub ready_within_ms: u64,
    pub drain_deadline_ms: u64,
    /// A worker whose request runtime has not beaten for this long is killed.
    pub heartbeat_late_ms: u64,
    pub backoff_first_ms: u64,
    pub backoff_max_ms: u64,
    /// Serving for this long forgives earlier crashes.
    pub backoff_reset_ms: u64,
    /// After an upgrade every new worker must hold this long, or it is taken back.
    pub upgrade_grace_ms: u64,
    pub sandbox: Sandbox,
    /// The account workers change to; none: they stay what the supervisor is.
    pub user: Option<Account>,
}

/// Whether workers give up what they do not need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sandbox {
    /// A system call filter, and folder rules where the kernel has them.
    On,
    /// For debugging: a debugger, a profiler or a new library may need more than the filter lets through.
    Off,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    pub connections_max: u32,
    pub header_bytes_max: u32,
    pub header_count_max: u32,
    pub json_bytes_max: u64,
    pub json_depth_max: u32,
    pub audio_bytes_max: u64,
    /// Of one file of evidence.
    pub evidence_bytes_max: u64,
    pub header_read_deadline_ms: u64,
    pub body_idle_deadline_ms: u64,
    pub body_deadline_ms: u64,
    /// For a file of evidence to come in, or to be read again.
    pub evidence_deadline_ms: u64,
    pub request_deadline_ms: u64,
    pub keep_alive_ms: u64,
    /// Load re-rolls over the workers: a connection is asked to leave after this many requests …
    pub requests_per_connection_max: u64,
    /// … or this age.
    pub connection_age_ms_max: u64,
    /// Ceiling of the adaptive limit of requests at work.
    pub requests_in_flight_max: u32,
    pub http2_streams_max: u32,
    pub websocket_message_bytes_max: u64,
    pub websockets_max: u32,
    /// Events waiting for one slow WebSocket before it is closed.
    pub websocket_queue_max: u32,
}

/// Who goes first when an API worker is full. The ceiling is `limits.requests_in_flight_max`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Admission {
    /// The adaptive limit never falls below this, or below the ceiling if that is lower.
    pub concurrency_min: u32,
    /// Waiting this long lifts a request by one class.
    pub ageing_ms: u64,
    pub emergency: Queue,
    pub live_call: Queue,
    pub interactive: Queue,
    pub batch: Queue,
}

/// A bounded queue: `waiting_max` requests, none for longer than `wait_ms_max`; 503 beyond either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    pub waiting_max: u32,
    pub wait_ms_max: u64,
}

/// Budgets, as GCRA: `requests` per `window_seconds`, all at once if wished.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    pub anonymous: Budget,
    pub authenticated: Budget,
    /// Failed and successful log-ins, for an address.
    pub login: Budget,
    pub voice: Budget,
    /// Requests that one person may mark as an emergency.
    pub emergency: Budget,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    pub requests: u32,
    pub window_seconds: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sessions {
    pub absolute_seconds: u64,
    pub idle_seconds: u64,
    /// Longest life of a token made by `hotline token`.
    pub automation_seconds_max: u64,
    /// What signs tokens from now on; those that were signed with the other one go on until they expire.
    pub token_algorithm: TokenAlgorithm,
}

/// How tokens are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TokenAlgorithm {
    /// By a secret that only API workers have.
    #[serde(rename = "HS256")]
    Hs256,
    /// By an Ed25519 key whose public half others may verify with.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

impl TokenAlgorithm {
    /// As RFC 7518 and RFC 8037 call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::EdDsa => "EdDSA",
        }
    }
}

/// What people with an account must show.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct People {
    pub mfa: Mfa,
    /// For so long after a factor was shown sensitive acts are open.
    pub step_up_seconds: u64,
    /// For so long broken glass lets somebody in.
    pub break_glass_seconds: u64,
    /// The domain that passkeys are made for; they are good on nothing else, so it never changes.
    pub passkey_domain: String,
    /// Where the pages are that may ask for them: on that domain, or below it.
    pub passkey_origins: Vec<String>,
}

/// Whether staff need a second factor. Whoever has one is asked for it in either case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mfa {
    /// Without one a member of the staff can only set one up.
    Required,
    /// It is theirs to choose.
    Offered,
}

/// Threads that compute beside the event loop of one process; the number follows the queue's delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    pub threads_min: u16,
    pub threads_max: u16,
    /// Jobs that may wait; 503 beyond.
    pub queue_max: u32,
    /// A job that waits this long gets a further thread.
    pub grow_after_ms: u64,
    /// A calm of this length takes one back.
    pub shrink_after_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Audit {
    pub acknowledge: Acknowledge,
    /// A write waits this long for its record to be durable, then fails closed with 503.
    pub wait_ms_max: u64,
    pub queue_records_max: u32,
    pub batch_records_max: u32,
    pub segment_bytes_max: u64,
    /// The transparency log's name, which stands in every head; a URL without its scheme. Never changes.
    pub origin: String,
    /// A new head is signed this often, if there is anything new.
    pub publish_interval_ms: u64,
    /// Calendar years that every record is kept at least.
    pub retention_years: u16,
}

/// Which answers wait until their record is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Acknowledge {
    /// Writes and reads of case data.
    All,
    /// Writes only; reads go ahead of their record.
    Writes,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Store {
    /// Writes that may share one transaction.
    pub batch_writes_max: u32,
    /// Writes waiting in one process before new ones are refused.
    pub queue_writes_max: u32,
    /// Reader connections of one process.
    pub readers: u16,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cache {
    pub enabled: bool,
    pub bytes_max: u64,
    pub entry_bytes_max: u64,
    pub entry_seconds_max: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Speech {
    /// A ggml file; relative names are looked up in `paths.models_dir`.
    pub model: PathBuf,
    pub threads: u16,
    pub audio_seconds_max: u64,
    /// How long `POST /voice/process` waits for its result before it answers 202.
    pub synchronous_wait_ms: u64,
    pub attempts_max: u32,
    pub lease_seconds: u64,
    pub queue_jobs_max: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Triage {
    /// ISO 3166-2, for example `US-CA`; what a call has when nothing better is known.
    pub jurisdiction: String,
    /// IANA name; decides what "tomorrow" means.
    pub time_zone: String,
    /// Use the sentence-embedding model beside the rules.
    pub embedding: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Telemetry {
    /// `HOTLINE_METRICS_BIND`; loopback only.
    pub metrics_bind: SocketAddr,
    pub log_format: LogFormat,
    /// `error`, `warn`, `info`, `debug` or a tracing filter.
    pub log_level: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Json,
    Text,
}
