//! `hotline audit hold|release|dispose`: what keeps records, over the admin socket; and what is told of records that are
//! gone.
use std::process::ExitCode as Code;

use anyhow::bail;
use hotline::config::Config;
use hotline::tlog::{Pruned, Store, StoreError};
use hotline::wire::LogAct;

use super::super::admin;
use super::print;
use crate::supervisor::protocol::{Ask, Told};

pub(super) fn act(config: &Config, act: LogAct, json: bool) -> anyhow::Result<Code> {
    let told = admin::ask(&config.paths.run_dir, &Ask::Log { act })?;
    print(&match told {
        Told::Changed { what } if json => serde_json::json!({ "ok": true, "what": what }).to_string(),
        Told::Changed { what } => what,
        _ => bail!("the supervisor answered something else"),
    })?;
    Ok(Code::SUCCESS)
}

/// What is no longer there, for whoever asks for it or finds less than was asked for.
pub(super) fn gone(Pruned { minimum_index, since }: &Pruned) -> String {
    format!("records 1 to {minimum_index} were disposed of at {since}, being past their retention")
}

/// The store speaks of entries, people of records.
pub(super) fn in_words(error: StoreError) -> anyhow::Error {
    match error {
        StoreError::Pruned(pruned) => anyhow::anyhow!(gone(&pruned)),
        other => other.into(),
    }
}

/// Says on the side that the log begins later than it once did.
pub(super) fn remark(config: &Config) {
    if let Ok(Some(pruned)) = Store::new(config.paths.tlog_dir()).pruned() {
        eprintln!("hotline: {}", gone(&pruned));
    }
}
