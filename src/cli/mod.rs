//! The command line: what people and scripts type. Every command takes `--config` and `--json`.
//!
//! Offline commands read files; online ones ask the running supervisor over the admin socket, or the
//! service itself over HTTPS. Nothing secret is ever an argument.
mod admin;
mod alerts;
mod audit;
mod call;
mod certificate;
mod change;
mod errand;
mod health;
mod https;
mod keys;
mod offline_keys;
mod output;
mod policy;
mod preflight;
mod settings;
mod status;
mod subject;
mod token;
mod top;
mod user;

use std::path::PathBuf;
use std::process::ExitCode as Code;

use clap::{Parser, Subcommand};
use hotline::lifecycle::ExitCode;
use hotline::sys::Berth;
use hotline::wire::BUILD_ID;

use crate::supervisor::{self, protocol::Ask};

/// The HTTPS service of a legal hotline.
#[derive(Parser)]
#[command(name = "hotline", version = env!("CARGO_PKG_VERSION"))]
struct Arguments {
    /// Settings to use; else $HOTLINE_CONFIG, config/hotline.toml, /etc/hotline/hotline.toml, built-in defaults.
    #[arg(long, global = true, value_name = "FILE", env = "HOTLINE_CONFIG")]
    config: Option<PathBuf>,
    /// Answer in JSON, for programs.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the service; prints `ready https://ADDRESS` when every slot serves.
    Serve {
        /// Where an earlier image of this process left what it knows.
        #[arg(long, hide = true, value_name = "DESCRIPTOR", value_parser = berth)]
        handover: Option<Berth>,
    },
    /// Name every mistake in the settings at once, without starting anything.
    CheckConfig {
        /// As --config.
        file: Option<PathBuf>,
    },
    /// What the supervisor has its settings read by.
    #[command(hide = true)]
    Preflight,
    /// What the supervisor has its keys changed by.
    #[command(hide = true)]
    Errand,
    /// Read settings and certificates again, without losing a connection; on any mistake nothing changes.
    Reload,
    /// Go on as the build that is installed now, without losing a connection; if it fails, as before.
    Upgrade,
    /// Show slots, pids, phases, restarts, connections, memory.
    Status,
    /// Watch slots, rates, latencies and queues live; q leaves.
    Top(top::TopArguments),
    /// Ask the service whether it can do its work: exit code 0 or 1.
    Health {
        /// `https://host:port[/path]`; else the running service of these settings.
        url: Option<String>,
    },
    /// Make a bearer token for automation. The act is recorded.
    Token(token::TokenArguments),
    /// Let people in, or out: the way in while nobody can log in. Every act is recorded.
    User {
        #[command(subcommand)]
        command: user::UserCommand,
    },
    /// What the policies say: who may do what, and why.
    Policy {
        #[command(subcommand)]
        command: policy::PolicyCommand,
    },
    /// What cannot wait: tell those who look after it until one of them says so
    Alerts {
        #[command(subcommand)]
        command: alerts::AlertsCommand,
    },
    /// Forget somebody whose matter is kept. Every act is recorded.
    Subject {
        #[command(subcommand)]
        command: subject::SubjectCommand,
    },
    /// Place a recording as a call and show the case that comes of it.
    Call(call::CallArguments),
    /// Read or prove the audit log.
    Audit {
        #[command(subcommand)]
        command: audit::AuditCommand,
    },
    /// See, rotate, check and end the keys that everything is sealed under. Every act is recorded.
    Keys {
        #[command(subcommand)]
        command: keys::KeysCommand,
    },
    /// Show version and build.
    Version,
}

/// Runs what was typed.
pub(crate) fn run() -> Code {
    let arguments = Arguments::parse();
    match dispatch(arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("hotline: {error:#}");
            Code::FAILURE
        }
    }
}

fn dispatch(arguments: Arguments) -> anyhow::Result<Code> {
    let Arguments { config: file, json, command } = arguments;
    match command {
        Command::Version => version(json),
        Command::CheckConfig { file: named } => settings::check(named.or(file), json),
        Command::Preflight => preflight::answer(file),
        Command::Errand => errand::run(),
        Command::Serve { handover: Some(berth) } => ended(supervisor::resume(berth)),
        command => {
            let file = settings::find(file);
            let config = match &command {
                Command::Serve { .. } => settings::usable(file.clone())?,
                _ => settings::load(file.clone()),
            };
            let config = match config {
                Ok(config) => config,
                Err(errors) => {
                    eprint!("{errors}");
                    return Ok(ExitCode::BadConfig.into());
                }
            };
            match command {
                Command::Serve { .. } => ended(supervisor::run(config, file)),
                Command::Reload => change::ask(&config, &Ask::Reload, json),
                Command::Upgrade => change::ask(&config, &Ask::Upgrade, json),
                Command::Status => status::show(&config, json),
                Command::Top(arguments) => top::run(&config, &arguments, json),
                Command::Health { url } => health::ask(&config, url.as_deref(), json),
                Command::Token(arguments) => token::mint(&config, &arguments, json),
                Command::User { command } => user::run(&config, command, json),
                Command::Policy { command } => policy::run(&config, command, json),
                Command::Alerts { command } => alerts::run(&config, command, json),
                Command::Subject { command } => subject::run(&config, command, json),
                Command::Call(arguments) => call::place(&config, &arguments, json),
                Command::Audit { command } => audit::run(&config, &command, json),
                Command::Keys { command } => keys::run(&config, &command, json),
                Command::CheckConfig { .. } | Command::Errand | Command::Preflight | Command::Version => {
                    Ok(Code::SUCCESS)
                }
            }
        }
    }
}

fn berth(text: &str) -> Result<Berth, &'static str> {
    Berth::parse(text).ok_or("not a descriptor of ours")
}

fn ended(outcome: Result<ExitCode, supervisor::StartError>) -> anyhow::Result<Code> {
    match outcome {
        Ok(code) => Ok(code.into()),
        Err(error) => {
            eprintln!("hotline: {error}");
            Ok(error.exit_code().into())
        }
    }
}

fn version(json: bool) -> anyhow::Result<Code> {
    let version = env!("CARGO_PKG_VERSION");
    let text = if json {
        serde_json::json!({ "version": version, "build": BUILD_ID }).to_string()
    } else {
        format!("hotline {version} (build {BUILD_ID})")
    };
    output::print(&text)?;
    Ok(Code::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn options_for_all_commands_go_before_or_after() {
        for line in [["hotline", "--json", "status"], ["hotline", "status", "--json"]] {
            assert!(Arguments::try_parse_from(line).unwrap().json);
        }
        let line = ["hotline", "audit", "tail", "-n", "5", "--config", "x.toml"];
        assert_eq!(Arguments::try_parse_from(line).unwrap().config, Some(PathBuf::from("x.toml")));
    }
}
