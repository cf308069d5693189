//! Sole writer of the audit log, started by `hotline serve`.
#![forbid(unsafe_code)]

use std::os::unix::net::UnixListener;

use hotline::board::WorkerPhase;
use hotline::lifecycle::ExitCode;
use hotline::vault::KeyClass;
use hotline::wire::Role;
use hotline::worker::{Entered, Incoming, enter};
use hotline_scribe::{Ended, Scribe, Settings, drain};

fn main() -> std::process::ExitCode {
    let Entered { welcome, board, listener, mut control } = enter(Role::Scribe);
    let slot = welcome.slot;
    let settings = Settings {
        folder: welcome.config.paths.state_dir.join("audit"),
        segment_bytes_max: welcome.config.audit.segment_bytes_max,
        source: format!("{slot}@{:016x}.{}", welcome.boot_id, welcome.generation),
        cell: slot.cell,
    };
    let versions = match control.key(KeyClass::Audit) {
        Ok(versions) => versions,
        Err(error) => {
            tracing::error!(%error, "could not fetch the audit key");
            return ExitCode::TryLater.into();
        }
    };
    let (mut asker, heard) = drain().expect("a starting process can have two descriptors");
    let listener = UnixListener::from(listener.expect("`enter` gives the scribe its listener"));
    listener.set_nonblocking(true).expect("a socket can be made non-blocking");
    let scribe = match Scribe::open(listener, heard, board.clone(), &versions, settings) {
        Ok(scribe) => scribe,
        Err(error) => {
            tracing::error!(%error, "could not take the audit log over");
            return ExitCode::TryLater.into();
        }
    };
    drop(versions);
    let sender = control.serve(move |incoming| {
        if let Incoming::Drain { deadline_ms } = incoming {
            // The last tenth is for leaving.
            asker.ask(deadline_ms - deadline_ms / 10);
        }
    });
    board.cell(slot.cell).set_phase(WorkerPhase::Serving);
    sender.ready();
    let ended = scribe.run();
    sender.drained();
    match ended {
        Ended::Clean => ExitCode::Clean.into(),
        Ended::Unwritten(_) => ExitCode::TryLater.into(),
    }
}
