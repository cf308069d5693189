//! All that one image of the supervisor leaves to the next: words in memory, and descriptors at their numbers.
//!
//! The image that begins must be able to say "no" and become the one before again. So it takes the descriptors into
//! its luggage, works with copies, and lets the luggage go only when nothing can fail any more.
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use hotline::config::Config;
use hotline::lifecycle::{Generation, SlotRecord};
use hotline::sys::{self, Berth, Program};
use hotline::telemetry::{Merged, Snapshot};
use hotline::tickets::RotationRecord;
use hotline::vault::{DataKeys, Listing};
use hotline::wire::{Confinement, LogKeeping, Role};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// What the next image is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Purpose {
    /// Replace the workers by those of the plan `after`.
    Upgrade,
    /// Go on with the plan `before`: the upgrade was taken back, for this reason.
    Return { reason: String },
}

/// Everything but the descriptors themselves.
#[derive(Serialize, Deserialize)]
pub(super) struct Handover {
    pub(super) purpose: Purpose,
    pub(super) boot_id: u64,
    pub(super) uptime_ms: u64,
    pub(super) settings_file: Option<PathBuf>,
    pub(super) before: PlanRecord,
    pub(super) after: PlanRecord,
    pub(super) tickets: RotationRecord,
    pub(super) keys: KeysRecord,
    pub(super) slots: Vec<SlotStateRecord>,
    pub(super) merged: Merged,
    /// What the image that leaves has counted itself.
    pub(super) own: Snapshot,
    pub(super) scrapes: u64,
    pub(super) log_keeping: Option<LogKeeping>,
    pub(super) berths: Berths,
}

/// The keys that workers are started with: the next image need not ask a token for them.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct KeysRecord {
    pub(super) data: DataKeys,
    pub(super) listing: Listing,
}

/// Settings and programs that belong together.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct PlanRecord {
    pub(super) config: Config,
    pub(super) build_id: String,
    /// Our own executable, then the workers in the order of `plan::ROLES`.
    pub(super) programs: [Berth; 4],
}

/// A slot at rest.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct SlotStateRecord {
    pub(super) role: Role,
    pub(super) index: u16,
    pub(super) life: SlotRecord,
    pub(super) restarts: u64,
    pub(super) last_end: String,
    pub(super) confinement: Option<Confinement>,
    pub(super) is_resting: bool,
    /// Who serves here.
    pub(super) process: Option<ProcessRecord>,
}

/// A worker that serves.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct ProcessRecord {
    pub(super) generation: Generation,
    pub(super) cell: u16,
    pub(super) pid: u32,
    pub(super) age_ms: u64,
    pub(super) listeners: u16,
    pub(super) listens_to: Vec<u16>,
    pub(super) control: Berth,
}

/// Where the descriptors are that the supervisor itself holds.
#[derive(Serialize, Deserialize)]
pub(super) struct Berths {
    pub(super) board: Berth,
    pub(super) listeners: Vec<Berth>,
    pub(super) scribe_listener: Berth,
    pub(super) state_lock: Berth,
    pub(super) admin: Berth,
    pub(super) page: Berth,
    /// Whoever waits for the outcome, and their uid.
    pub(super) asker: Option<(Berth, u32)>,
}

/// The descriptors of a handover, all of them, until it is sure that this image goes on.
pub(super) struct Luggage {
    fds: Vec<(Berth, OwnedFd)>,
}

impl Handover {
    /// Reads what lies at this berth.
    pub(super) fn open(berth: Berth) -> io::Result<Self> {
        let words = sys::from_memory(berth.take()?, BYTES_MAX)?;
        let (handover, _) =
            bincode::serde::decode_from_slice(&words, bincode::config::standard()).map_err(io::Error::other)?;
        Ok(handover)
    }

    /// Becomes `program`, which finds all this. Comes back only if that failed.
    pub(super) fn leave_to(&self, program: &Program, keep: &[BorrowedFd<'_>]) -> io::Error {
        let left = || -> io::Result<io::Error> {
            let words = bincode::serde::encode_to_vec(self, bincode::config::standard()).map_err(io::Error::other)?;
            let memory = sys::in_memory(c"hotline-handover", &Zeroizing::new(words))?;
            let keep: Vec<BorrowedFd<'_>> = keep.iter().copied().chain([memory.as_fd()]).collect();
            Ok(sys::become_program(program, &arguments(Berth::of(&memory))?, &environment(), &keep))
        };
        left().unwrap_or_else(|error| error)
    }

    fn every_berth(&self) -> Vec<Berth> {
        let Berths { board, listeners, scribe_listener, state_lock, admin, page, asker } = &self.berths;
        let controls = self.slots.iter().filter_map(|slot| slot.process.as_ref()).map(|process| process.control);
        let mut berths = vec![*board, *scribe_listener, *state_lock, *admin, *page];
        berths.extend(listeners);
        berths.extend(asker.map(|(berth, _)| berth));
        berths.extend(self.before.programs.iter().chain(&self.after.programs));
        berths.extend(controls);
        // Two plans may share their programs.
        berths.sort_unstable();
        berths.dedup();
        berths
    }
}

impl Luggage {
    /// Takes every descriptor that the handover tells of.
    pub(super) fn of(handover: &Handover) -> io::Result<Self> {
        let take = |berth: Berth| Ok((berth, berth.take()?));
        Ok(Self { fds: handover.every_berth().into_iter().map(take).collect::<io::Result<_>>()? })
    }

    /// A copy, to work with.
    pub(super) fn copy(&self, berth: Berth) -> io::Result<OwnedFd> {
        let found = self.fds.iter().find(|(of, _)| *of == berth);
        found.ok_or(io::ErrorKind::NotFound)?.1.try_clone()
    }

    pub(super) fn all(&self) -> Vec<BorrowedFd<'_>> {
        self.fds.iter().map(|(_, fd)| fd.as_fd()).collect()
    }
}

/// As we were started, for `ps`; and where the handover is.
fn arguments(berth: Berth) -> io::Result<Vec<CString>> {
    let mut arguments = Vec::new();
    let mut ours = std::env::args_os().skip(1);
    while let Some(argument) = ours.next() {
        if argument == HANDOVER_OPTION {
            ours.next();
            continue;
        }
        arguments.push(CString::new(argument.as_bytes())?);
    }
    arguments.extend([CString::new(HANDOVER_OPTION)?, berth.to_argument()]);
    Ok(arguments)
}

/// Ours, without what was said about descriptors that are long taken.
fn environment() -> Vec<CString> {
    let ours = std::env::vars_os().filter(|(name, _)| !name.to_str().is_some_and(sys::is_about_entrusted));
    ours.filter_map(|(name, value)| CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).ok()).collect()
}

/// Hidden; see `cli`.
const HANDOVER_OPTION: &str = "--handover";
/// 128 slots with all their metrics need a tenth.
const BYTES_MAX: u64 = 128 << 20;
