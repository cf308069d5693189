//! `hotline preflight`: reads the settings and what they point to, for the supervisor that started it.
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode as Code;

use anyhow::Context;
use hotline::config::{Config, Provider};
use hotline::sys::{self, CONTROL_FD};
use hotline::vault::Keyring;
use hotline::wire::{BUILD_ID, COMMON_GROUND};

use super::{certificate, settings};
use crate::supervisor::preflight::Report;

pub(super) fn answer(file: Option<PathBuf>) -> anyhow::Result<Code> {
    let stream = sys::inherited(CONTROL_FD).context("this command is started by the supervisor, not by hand")?;
    let verdict = settings::load(file).map_err(|mistakes| mistakes.to_string()).and_then(usable);
    let report = Report { build_id: BUILD_ID.to_owned(), common_ground: COMMON_GROUND, verdict };
    UnixStream::from(stream).write_all(&serde_json::to_vec(&report)?)?;
    Ok(Code::SUCCESS)
}

/// Whether workers could use what the settings point to.
fn usable(config: Config) -> Result<Config, String> {
    if let (Some(chain), Some(key)) = (&config.tls.certificate, &config.tls.key) {
        certificate::check(chain, key)?;
    }
    // With keys that do not open, whoever is started next could start nobody. Those in a token are left alone: the
    // supervisor has what it needs of them, and a token that is away must not keep the settings from changing.
    if config.keys.provider != Provider::Pkcs11 {
        let keyring = Keyring::open(&config.paths.state_dir, &config.keys);
        let opened = keyring.and_then(|keyring| keyring.data_keys());
        opened.map_err(|error| format!("could not open the keyring: {error}"))?;
    }
    Ok(config)
}
