//! `hotline alerts`: what cannot wait, told to those who look after it until one of them says so.
mod deliver;
mod ledger;
mod mail;
mod webhook;

use std::process::ExitCode as Code;

use anyhow::bail;
use hotline::config::Config;
use serde_json::json;

use super::admin;
use super::output::{print, table};
use crate::supervisor::protocol::{Ask, Told};

#[derive(clap::Subcommand)]
pub(super) enum AlertsCommand {
    /// Send alerts as the settings say, until stopped. Runs beside the service, as a service of its own.
    Deliver,
    /// Show what is open.
    List,
    /// Say that somebody looks after an alert: it is not sent again. The act is recorded.
    Acknowledge {
        /// Number of a record of the alert.
        seq: u64,
        /// What is done about it; goes on record, so name nobody.
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
}

pub(super) fn run(config: &Config, command: AlertsCommand, json: bool) -> anyhow::Result<Code> {
    match command {
        AlertsCommand::Deliver => deliver::run(config).map(|()| Code::SUCCESS),
        AlertsCommand::List => list(config, json),
        AlertsCommand::Acknowledge { seq, note } => {
            let told = admin::ask(&config.paths.run_dir, &Ask::Acknowledge { seq, note: note.unwrap_or_default() })?;
            print(&match told {
                Told::Changed { what } if json => json!({ "ok": true, "what": what }).to_string(),
                Told::Changed { what } => what,
                _ => bail!("the supervisor answered something else"),
            })?;
            Ok(Code::SUCCESS)
        }
    }
}

fn list(config: &Config, json: bool) -> anyhow::Result<Code> {
    let file = deliver::ledger_file(config);
    let Some(ledger) = deliver::read(&file)? else {
        bail!("no alerts are delivered here: there is no {}", file.display())
    };
    let shown = ledger.open.iter().map(|(seq, alert)| {
        let (sent, is_failing) = alert.fate();
        json!({
            "seq": seq, "lastSeq": alert.last_seq, "records": alert.records, "timestamp": alert.timestamp,
            "severity": alert.severity, "action": alert.action, "outcome": alert.outcome, "sent": sent,
            "failing": is_failing,
        })
    });
    let shown: Vec<_> = shown.collect();
    if json {
        print(&json!({ "seq": ledger.seq, "open": shown, "withoutPlace": ledger.overflow }).to_string())?;
    } else if shown.is_empty() {
        print(&format!("nothing is open, up to record {}", ledger.seq))?;
    } else {
        let mut rows =
            vec![["SEQ", "WHEN", "SEVERITY", "ACTION", "OUTCOME", "RECORDS", "SENT"].map(str::to_owned).to_vec()];
        rows.extend(ledger.open.iter().map(|(seq, alert)| {
            let (sent, is_failing) = alert.fate();
            vec![
                seq.to_string(),
                alert.timestamp.clone(),
                alert.severity.name().to_owned(),
                alert.action.clone(),
                alert.outcome.name().to_owned(),
                alert.records.to_string(),
                format!("{sent}{}", if is_failing { ", failing" } else { "" }),
            ]
        }));
        print(&table(&rows))?;
    }
    Ok(Code::SUCCESS)
}
