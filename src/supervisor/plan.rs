//! What workers are started with: settings and programs. A change of either is a new plan, tried on one
//! slot after the other and taken back if it does not work.
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hotline::config::{Config, Workers};
use hotline::lifecycle::Patience;
use hotline::sys::Program;
use hotline::wire::Role;

use super::StartError;

/// The settings and the executables that belong together.
pub(super) struct Plan {
    pub(super) config: Config,
    programs: std::rc::Rc<Programs>,
}

/// Our own executable and the workers beside it, held open: a respawn runs what was installed when the
/// plan was made, whatever has been put in its place since.
pub(super) struct Programs {
    pub(super) own: Program,
    workers: [(Role, Program); 3],
}

impl Plan {
    pub(super) fn new(config: Config, programs: std::rc::Rc<Programs>) -> Self {
        Self { config, programs }
    }

    /// The same programs under other settings.
    pub(super) fn with_config(&self, config: Config) -> Self {
        Self { config, programs: std::rc::Rc::clone(&self.programs) }
    }

    pub(super) fn programs(&self) -> &Programs {
        &self.programs
    }

    pub(super) fn program(&self, role: Role) -> &Program {
        let found = self.programs.workers.iter().find(|(of, _)| *of == role);
        &found.expect("every role has its program").1
    }

    pub(super) fn patience(&self) -> Patience {
        patience(&self.config.workers)
    }
}

impl Programs {
    /// Opens the executable at `own` and the workers in the same folder.
    pub(super) fn open(own: &Path) -> Result<Self, StartError> {
        let open = |path: PathBuf| match Program::open(&path) {
            Ok(program) => Ok(program),
            Err(source) => Err(StartError::Program { path, source }),
        };
        let worker = |role: Role| {
            let program = open(own.with_file_name(format!("hotline-{}", role.name())))?;
            Ok::<_, StartError>((role, program))
        };
        Ok(Self {
            own: open(own.to_owned())?,
            workers: [worker(Role::Scribe)?, worker(Role::Background)?, worker(Role::Api)?],
        })
    }
}

/// Where this executable was started from. The name counts, not the file: an upgrade puts another file there.
pub(super) fn own_path() -> io::Result<PathBuf> {
    let path = std::env::current_exe()?;
    let name = path.to_string_lossy();
    Ok(name.strip_suffix(" (deleted)").map_or_else(|| path.clone(), PathBuf::from))
}

pub(super) fn patience(workers: &Workers) -> Patience {
    Patience {
        ready_within: Duration::from_millis(workers.ready_within_ms),
        drain_deadline: Duration::from_millis(workers.drain_deadline_ms),
        heartbeat_late: Duration::from_millis(workers.heartbeat_late_ms),
        reset_after: Duration::from_millis(workers.backoff_reset_ms),
    }
}
