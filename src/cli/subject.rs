//! `hotline subject`: forgets whoever a case is about, over the admin socket. There is no way back.
use std::process::ExitCode as Code;

use anyhow::bail;
use hotline::config::Config;
use hotline::wire::SubjectAct;

use super::admin;
use super::output::print;
use crate::supervisor::protocol::{Ask, Told};

#[derive(clap::Subcommand)]
pub(super) enum SubjectCommand {
    /// Destroy the keys of whoever this case is about: nothing that was said of them opens again, in any case or call of
    /// theirs. Numbers, times and states stay.
    Erase {
        #[arg(value_name = "CASE_NUMBER")]
        case_number: String,
        /// Why; goes on record, so name nobody.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

pub(super) fn run(config: &Config, command: SubjectCommand, json: bool) -> anyhow::Result<Code> {
    let SubjectCommand::Erase { case_number, reason } = command;
    let told = admin::ask(&config.paths.run_dir, &Ask::Subject { act: SubjectAct::Erase { case_number, reason } })?;
    print(&match told {
        Told::Changed { what } if json => serde_json::json!({ "ok": true, "what": what }).to_string(),
        Told::Changed { what } => what,
        _ => bail!("the supervisor answered something else"),
    })?;
    Ok(Code::SUCCESS)
}
