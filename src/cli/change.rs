//! `hotline reload` and `hotline upgrade`: ask for a change of the running service and wait for the outcome.
use std::process::ExitCode as Code;

use anyhow::bail;
use hotline::config::Config;

use super::admin;
use super::output::print;
use crate::supervisor::protocol::{Ask, Told};

pub(super) fn ask(config: &Config, change: &Ask, json: bool) -> anyhow::Result<Code> {
    match admin::change(&config.paths.run_dir, change)? {
        Told::Changed { what } => {
            print(&if json { serde_json::json!({ "ok": true, "what": what }).to_string() } else { what })?;
            Ok(Code::SUCCESS)
        }
        _ => bail!("the supervisor answered something else"),
    }
}
