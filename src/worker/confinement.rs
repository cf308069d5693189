//! What each role gives up, and proof of what it gave up.
//!
//! A worker that is taken over by what it parses can do what is left here. It is given up early, while the
//! worker has one thread and no key: opening the store, the models and the certificate already happens
//! inside. That costs nothing, for a worker opens the same files again for as long as it lives.
use std::path::{Path, PathBuf};

use crate::config::{Config, Sandbox};
use crate::sys;
use crate::sys::sandbox::{self, Duty, FilterError, Folders, FoldersError};
use crate::wire::{Confinement, Role};

/// Why a worker could not be confined; it does not go on unconfined.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConfinementError {
    #[error(transparent)]
    Folders(#[from] FoldersError),
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
    let mut landlock_abi = 0;
    if config.workers.sandbox == Sandbox::On {
        landlock_abi = sandbox::keep_to_folders(&folders(role, config))?;
        sandbox::filter_calls(duties(role))?;
    }
    Ok(Confinement {
        uid: nix::unistd::geteuid().as_raw(),
        no_new_privileges: sandbox::has_no_new_privileges(),
        calls_filtered: sandbox::has_filtered_calls(),
        landlock_abi,
    })
}

fn duties(role: Role) -> &'static [Duty] {
    match role {
        Role::Api => &[Duty::Accept, Duty::ConnectUnix, Duty::ChooseCpu, Duty::YieldToOthers],
        Role::Background => &[Duty::ConnectUnix, Duty::YieldToOthers],
        Role::Scribe => &[Duty::Accept, Duty::YieldToOthers],
    }
}

/// The role's own folders, and what it must read beside them.
fn folders(role: Role, config: &Config) -> Folders {
    let paths = &config.paths;
    let machine = MACHINE.iter().map(PathBuf::from);
    match role {
        Role::Api => Folders {
            read: machine
                .chain([paths.knowledge_dir.clone(), paths.tlog_dir()])
                .chain(config.tls.certificate.iter().chain(&config.tls.key).flat_map(|file| renewed_in(file)))
                .collect(),
            write: vec![paths.blobs_dir(), paths.cache_dir(), paths.store_dir(), paths.tls_dir()],
        },
        Role::Background => Folders {
            read: machine
                .chain([paths.knowledge_dir.clone(), paths.models_dir.clone()])
                // A model named by its whole path lies elsewhere.
                .chain([paths.models_dir.join(&config.speech.model)])
                .chain(paths.admin_password_file.clone())
                .collect(),
            write: vec![paths.blobs_dir(), paths.store_dir()],
        },
        Role::Scribe => Folders { read: machine.collect(), write: vec![paths.audit_dir(), paths.tlog_dir()] },
    }
}

/// Where a renewed file will be: rules are for what a name leads to now, so the folder is let in. A link may
/// lead to another folder, where its next target will be as well.
fn renewed_in(file: &Path) -> Vec<PathBuf> {
    let target = std::fs::canonicalize(file).ok();
    let named = std::iter::once(file.to_owned());
    named.chain(target).filter_map(|file| file.parent().map(Path::to_owned)).collect()
}

/// What libraries ask of any machine: time zones, randomness, how many CPUs there are and how large their caches.
const MACHINE: [&str; 9] = [
    "/dev/null",
    "/dev/urandom",
    "/etc/localtime",
    "/etc/zoneinfo",
    "/proc/cpuinfo",
    "/proc/self/cgroup",
    "/sys/devices/system/cpu",
    "/sys/fs/cgroup",
    "/usr/share/zoneinfo",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LoadFrom;
    use std::fs;

    #[test]
    fn a_role_reaches_its_own_folders_and_never_the_keys() {
        let state = tempfile::tempdir().unwrap();
        let text = format!("[paths]\nstate_dir = {:?}\n", state.path());
        let config = Config::load(LoadFrom::text(&text)).unwrap();
        let keys = state.path().join("keys");
        let all: Vec<PathBuf> = config.paths.of_workers().into_iter().chain([keys]).collect();
        all.iter().for_each(|folder| fs::create_dir(folder).unwrap());
        let rows = [
            (Role::Api, &["blobs", "cache", "store", "tls"][..], &["tlog"][..]),
            (Role::Background, &["blobs", "store"], &[]),
            (Role::Scribe, &["audit", "tlog"], &[]),
        ];
        for (role, own, read) in rows {
            let (all, folders) = (all.clone(), folders(role, &config));
            std::thread::spawn(move || {
                if sandbox::keep_to_folders(&folders).unwrap() == 0 {
                    return println!("this kernel has no folder rules");
                }
                for folder in all {
                    let is_of = |names: &[&str]| names.iter().any(|name| folder.ends_with(name));
                    assert_eq!(fs::write(folder.join("file"), "").is_ok(), is_of(own), "{role:?} {folder:?}");
                    assert_eq!(fs::read_dir(&folder).is_ok(), is_of(own) || is_of(read), "{role:?} {folder:?}");
                }
            })
            .join()
            .unwrap();
        }
    }
}
