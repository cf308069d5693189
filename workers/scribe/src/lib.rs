//! The sole writer of the audit log.
//!
//! Workers connect to a socket that the supervisor keeps open across the scribe's lives. Every turn
//! takes what all of them have sent, writes it in one go, and tells each how far its records are on
//! disk. While the disk does not take them, nothing more is read: the queues fill up, and requests
//! that must be recorded are refused.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::print_stdout))]

mod custodian;
mod desk;
mod herald;
mod inbox;
mod keeping;
mod stop;
mod visitor;

use std::io;
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::{Duration, Instant};

use hotline::audit::{AuditKeys, LogWriter, Publisher, WriterError, disposal};
use hotline::board::WorkerPhase;
use hotline::config::Config;
use hotline::lifecycle::{ExitCode, clock};
use hotline::tlog::{Signer, Store};
use hotline::vault::KeyClass;
use hotline::wire::{AdminCall, KeyBytes};
use hotline::worker::{ControlSender, Entered, Incoming};

pub use custodian::Custody;
pub use desk::Desk;
pub use herald::Herald;
pub use inbox::{Inbox, Note};
pub use keeping::{Keeper, Tell, Told};
pub use stop::Stop;

/// Why the scribe could not begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("could not have the audit key: {0}")]
    Key(#[source] io::Error),
    #[error("could not have the audit key: the keyring holds none")]
    NoKey,
    #[error("could not use the inherited listener")]
    Listener,
    #[error(transparent)]
    Log(#[from] WriterError),
    #[error("could not prepare the scribe: {0}")]
    Io(#[from] io::Error),
}

impl StartError {
    /// Another scribe may be on its way out, a disk may come back; a keyring without a key stays so.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::NoKey | Self::Listener => ExitCode::BadConfig,
            Self::Key(_) | Self::Log(_) | Self::Io(_) => ExitCode::TryLater,
        }
    }
}

/// Serves until the supervisor asks to leave.
pub fn run(entered: Entered) -> Result<(), StartError> {
    let Entered { welcome, board, listeners, mut control } = entered;
    let keys = control.key(KeyClass::Audit).map_err(StartError::Key)?;
    let signing_keys = control.key(KeyClass::LogSigning).map_err(StartError::Key)?;
    let folder = welcome.config.paths.audit_dir();
    let source = format!("{}@{:016x}.{}", welcome.slot, welcome.boot_id, welcome.generation);
    let cell = board.cell(welcome.slot.cell);
    let (writer, opening) = open_log(|| {
        cell.beat(clock::now_ms());
        let keys = AuditKeys::new(keys.clone()).ok_or(StartError::NoKey)?;
        Ok(LogWriter::open(&folder, keys, welcome.config.audit.segment_bytes_max)?)
    })?;
    tracing::info!(seq = opening.head.seq, hash = opening.head.hash, trimmed_bytes = opening.trimmed_bytes, "log open");
    if let Some(reason) = &opening.broken {
        tracing::error!(reason, "the audit log was broken; it goes on behind the damage");
    }

    let custody = custody(&welcome.config, &signing_keys)?;
    // Before anybody reads the log: what was on record as disposed of when the last life ended.
    let unfinished = match &writer.standing().disposed {
        Some(disposed) => disposal::dispose(&custody.folder, &custody.store, disposed).err(),
        None => None,
    };
    if let Some(error) = &unfinished {
        tracing::error!(%error, "could not finish the last disposition; trying again");
    }

    let listener = UnixListener::from(listeners.into_iter().next().ok_or(StartError::Listener)?);
    let stop = Stop::new()?;
    let (asked, inbox) = (stop.clone(), Inbox::new()?);
    let notes = inbox.clone();
    let sender = control.serve(move |incoming| match incoming {
        Incoming::Drain { deadline_ms, successor } => {
            // A successor waits for the log: what is taken is written, the rest is sent again, to it.
            let patience_ms = if successor { 0 } else { deadline_ms };
            // The last tenth is for leaving.
            asked.ask(Duration::from_millis(patience_ms - patience_ms / 10));
        }
        Incoming::Admin { request_id, call: AdminCall::Log { act, requested_by_uid } } => {
            // Whoever finds no place is told nothing, and by the supervisor that it took too long.
            notes.put(Note::Asked { request_id, act, uid: requested_by_uid });
        }
        _ => {}
    });
    let mut desk = Desk::new(listener, writer, board.cell(welcome.slot.cell), source)?;
    desk.publish_by(herald(&welcome.config, signing_keys)?);
    let keeper = Keeper::new(custody, inbox, tell(sender.clone()));
    desk.keep_by(if unfinished.is_some() { keeper.is_unfinished() } else { keeper });
    desk.report(opening.events);
    desk.report([desk::started(welcome.generation)]);
    sender.ready();
    cell.set_phase(WorkerPhase::Serving);
    desk.serve(&stop);
    cell.set_phase(WorkerPhase::Draining);
    desk.leave(&stop);
    sender.drained();
    Ok(())
}

/// How the desk speaks with the supervisor.
fn tell(sender: ControlSender) -> Tell {
    Box::new(move |told| match told {
        Told::Reply { request_id, reply } => sender.admin_reply(request_id, reply),
        Told::Keeping(keeping) => sender.log_keeping(keeping),
    })
}

fn custody(config: &Config, signing_keys: &[KeyBytes]) -> Result<Custody, StartError> {
    let signers = signing_keys.iter().filter_map(|key| Signer::new(&config.audit.origin, &key.bytes));
    let trusted: Vec<_> = signers.map(|signer| signer.verifier().clone()).collect();
    // Without a key that may have signed, any head would do.
    if trusted.is_empty() {
        return Err(StartError::NoKey);
    }
    Ok(Custody {
        folder: config.paths.audit_dir(),
        store: Store::new(config.paths.tlog_dir()),
        trusted,
        retention_years: config.audit.retention_years,
    })
}

/// Newer keys sign; older ones have signed.
fn herald(config: &Config, keys: Vec<KeyBytes>) -> Result<Herald, StartError> {
    let (log, store) = (config.paths.audit_dir(), Store::new(config.paths.tlog_dir()));
    let (origin, every) = (config.audit.origin.clone(), Duration::from_millis(config.audit.publish_interval_ms));
    let signers = move || keys.iter().filter_map(|key| Signer::new(&origin, &key.bytes)).collect::<Vec<_>>();
    if signers().is_empty() {
        return Err(StartError::NoKey);
    }
    let open = move || {
        let mut signers = signers();
        let newest = signers.remove(0);
        let former: Vec<_> = signers.iter().map(|signer| signer.verifier().clone()).collect();
        Publisher::open(log.clone(), store.clone(), newest, &former)
    };
    Ok(Herald::start(open, every)?)
}

/// Takes the log over. A predecessor whose supervisor was killed may still be leaving.
fn open_log<T>(mut open: impl FnMut() -> Result<T, StartError>) -> Result<T, StartError> {
    let until = Instant::now() + LOCK_WAIT;
    loop {
        match open() {
            Err(StartError::Log(WriterError::Locked)) if Instant::now() < until => thread::sleep(LOCK_RETRY),
            opened => return opened,
        }
    }
}

const LOCK_WAIT: Duration = Duration::from_secs(10);
const LOCK_RETRY: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_predecessor_on_its_way_out_is_waited_for() {
        let mut tries = 0;
        let opened = open_log(|| {
            tries += 1;
            if tries < 3 { Err(WriterError::Locked.into()) } else { Ok(tries) }
        });
        assert_eq!(opened.unwrap(), 3);
        let error = open_log(|| -> Result<(), _> { Err(StartError::NoKey) }).unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::BadConfig);
    }
}
