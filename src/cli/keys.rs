//! `hotline keys …`: what keys there are, and changing them. Asks the running service; where none runs, does it here.
use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::process::ExitCode as Code;

use anyhow::bail;
use hotline::config::Config;
use hotline::lifecycle::clock;
use hotline::vault::{KeyClass, KeyState, Keyring, Listing};
use hotline::wire::SealedCount;

use super::output::{print, table};
use super::{admin, offline_keys};
use crate::supervisor::protocol::{Ask, KeysAsk, Told};

#[derive(clap::Subcommand)]
pub(super) enum KeysCommand {
    /// Show every version of every key and what becomes of it; no key is shown.
    List,
    /// Open every key and say what wraps them.
    Check,
    /// Put a new version in place of a data key, or of the key over the keys.
    Rotate {
        /// audit, cache, call, case, person, token; or kek, the key over the keys.
        #[arg(default_value = "kek", value_name = "CLASS", value_parser = rotatable)]
        what: What,
    },
    /// Show how much is still sealed under former versions; it is sealed anew in the background.
    Rewrap,
    /// End a former version for good. Refused while anything is sealed under it.
    Destroy {
        #[arg(value_name = "CLASS", value_parser = class)]
        class: KeyClass,
        #[arg(value_name = "VERSION")]
        version: u16,
    },
}

#[derive(Clone, Copy)]
pub(super) enum What {
    Kek,
    Class(KeyClass),
}

pub(super) fn run(config: &Config, command: &KeysCommand, json: bool) -> anyhow::Result<Code> {
    let ask = match command {
        KeysCommand::List => KeysAsk::List,
        KeysCommand::Check => KeysAsk::Check,
        KeysCommand::Rotate { what: What::Kek } => KeysAsk::RotateKek,
        KeysCommand::Rotate { what: What::Class(class) } => KeysAsk::Rotate { class: *class },
        KeysCommand::Rewrap => KeysAsk::Sealed,
        KeysCommand::Destroy { class, version } => KeysAsk::Destroy { class: *class, version: *version },
    };
    let told =
        if is_running(config) { admin::change(&config.paths.run_dir, &Ask::Keys { ask })? } else { here(config, ask)? };
    print(&match told {
        Told::Keys(listing) if json => serde_json::to_string(&listing)?,
        Told::Keys(listing) => page(&listing),
        Told::Sealed { counts } if json => serde_json::to_string(&counts)?,
        Told::Sealed { counts } => {
            sealed_page(&counts, &Keyring::open(&config.paths.state_dir, &config.keys)?.listing())
        }
        Told::Changed { what } if json => serde_json::json!({ "ok": true, "what": what }).to_string(),
        Told::Changed { what } => what,
        _ => bail!("the supervisor answered something else"),
    })?;
    Ok(Code::SUCCESS)
}

/// Somebody listens, or may not be asked: both are for them to say.
fn is_running(config: &Config) -> bool {
    let asked = UnixStream::connect(config.paths.run_dir.join("admin.sock"));
    !matches!(asked, Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused))
}

fn here(config: &Config, ask: KeysAsk) -> anyhow::Result<Told> {
    match ask {
        KeysAsk::List => Ok(Told::Keys(Keyring::open(&config.paths.state_dir, &config.keys)?.listing())),
        KeysAsk::Sealed => bail!("the service is not running; only it looks into its store"),
        ask => Ok(Told::Changed { what: offline_keys::perform(config, ask)? }),
    }
}

fn page(listing: &Listing) -> String {
    let made = |at_ms: u64| clock::rfc3339(at_ms.cast_signed());
    let mut rows = vec![["KEY", "VERSION", "STATE", "MADE", "WRAPPED BY"].map(str::to_owned).to_vec()];
    rows.extend(listing.keks.iter().map(|kek| {
        let state = kek.state.name().to_owned();
        vec!["kek".to_owned(), kek.version.to_string(), state, made(kek.made_at_ms), kek.id.clone()]
    }));
    rows.extend(listing.keys.iter().map(|key| {
        let by = if key.state.opens() { format!("kek {}", key.kek) } else { "-".to_owned() };
        let (name, state) = (key.class.name().to_owned(), key.state.name().to_owned());
        vec![name, key.version.to_string(), state, made(key.made_at_ms), by]
    }));
    table(&rows)
}

fn sealed_page(counts: &[SealedCount], listing: &Listing) -> String {
    let state = |count: &SealedCount| {
        let key = listing.keys.iter().find(|key| (key.class, key.version) == (count.class, count.version));
        key.map_or("unknown", |key| key.state.name())
    };
    let mut rows = vec![["KEY", "VERSION", "STATE", "SEALED VALUES"].map(str::to_owned).to_vec()];
    rows.extend(counts.iter().map(|count| {
        let name = count.class.name().to_owned();
        vec![name, count.version.to_string(), state(count).to_owned(), count.count.to_string()]
    }));
    let left: u64 =
        counts.iter().filter(|count| state(count) == KeyState::DecryptOnly.name()).map(|count| count.count).sum();
    format!("{}{left} values are to be sealed anew\n", table(&rows))
}

fn rotatable(text: &str) -> Result<What, String> {
    if text == "kek" { Ok(What::Kek) } else { class(text).map(What::Class) }
}

fn class(text: &str) -> Result<KeyClass, String> {
    let names = || KeyClass::ALL.map(KeyClass::name).join(", ");
    KeyClass::named(text).ok_or_else(|| format!("is no class of keys; there are {}", names()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_read_by_name() {
        assert!(matches!(rotatable("kek"), Ok(What::Kek)));
        assert!(matches!(rotatable("case"), Ok(What::Class(KeyClass::Case))));
        assert!(class("kek").is_err_and(|said| said.contains("blind-index")));
    }
}
