//! What each role gives up, and proof of what it gave up.
//!
//! A worker that is taken over by what it parses can do what is left here. It is given up early, while the
//! worker has one thread and no key: opening the store, the models and the certificate already happens
//! inside. That costs nothing, for a worker opens the same files again for as long as it lives.
use crate::config::{Config, Sandbox};
use crate::sys;
use crate::sys::sandbox::{self, Duty, FilterError};
use crate::wire::{Confinement, Role};

/// Why a worker could not be confined; it does not go on unconfined.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConfinementError {
    #[error("{0} (where the kernel has no such filter, set workers.sandbox = \"off\")")]
    Filter(#[from] FilterError),
}

/// What every worker is, sandbox or not: closed to debuggers, without core files, its files private.
///
/// No bound on file sizes and address space: the database and the log grow as the service is used, and
/// models are mapped and decoded into whatever they need.
pub(super) fn harden() -> std::io::Result<()> {
    sys::close_to_strangers()?;
    sys::keep_files_private();
    sys::bound_threads()
}

/// Gives up what the role does not need, and tells what the kernel says is in force.
pub(super) fn confine(role: Role, config: &Config) -> Result<Confinement, ConfinementError> {
    if config.workers.sandbox == Sandbox::On {
        sandbox::filter_calls(duties(role))?;
    }
    Ok(Confinement {
        uid: nix::unistd::geteuid().as_raw(),
        no_new_privileges: sandbox::has_no_new_privileges(),
        calls_filtered: sandbox::has_filtered_calls(),
        landlock_abi: 0,
    })
}

fn duties(role: Role) -> &'static [Duty] {
    match role {
        Role::Api => &[Duty::Accept, Duty::ConnectUnix, Duty::ChooseCpu],
        Role::Background => &[Duty::ConnectUnix, Duty::YieldToOthers],
        Role::Scribe => &[Duty::Accept],
    }
}
