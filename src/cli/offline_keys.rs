//! Changing keys while no service runs: under the supervisor's own lock, as the account that owns the state, and never
//! without its record in the audit log.
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;

use anyhow::{Context, anyhow, bail, ensure};
use hotline::audit::{AuditKeys, Batch, LogWriter, Outcome};
use hotline::config::Config;
use hotline::sys;
use hotline::vault::{KeyClass, Keyring, random_u64};

use crate::supervisor::errand::{Act, Request};
use crate::supervisor::key_work;
use crate::supervisor::protocol::KeysAsk;

/// Does it; tells what was done.
pub(super) fn perform(config: &Config, ask: KeysAsk) -> anyhow::Result<String> {
    let state_dir = &config.paths.state_dir;
    let owner = fs::metadata(state_dir).with_context(|| format!("there is no {}", state_dir.display()))?.uid();
    let us = nix::unistd::geteuid().as_raw();
    // What root writes here the service could not read.
    ensure!(owner == us, "run this as the user that owns {} (uid {owner})", state_dir.display());
    let lock =
        File::options().write(true).open(state_dir.join("supervisor.lock")).context("no service ran here yet")?;
    let _alone = sys::lock_file(lock)?.ok_or_else(|| anyhow!("a supervisor is starting or stopping; try again"))?;
    // A library of somebody else's is about to be loaded.
    sys::close_to_strangers()?;
    let acts: &[Act] = match ask {
        KeysAsk::Check => &[Act::Check],
        KeysAsk::RotateKek => &[Act::RotateKek],
        KeysAsk::Rotate { class } => &[Act::AddNext(class), Act::ActivateNext(class)],
        KeysAsk::Destroy { class: KeyClass::Case | KeyClass::Call | KeyClass::Person, .. } => {
            bail!("only the running service can tell whether anything is sealed under this key; start it first")
        }
        KeysAsk::Destroy { class, version } => &[Act::Destroy(class, version)],
        KeysAsk::List | KeysAsk::Sealed => &[],
    };
    put_on_record(config, ask, us)?;
    let mut what = String::new();
    for act in acts {
        what = Request::new(*act, config).perform().map_err(|failed| anyhow!(failed.reason))?.what;
    }
    Ok(what)
}

fn put_on_record(config: &Config, ask: KeysAsk, uid: u32) -> anyhow::Result<()> {
    let keyring = Keyring::open(&config.paths.state_dir, &config.keys)?;
    let keys = AuditKeys::new(keyring.unwrap(KeyClass::Audit)?).context("no audit key")?;
    let (mut log, opening) = LogWriter::open(&config.paths.audit_dir(), keys, config.audit.segment_bytes_max)?;
    let mut events = opening.events;
    events.push(key_work::event(ask, &format!("uid:{uid}"), Outcome::Allowed, String::new()));
    let source = format!("keys-0@{:016x}.1", random_u64()?);
    log.append(&[Batch { source, first_number: 1, events }])?;
    Ok(log.checkpoint()?)
}
