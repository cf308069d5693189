//! `hotline status`: who lives in which slot and how they are.
use std::process::ExitCode as Code;

use hotline::config::Config;
use hotline::wire::{Confinement, LogKeeping};

use super::admin;
use super::output::{bytes, print, seconds, table};
use crate::supervisor::protocol::{Status, WorkerStatus};

pub(super) fn show(config: &Config, json: bool) -> anyhow::Result<Code> {
    let status = admin::status(&config.paths.run_dir)?;
    print(&if json { serde_json::to_string(&status)? } else { page(&status) })?;
    Ok(Code::SUCCESS)
}

fn page(status: &Status) -> String {
    let supervisor = &status.supervisor;
    let mut rows = vec![HEADING.map(str::to_owned).to_vec()];
    rows.extend(status.workers.iter().map(row));
    format!(
        "hotline {}, pid {}, up {}, https://{}, metrics http://{}/metrics\n\n{}",
        supervisor.version,
        supervisor.pid,
        seconds(supervisor.uptime_seconds),
        status.address,
        status.metrics,
        table(&rows)
    ) + &status.audit.iter().flat_map(kept).map(|line| format!("\n{line}")).collect::<String>()
}

/// What is to be said of the keeping of the audit log, if anything is.
fn kept(log: &LogKeeping) -> Vec<String> {
    let mut lines: Vec<String> = log
        .holds
        .iter()
        .map(|hold| format!("audit log: hold {} since {} by {}; nothing is disposed of", hold.seq, hold.since, hold.by))
        .collect();
    if log.disposed > 0 {
        lines.push(format!("audit log: records 1 to {} were disposed of at {}", log.disposed, log.disposed_at));
    }
    lines.extend(log.impediment.iter().map(|reason| format!("audit log: nothing is disposed of: {reason}")));
    lines
}

fn row(worker: &WorkerStatus) -> Vec<String> {
    let phase = if worker.degraded { format!("{} (degraded)", worker.phase) } else { worker.phase.clone() };
    vec![
        worker.slot.clone(),
        worker.role.clone(),
        worker.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
        phase,
        worker.restarts.to_string(),
        seconds(worker.uptime_seconds),
        worker.connections.to_string(),
        worker.backlog.to_string(),
        bytes(worker.rss_bytes),
        worker.confinement.map_or_else(|| "-".to_owned(), held),
        worker.last_end.clone(),
    ]
}

/// What holds a worker, in few words.
fn held(by: Confinement) -> String {
    let mut parts = vec![format!("uid {}", by.uid)];
    parts.extend(by.calls_filtered.then(|| "calls".to_owned()));
    parts.extend((by.landlock_abi > 0).then(|| format!("folders (Landlock {})", by.landlock_abi)));
    parts.join(", ")
}

const HEADING: [&str; 11] =
    ["SLOT", "ROLE", "PID", "PHASE", "RESTARTS", "UPTIME", "CONNECTIONS", "BACKLOG", "MEMORY", "HELD BY", "LAST END"];
