//! What is said on the wire. Every message is plain data; bincode gives it its bytes.
use std::ffi::CStr;
use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::policy::{PolicyAsk, PolicyTold};
use crate::audit::Event;
use crate::config::Config;
use crate::telemetry::Snapshot;
use crate::tickets::TicketKeys;
use crate::vault::KeyClass;

/// Which executable a worker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// TLS and HTTP; one for each listener.
    Api,
    /// The durable queue, speech and triage.
    Background,
    /// Sole writer of the audit log.
    Scribe,
}

impl Role {
    pub fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Background => "background",
            Self::Scribe => "scribe",
        }
    }

    /// What `ps` shows; the kernel keeps 15 bytes.
    pub fn process_name(self) -> &'static CStr {
        match self {
            Self::Api => c"hotline-api",
            Self::Background => c"hotline-backgr",
            Self::Scribe => c"hotline-scribe",
        }
    }
}

/// A place for a worker: it keeps its listener, its board cell and its name for life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Slot {
    pub role: Role,
    pub index: u16,
    /// Position of this slot's cell on the board; unique over all roles.
    pub cell: u16,
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.role.name(), self.index)
    }
}

/// From a worker to the supervisor.
#[derive(Serialize, Deserialize)]
pub enum FromWorker {
    /// First message. Anything but our own version and build id ends the worker.
    Hello { wire_version: u16, build_id: String, role: Role, pid: u32 },
    /// Asks for a data key in clear; what a role may have is in the permit table.
    UnwrapKey { class: KeyClass },
    /// Serving: the first accept is armed, the store is open.
    Ready(Confinement),
    /// Answer to `ToWorker::Scrape`.
    Metrics { scrape_id: u64, snapshot: Snapshot },
    /// To every other worker: something that live connections may want to know.
    Publish(LiveEvent),
    /// Answer to `ToWorker::Admin`.
    AdminReply { request_id: u64, reply: AdminReply },
    /// Answer to `ToWorker::Duty`; what was wrong is fit to be shown.
    DutyDone { request_id: u64, outcome: Result<DutyOutcome, String> },
    /// Answer to `ToWorker::ReloadCertificate`: what was wrong, if anything.
    CertificateReloaded { refused: Option<String> },
    /// The scribe's alone: how the log stands with its keeping, once it serves and whenever that changes.
    LogKeeping(LogKeeping),
    /// Why this worker leaves without having served; fit to be shown to an operator.
    CannotStart { reason: String },
    /// Last message before a clean exit.
    Drained,
}

/// What holds a worker, as it read it back from the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Confinement {
    /// The account it runs as.
    pub uid: u32,
    /// Executing something can never give it more rights.
    pub no_new_privileges: bool,
    /// It can make only the system calls of its role.
    pub calls_filtered: bool,
    /// The kernel's Landlock version that keeps it to its folders; 0: none.
    pub landlock_abi: u8,
}

/// From the supervisor to a worker.
#[derive(Serialize, Deserialize)]
pub enum ToWorker {
    /// First message: who the worker is and all it may know.
    Welcome(Box<Welcome>),
    /// Answer to `FromWorker::UnwrapKey`: newest version first.
    Key { class: KeyClass, versions: Vec<KeyBytes> },
    /// To API workers only: after the welcome, and again whenever they change.
    TicketKeys(TicketKeys),
    /// Give a snapshot of all metrics.
    Scrape { scrape_id: u64 },
    /// Another worker published this.
    Live(LiveEvent),
    /// A request from the admin socket that needs the store, or to the scribe, the log.
    Admin { request_id: u64, call: AdminCall },
    /// To an API worker: something the supervisor itself cannot do, having neither log nor store.
    Duty { request_id: u64, duty: Duty },
    /// Accept on the listeners of these slots and no others.
    Listen { slots: Vec<u16> },
    /// Read certificate and key again; connections that are open stay as they are.
    ReloadCertificate,
    /// Finish what is begun, take nothing new, leave before the deadline. `successor`: somebody goes on with
    /// the slot's work.
    Drain { deadline_ms: u64, successor: bool },
}

/// What a worker learns after `Hello`.
#[derive(Serialize, Deserialize)]
pub struct Welcome {
    pub slot: Slot,
    /// Counts the workers that have lived in this slot.
    pub generation: u32,
    /// Random, made at supervisor start; request ids and audit sources begin with it.
    pub boot_id: u64,
    /// How many listeners were handed over, for slots 0, 1, ….
    pub listeners: u16,
    /// An earlier worker of this slot is still at work.
    pub has_predecessor: bool,
    pub config: Config,
}

/// One version of a data key. Wiped from memory when dropped.
#[derive(Clone, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct KeyBytes {
    pub version: u16,
    pub bytes: [u8; 32],
}

/// Something live connections may be told. Carries names of things, never their content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveEvent {
    /// `call:<id>`, `case:<id>`, `cases`, `alerts` or `session:<id>`.
    pub topic: String,
    /// Ready JSON, at most 1 KiB, without personal data.
    pub payload: String,
}

/// What keeps records of the audit log, and what is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogKeeping {
    /// While there is one, nothing is disposed of.
    pub holds: Vec<LogHold>,
    /// The first records, up to this one, are disposed of; 0: none.
    pub disposed: u64,
    /// When the last of them were.
    pub disposed_at: String,
    /// Why nothing is disposed of, where that is not as it should be.
    pub impediment: Option<String>,
}

/// A legal hold on the audit log, by the number of its record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogHold {
    pub seq: u64,
    pub since: String,
    pub by: String,
}

/// Commands that arrive on the admin socket and need a worker: with the store, or with the log.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum AdminCall {
    /// `hotline token --user NAME --ttl 1h`: a bearer token for automation.
    MintToken { user: String, ttl_seconds: u64, requested_by_uid: u32 },
    /// `hotline user …`: the operator's way in when nobody else is there to let people in.
    People { act: PeopleAct, requested_by_uid: u32 },
    /// `hotline policy …`
    Policy { ask: PolicyAsk, requested_by_uid: u32 },
    /// `hotline subject …`: the people whose matters are kept.
    Subjects { act: SubjectAct, requested_by_uid: u32 },
    /// `hotline alerts acknowledge`: somebody looks after what a record of the audit log tells.
    Acknowledge { seq: u64, note: String, requested_by_uid: u32 },
    /// `hotline audit hold|release|dispose`: for the scribe.
    Log { act: LogAct, requested_by_uid: u32 },
}

/// What an operator does about the keeping of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum LogAct {
    /// Keeps all records until it is released.
    Hold { reason: String },
    /// Ends a hold; which one may be left out where there is one.
    Release { hold: Option<u64>, reason: String },
    /// Looks for what is past its time now. Whoever says what day it is (UTC) vouches for the clock.
    Dispose { today: String },
}

/// What an operator does about somebody whose matter is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum SubjectAct {
    /// Forgets whoever the case is about: with it all their calls and cases.
    #[serde(rename_all = "camelCase")]
    Erase { case_number: String, reason: String },
}

/// What an operator does about people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum PeopleAct {
    Add {
        name: String,
        roles: Vec<String>,
    },
    List,
    /// Takes the password, the second factor or both away; ends all sessions.
    Reset {
        name: String,
        password: bool,
        factor: bool,
    },
    Disable {
        name: String,
    },
    Enable {
        name: String,
    },
}

/// Somebody with an account, as an operator sees them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PersonLine {
    pub name: String,
    pub roles: Vec<String>,
    pub disabled: bool,
    /// Has a second factor.
    pub mfa: bool,
    pub must_change_password: bool,
}

/// What the supervisor needs a worker for.
#[derive(Clone, Serialize, Deserialize)]
pub enum Duty {
    /// Puts an act of the supervisor on record; the answer comes when it is on disk.
    Record(Box<Event>),
    /// Tells under which versions of the data keys anything is sealed.
    CountSealed,
}

/// Answers to `Duty`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum DutyOutcome {
    Recorded,
    Sealed(Vec<SealedCount>),
}

/// How much is sealed under a version of a data key: columns of rows, and recordings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedCount {
    pub class: KeyClass,
    pub version: u16,
    pub count: u64,
}

/// Answers to `AdminCall`.
#[derive(Clone, Serialize, Deserialize)]
pub enum AdminReply {
    Token {
        token: String,
        expires_at_ms: i64,
    },
    People(Vec<PersonLine>),
    /// An act on somebody is done; a new password is told this once.
    Person {
        name: String,
        one_time_password: Option<String>,
    },
    Policy(PolicyTold),
    /// What was done, fit to be shown.
    Done {
        what: String,
    },
    /// What was wrong, fit to be shown.
    Refused {
        reason: String,
    },
}

/// From a worker to the scribe.
#[derive(Serialize, Deserialize)]
pub enum ToScribe {
    /// First frame on a connection: who writes, and whether scribe and writer mean the same by a record (while one
    /// build follows another they may be of two). `source` is `<role>-<index>@<boot_id>.<generation>`.
    Open { wire_version: u16, common_ground: u64, source: String },
    /// Events with consecutive numbers; the first is `first_number`. Numbers start at 1 for a source.
    Append { first_number: u64, events: Vec<Event> },
}

/// From the scribe to a worker.
#[derive(Serialize, Deserialize)]
pub enum FromScribe {
    /// Everything of this source up to and including `number` is on disk (0: nothing yet).
    Durable { number: u64 },
    /// The log cannot be written; the reason is for the operator's log.
    Failed { reason: String },
}
