//! `hotline reload`: asks for it and waits for the outcome.
use std::process::ExitCode as Code;

use anyhow::bail;
use hotline::config::Config;

use super::admin;
use super::output::print;
use crate::supervisor::protocol::{Ask, Told};

pub(super) fn ask(config: &Config, json: bool) -> anyhow::Result<Code> {
    match admin::change(&config.paths.run_dir, &Ask::Reload)? {
        Told::Changed { what } => {
            print(&if json { serde_json::json!({ "ok": true, "what": what }).to_string() } else { what })?;
            Ok(Code::SUCCESS)
        }
        _ => bail!("the supervisor answered something else"),
    }
}
