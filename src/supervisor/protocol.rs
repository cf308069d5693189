//! What is said on the admin socket: one JSON line each way.
use hotline::vault::{KeyClass, Listing};
use hotline::wire::{
    Confinement, LogAct, LogKeeping, PeopleAct, PersonLine, PolicyAsk, PolicyTold, SealedCount, SubjectAct,
};
use serde::{Deserialize, Serialize};

/// A command from the command line of somebody who may give it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Ask {
    Status,
    #[serde(rename_all = "camelCase")]
    Token {
        user: String,
        ttl_seconds: u64,
    },
    User {
        act: PeopleAct,
    },
    Policy {
        ask: PolicyAsk,
    },
    Subject {
        act: SubjectAct,
    },
    /// Somebody looks after what this record of the audit log tells.
    Acknowledge {
        seq: u64,
        note: String,
    },
    /// About the keeping of the audit log.
    Log {
        act: LogAct,
    },
    /// As SIGHUP; answered when it is done or taken back.
    Reload,
    /// Go on as the build that is installed now; answered when it is done or taken back.
    Upgrade,
    /// What is to be seen of the keys, or done with them.
    Keys {
        ask: KeysAsk,
    },
    /// As SIGTERM.
    Stop,
}

/// About keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "keys", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum KeysAsk {
    /// Versions and states, no bytes.
    List,
    /// How much is sealed under which version.
    Sealed,
    /// Whether every key opens.
    Check,
    /// A new version of the key over the keys.
    RotateKek,
    /// A new version of a data key; every worker is replaced twice.
    Rotate { class: KeyClass },
    /// The end of a version that nothing needs.
    Destroy { class: KeyClass, version: u16 },
}

/// The answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub(crate) enum Told {
    Status(Status),
    #[serde(rename_all = "camelCase")]
    Token {
        token: String,
        expires_at: String,
    },
    Users {
        users: Vec<PersonLine>,
    },
    #[serde(rename_all = "camelCase")]
    User {
        name: String,
        one_time_password: Option<String>,
    },
    Policy {
        told: PolicyTold,
    },
    Keys(Listing),
    /// Class, version, how many columns of rows and recordings.
    Sealed {
        counts: Vec<SealedCount>,
    },
    Stopping,
    /// The change is done.
    Changed {
        what: String,
    },
    Refused {
        reason: String,
    },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Status {
    pub(crate) supervisor: SupervisorStatus,
    /// Where the API listens.
    pub(crate) address: String,
    /// Where `/metrics` is.
    pub(crate) metrics: String,
    /// How the audit log is kept, as the scribe told last; none before it served.
    #[serde(default)]
    pub(crate) audit: Option<LogKeeping>,
    pub(crate) workers: Vec<WorkerStatus>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SupervisorStatus {
    pub(crate) pid: u32,
    pub(crate) version: String,
    pub(crate) uptime_seconds: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WorkerStatus {
    pub(crate) slot: String,
    pub(crate) role: String,
    pub(crate) pid: Option<u32>,
    pub(crate) phase: String,
    pub(crate) generation: u32,
    /// The build of this worker; another than the supervisor's only while one follows the other.
    #[serde(default)]
    pub(crate) build: String,
    pub(crate) restarts: u64,
    pub(crate) uptime_seconds: u64,
    pub(crate) connections: u64,
    pub(crate) requests: u64,
    pub(crate) backlog: u64,
    pub(crate) rss_bytes: u64,
    pub(crate) degraded: bool,
    /// Slots whose listeners this worker accepts on; more than its own while a sibling is away.
    pub(crate) listens_to: Vec<u16>,
    /// Why the worker before this one ended.
    pub(crate) last_end: String,
    /// What holds the worker; none before it was ready.
    #[serde(default)]
    pub(crate) confinement: Option<Confinement>,
}
