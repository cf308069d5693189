//! What workers are started with: settings and programs. A change of either is a new plan, tried on one
//! slot after the other and taken back if it does not work.
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hotline::config::{Config, Workers};
use hotline::lifecycle::Patience;
use hotline::sys::{Berth, Program};
use hotline::wire::Role;

use super::StartError;
use super::handover::{Luggage, PlanRecord};

/// The settings and the executables that belong together.
pub(super) struct Plan {
    pub(super) config: Config,
    programs: std::rc::Rc<Programs>,
}

/// Our own executable and the workers beside it, held open: a respawn runs what was installed when the
/// plan was made, whatever has been put in its place since.
pub(super) struct Programs {
    /// Of all four: a worker that says something else is none of these.
    pub(super) build_id: String,
    pub(super) own: Program,
    workers: [Program; 3],
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
        let at = ROLES.iter().position(|of| *of == role).expect("every role has its program");
        &self.programs.workers[at]
    }

    /// For another image of the supervisor.
    pub(super) fn record(&self) -> PlanRecord {
        let Programs { build_id, own, workers: [scribe, background, api] } = &*self.programs;
        let programs = [own, scribe, background, api].map(Berth::of);
        PlanRecord { config: self.config.clone(), build_id: build_id.clone(), programs }
    }

    /// As another image of the supervisor had it.
    pub(super) fn resume(record: PlanRecord, luggage: &Luggage) -> io::Result<Self> {
        let [own, scribe, background, api] = record.programs;
        let held = |berth: Berth, name: &str| Program::held(luggage.copy(berth)?, name);
        let worker = |berth: Berth, role: Role| held(berth, &format!("hotline-{}", role.name()));
        let programs = Programs {
            build_id: record.build_id,
            own: held(own, "hotline")?,
            workers: [worker(scribe, ROLES[0])?, worker(background, ROLES[1])?, worker(api, ROLES[2])?],
        };
        Ok(Self::new(record.config, std::rc::Rc::new(programs)))
    }

    pub(super) fn patience(&self) -> Patience {
        patience(&self.config.workers)
    }
}

impl Programs {
    /// Opens the executable at `own` and the workers in the same folder.
    pub(super) fn open(own: &Path, build_id: &str) -> Result<Self, StartError> {
        let open = |path: PathBuf| match Program::open(&path) {
            Ok(program) => Ok(program),
            Err(source) => Err(StartError::Program { path, source }),
        };
        let worker = |role: Role| open(own.with_file_name(format!("hotline-{}", role.name())));
        Ok(Self {
            build_id: build_id.to_owned(),
            own: open(own.to_owned())?,
            workers: [worker(ROLES[0])?, worker(ROLES[1])?, worker(ROLES[2])?],
        })
    }
}

impl Programs {
    pub(super) fn all(&self) -> impl Iterator<Item = &Program> {
        std::iter::once(&self.own).chain(&self.workers)
    }

    /// Four times the same, for tests that start none.
    #[cfg(test)]
    pub(super) fn of_one(path: &Path) -> Self {
        let open = || Program::open(path).unwrap();
        Self { build_id: "0.0.0+test".to_owned(), own: open(), workers: [open(), open(), open()] }
    }
}

/// Where this executable was started from. The name counts, not the file: an upgrade puts another file there.
pub(super) fn own_path() -> io::Result<PathBuf> {
    let path = std::env::current_exe()?;
    let name = path.to_string_lossy();
    Ok(name.strip_suffix(" (deleted)").map_or_else(|| path.clone(), PathBuf::from))
}

/// In the order of `Programs::workers`.
const ROLES: [Role; 3] = [Role::Scribe, Role::Background, Role::Api];

pub(super) fn patience(workers: &Workers) -> Patience {
    Patience {
        ready_within: Duration::from_millis(workers.ready_within_ms),
        drain_deadline: Duration::from_millis(workers.drain_deadline_ms),
        heartbeat_late: Duration::from_millis(workers.heartbeat_late_ms),
        reset_after: Duration::from_millis(workers.backoff_reset_ms),
    }
}
