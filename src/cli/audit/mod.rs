//! `hotline audit …`: works on the files alone, whether the service runs or not; all but what keeps records.
//!
//! Verifying needs no secret. Where the keyring can be read (the service's own user), checkpoints are
//! authenticated too and the details of records are shown; elsewhere they stay sealed.
mod export;
mod keeping;
mod prove;

use std::path::PathBuf;
use std::process::ExitCode as Code;

use hotline::audit::{self, AuditKeys, FirstBad, VerifyError};
use hotline::config::Config;
use hotline::vault::{KeyClass, Keyring};
use hotline::wire::LogAct;
use serde_json::{Value, json};

use super::output::{print, table};
use hotline::audit::PublishedLog;
use hotline::tlog::Store;

#[derive(clap::Subcommand)]
pub(super) enum AuditCommand {
    /// Prove that no record was changed, removed, repeated or moved; name the first bad one.
    Verify {
        /// A public key that may have signed the published head; else those of the keyring.
        #[arg(long = "key", value_name = "KEY")]
        keys: Vec<String>,
    },
    /// Print the public key of the transparency log; former ones follow it.
    Key {
        /// As PEM, for openssl.
        #[arg(long)]
        pem: bool,
    },
    /// Write a record and the proof that it is in the log, as files for somebody else.
    Prove {
        /// The record's number.
        seq: u64,
        /// Names the files, without their endings; default: audit-SEQ.
        #[arg(long, value_name = "PATH")]
        out: Option<PathBuf>,
    },
    /// Check a record against its proof: needs the public key and nothing else.
    Check {
        entry: PathBuf,
        proof: PathBuf,
        /// The log's public key; else those of the keyring.
        #[arg(long = "key", value_name = "KEY")]
        keys: Vec<String>,
    },
    /// Write records for other systems: once, or as they come.
    Export(export::ExportArguments),
    /// Check that the published log goes on from a head that was kept, with nothing changed or removed.
    Extends {
        /// A copy of `tlog/checkpoint` from earlier.
        checkpoint: PathBuf,
        /// The log's public key; else those of the keyring.
        #[arg(long = "key", value_name = "KEY")]
        keys: Vec<String>,
    },
    /// Keep every record until the hold is released. Goes on record.
    Hold {
        /// Why; sealed with the record.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// End a hold. Goes on record.
    Release {
        /// Why; sealed with the record.
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// The hold's number, where there is more than one.
        #[arg(long, value_name = "SEQ")]
        hold: Option<u64>,
    },
    /// Dispose of what is past its retention now, also after the service was off for long or its clock was put right.
    Dispose {
        /// Today's date (UTC), from somewhere else than this machine: it vouches for its clock.
        #[arg(long, value_name = "YYYY-MM-DD")]
        today: String,
    },
    /// Show the newest records.
    Tail {
        /// How many.
        #[arg(short = 'n', long = "lines", default_value_t = 20, value_name = "COUNT")]
        count: u32,
    },
}

pub(super) fn run(config: &Config, command: &AuditCommand, json: bool) -> anyhow::Result<Code> {
    let keys = keys_if_allowed(config);
    match command {
        AuditCommand::Verify { keys: given } => verify(config, keys.as_ref(), given, json),
        AuditCommand::Export(arguments) => export::run(config, arguments),
        AuditCommand::Key { pem } => prove::key(config, *pem, json),
        AuditCommand::Prove { seq, out } => prove::prove(config, *seq, out.as_deref(), json),
        AuditCommand::Check { entry, proof, keys } => prove::check(config, entry, proof, keys, json),
        AuditCommand::Extends { checkpoint, keys } => prove::extends(config, checkpoint, keys, json),
        AuditCommand::Hold { reason } => keeping::act(config, LogAct::Hold { reason: reason.clone() }, json),
        AuditCommand::Release { reason, hold } => {
            keeping::act(config, LogAct::Release { hold: *hold, reason: reason.clone() }, json)
        }
        AuditCommand::Dispose { today } => keeping::act(config, LogAct::Dispose { today: today.clone() }, json),
        AuditCommand::Tail { count } => tail(config, *count as usize, keys.as_ref(), json),
    }
}

/// Exit code 0 for a log in order, 1 for one that is not.
fn verify(config: &Config, keys: Option<&AuditKeys>, given: &[String], json: bool) -> anyhow::Result<Code> {
    let (store, trusted) = (Store::new(config.paths.tlog_dir()), prove::trusted(config, given)?);
    let published = PublishedLog { store: &store, keys: &trusted };
    match audit::verify(&config.paths.audit_dir(), keys, Some(published)) {
        Ok(report) => {
            let mut shown = serde_json::to_value(&report)?;
            shown["ok"] = true.into();
            print(&if json {
                shown.to_string()
            } else {
                let how = if report.checkpoint_authenticated { "authenticated" } else { "not authenticated (no key)" };
                let by =
                    if report.published_signed { "signed by a trusted key" } else { "signature not checked (no key)" };
                let mut kept = String::new();
                if report.disposed > 0 {
                    kept += &format!("\ndisposed of: records 1 to {}, as the log says", report.disposed);
                }
                if report.holds > 0 {
                    kept += &format!("\nlegal holds: {}", report.holds);
                }
                format!(
                    "in order: {} records in {} segments, checkpoint at {} {how}\npublished: {} records, {by}{kept}\nlast hash {}",
                    report.records, report.segments, report.checkpoint_seq, report.published, report.last_hash
                )
            })?;
            Ok(Code::SUCCESS)
        }
        Err(VerifyError::Bad(bad)) => {
            print(&if json { json!({ "ok": false, "firstBad": bad }).to_string() } else { complaint(&bad) })?;
            Ok(Code::FAILURE)
        }
        Err(error) => Err(error.into()),
    }
}

fn complaint(bad: &FirstBad) -> String {
    format!("NOT in order\nfile    {}\nline    {}\nrecord  {}\nreason  {}", bad.file, bad.line, bad.seq, bad.reason)
}

fn tail(config: &Config, count: usize, keys: Option<&AuditKeys>, json: bool) -> anyhow::Result<Code> {
    let folder = config.paths.audit_dir();
    let records = audit::tail(&folder, count, keys)?;
    if records.len() < count {
        keeping::remark(config);
    }
    if records.is_empty() {
        eprintln!("hotline: no records in {}", folder.display());
        return Ok(Code::SUCCESS);
    }
    print(&if json { records.iter().map(|record| format!("{record}\n")).collect() } else { page(&records) })?;
    Ok(Code::SUCCESS)
}

fn page(records: &[Value]) -> String {
    let mut rows =
        vec![["SEQ", "WHEN", "ACTION", "OUTCOME", "ACTOR", "SUBJECT", "DETAILS"].map(str::to_owned).to_vec()];
    rows.extend(records.iter().map(row));
    table(&rows)
}

fn row(record: &Value) -> Vec<String> {
    let text = |name: &str| record[name].as_str().unwrap_or("-").to_owned();
    let details = match &record["details"] {
        Value::String(sealed) if sealed.is_empty() => "-".to_owned(),
        Value::String(_) => "(sealed)".to_owned(),
        Value::Null => "(unreadable: see `hotline audit verify`)".to_owned(),
        open => open.to_string(),
    };
    let seq = record["seq"].as_u64().map_or_else(|| "?".to_owned(), |seq| seq.to_string());
    vec![seq, text("timestamp"), text("action"), text("outcome"), text("actor"), text("subject"), details]
}

/// The keyring is for its owner's eyes; whoever cannot read it gets sealed details.
fn keys_if_allowed(config: &Config) -> Option<AuditKeys> {
    let keyring = Keyring::open(&config.paths.state_dir, &config.keys).ok()?;
    AuditKeys::new(keyring.unwrap(KeyClass::Audit).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_opened_and_unreadable_details_are_told_apart() {
        let record = |details: Value| json!({ "seq": 7, "action": "case.read", "details": details });
        let shown = |details| row(&record(details)).pop().unwrap();
        assert_eq!(shown(json!("c2VhbGVk")), "(sealed)");
        assert_eq!(shown(json!("")), "-");
        assert_eq!(shown(json!({ "why": "asked" })), r#"{"why":"asked"}"#);
        assert!(row(&json!({ "unreadable": true })).pop().unwrap().contains("audit verify"));
    }

    #[test]
    fn without_a_keyring_details_stay_sealed() {
        let state = tempfile::tempdir().unwrap();
        let mut config = Config::load(hotline::config::LoadFrom::text("")).unwrap();
        config.paths.state_dir = state.path().to_owned();
        assert!(keys_if_allowed(&config).is_none());
    }
}
