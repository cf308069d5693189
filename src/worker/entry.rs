//! The first milliseconds of a worker: descriptors, hello, welcome, board, log, metrics, confinement.
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use super::Control;
use super::confinement::{self, ConfinementError};
use crate::board::{Board, BoardError, WorkerPhase};
use crate::lifecycle::{ExitCode, clock};
use crate::sys::{self, BOARD_FD, CONTROL_FD, LISTENER_FD};
use crate::telemetry::{Recorder, logging, names};
use crate::wire::{self, BUILD_ID, FrameError, FromWorker, Role, ToWorker, WIRE_VERSION, Welcome};

/// A worker that knows who it is.
pub struct Entered {
    pub welcome: Welcome,
    pub board: Arc<Board>,
    /// Those of all API slots, in their order; the scribe's own.
    pub listeners: Vec<OwnedFd>,
    pub control: Control,
}

/// Takes over what the supervisor handed on. Ends the process with a reason if that fails: first thing in
/// `main`, before any thread.
pub fn enter(role: Role) -> Entered {
    match try_enter(role) {
        Ok(entered) => entered,
        Err(error) => {
            // There is no log yet: its settings are in the welcome that did not come.
            eprintln!("hotline-{}: {error}", role.name());
            let code = match error {
                EntryError::Orphan { .. } | EntryError::Board(_) | EntryError::Confinement(_) => ExitCode::BadConfig,
                EntryError::Frame(_) | EntryError::NotWelcome | EntryError::Io(_) => ExitCode::TryLater,
            };
            code.exit()
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum EntryError {
    #[error("descriptor {number} is missing: this program is started by `hotline serve`, not by hand")]
    Orphan { number: i32 },
    #[error("could not use the board: {0}")]
    Board(#[from] BoardError),
    #[error("could not talk to the supervisor: {0}")]
    Frame(#[from] FrameError),
    #[error("the supervisor did not welcome this worker")]
    NotWelcome,
    #[error(transparent)]
    Confinement(#[from] ConfinementError),
    #[error("could not prepare this process: {0}")]
    Io(#[from] io::Error),
}

fn try_enter(role: Role) -> Result<Entered, EntryError> {
    let inherited = |number| sys::inherited(number).map_err(|_| EntryError::Orphan { number });
    let control = inherited(CONTROL_FD)?;
    // A shell or a build tool may have left something else at this number.
    if !sys::is_socket(&control) {
        return Err(EntryError::Orphan { number: CONTROL_FD });
    }
    let mut control = UnixStream::from(control);
    let board = Arc::new(Board::map(inherited(BOARD_FD)?)?);
    sys::set_name(role.process_name());
    confinement::harden()?;
    sys::raise_open_files()?;

    let hello =
        FromWorker::Hello { wire_version: WIRE_VERSION, build_id: BUILD_ID.to_owned(), role, pid: std::process::id() };
    wire::write(&mut control, &hello)?;
    let Some(ToWorker::Welcome(welcome)) = wire::read(&mut control)? else { return Err(EntryError::NotWelcome) };
    let numbers = LISTENER_FD..LISTENER_FD + i32::from(welcome.listeners);
    let listeners = numbers.map(inherited).collect::<Result<_, _>>()?;
    let cell = board.cell(welcome.slot.cell);
    cell.beat(clock::now_ms());
    cell.set_role(role);
    cell.set_phase(WorkerPhase::Starting);

    let slot = welcome.slot.to_string();
    logging::start(&welcome.config.telemetry, &slot);
    let recorder = Recorder::install();
    count_panics(role, slot);
    // Before the first key, the first foreign byte and the first thread, which all later ones take after.
    let confinement = confinement::confine(role, &welcome.config)?;
    let deadline_ms = welcome.config.workers.drain_deadline_ms;
    let control = Control::new(control, recorder, deadline_ms, Arc::clone(&board), confinement)?;
    Ok(Entered { welcome: *welcome, board, listeners, control })
}

/// A caught panic is a bug that somebody must hear of: counted and logged with its place, never with
/// its message, which may quote a caller. The scribe goes no further: half a batch must not be continued.
fn count_panics(role: Role, slot: String) {
    std::panic::set_hook(Box::new(move |panic| {
        metrics::counter!(names::PANICS).increment(1);
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(%slot, %place, "panic");
        if role == Role::Scribe {
            std::process::abort();
        }
    }));
}
