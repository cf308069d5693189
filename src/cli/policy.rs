//! `hotline policy`: what the policies say, and whether a folder of them can be used.
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode as Code};

use anyhow::{Context, bail};
use hotline::config::{Config, ConfigErrors, Mistake};
use hotline::wire::{PolicyAsk, PolicyQuestion, PolicyTold};

use super::admin;
use super::output::{print, table};
use crate::supervisor::protocol::{Ask, Told};

#[derive(clap::Subcommand)]
pub(super) enum PolicyCommand {
    /// Look for mistakes in a folder of policies, without starting anything.
    Check {
        /// Else the folder of the settings.
        folder: Option<PathBuf>,
    },
    /// Say whether somebody may do something, and which policies decide it. The question is recorded.
    Explain(Question),
    /// Show which role may do what, by the policies in force.
    Matrix,
}

#[derive(clap::Args)]
pub(super) struct Question {
    #[arg(long)]
    user: String,
    /// case_access, case_write, ai_use, …; `policy matrix` has them all.
    #[arg(long)]
    action: String,
    /// A case by id or number; without one it is asked whether they may at all.
    #[arg(long)]
    case: Option<String>,
    /// What the user would state in X-Purpose.
    #[arg(long)]
    purpose: Option<String>,
    /// How many factors the user's session would have shown.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=2))]
    factors: u8,
}

pub(super) fn run(config: &Config, command: PolicyCommand, json: bool) -> anyhow::Result<Code> {
    let ask = match command {
        PolicyCommand::Check { folder } => return check(&folder.unwrap_or_else(|| config.paths.policy_dir.clone())),
        PolicyCommand::Matrix => PolicyAsk::Matrix,
        PolicyCommand::Explain(Question { user, action, case, purpose, factors }) => {
            PolicyAsk::Explain(PolicyQuestion { user, action, case, purpose, factors })
        }
    };
    let Told::Policy { told } = admin::ask(&config.paths.run_dir, &Ask::Policy { ask })? else {
        bail!("the supervisor answered something else");
    };
    if json {
        print(&serde_json::to_string(&told)?)?;
        return Ok(Code::SUCCESS);
    }
    match told {
        PolicyTold::Matrix { matrix, .. } => print(matrix.trim_end())?,
        PolicyTold::Explained(told) => {
            let mut lines = vec![if told.allowed { "allowed" } else { "denied" }.to_owned()];
            if told.reasons.is_empty() && told.errors.is_empty() {
                lines.push("  no policy permits it".to_owned());
            }
            lines.extend(told.reasons.into_iter().map(|(policy, why)| match why {
                Some(why) => format!("  {policy}: {why}"),
                None => format!("  {policy}"),
            }));
            lines.extend(told.errors.into_iter().map(|error| format!("  could not be evaluated: {error}")));
            let facts = told.facts.into_iter().map(|(name, value)| vec![name, value]).collect::<Vec<_>>();
            print(&format!("{}\n{}", lines.join("\n"), table(&facts)))?;
        }
    }
    Ok(Code::SUCCESS)
}

/// The engine is part of the API worker and not of this program, so this process becomes that one.
fn check(folder: &Path) -> anyhow::Result<Code> {
    let mut worker = checker(folder)?;
    let error = worker.exec();
    Err(error).with_context(|| format!("could not run {}", worker.get_program().display()))
}

/// What keeps the service from working by the policies of its settings.
pub(super) fn mistakes(config: &Config, file: Option<&Path>) -> anyhow::Result<Result<(), ConfigErrors>> {
    let folder = &config.paths.policy_dir;
    let mut worker = checker(folder)?;
    let answer = worker.output().with_context(|| format!("could not run {}", worker.get_program().display()))?;
    if answer.status.success() {
        return Ok(Ok(()));
    }
    let said = String::from_utf8_lossy(&answer.stderr);
    Ok(Err(ConfigErrors(vec![Mistake {
        place: file.map_or_else(|| "built-in defaults".to_owned(), |file| file.display().to_string()),
        key: "paths.policy_dir".to_owned(),
        value: folder.display().to_string(),
        remedy: said.trim().trim_start_matches("hotline: ").to_owned(),
    }])))
}

#[expect(clippy::disallowed_methods, reason = "nothing is open yet that could be handed on")]
fn checker(folder: &Path) -> anyhow::Result<Command> {
    let mut worker = Command::new(std::env::current_exe()?.with_file_name("hotline-api"));
    worker.arg("check-policy").arg(folder);
    Ok(worker)
}
