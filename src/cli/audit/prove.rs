//! `hotline audit key|prove|check|extends`: what an outsider needs to be shown that a record is in the log and that the
//! log never took anything back, and the means to check it without us.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode as Code;

use anyhow::{Context as _, bail};
use data_encoding::BASE64;
use hotline::config::Config;
use hotline::tlog::{self, Checkpoint, Proof, Signer, Store, Tree, Verifier};
use hotline::vault::{KeyClass, Keyring};
use serde_json::json;

use super::print;

/// The public keys of this log, the one that signs now first; empty where the keyring is not ours to read.
pub(super) fn keys(config: &Config) -> Vec<Verifier> {
    let secrets =
        Keyring::open(&config.paths.state_dir, &config.keys).and_then(|keyring| keyring.unwrap(KeyClass::LogSigning));
    let signers = secrets.unwrap_or_default().into_iter();
    let signers = signers.filter_map(|key| Signer::new(&config.audit.origin, &key.bytes));
    signers.map(|signer| signer.verifier().clone()).collect()
}

/// Keys that were given count alone; else those of the keyring.
pub(super) fn trusted(config: &Config, given: &[String]) -> anyhow::Result<Vec<Verifier>> {
    if given.is_empty() {
        return Ok(keys(config));
    }
    let parse = |text: &String| {
        Verifier::parse(text).with_context(|| format!("--key {text:?} is not a key such as `hotline audit key` prints"))
    };
    given.iter().map(parse).collect()
}

pub(super) fn key(config: &Config, pem: bool, json: bool) -> anyhow::Result<Code> {
    let keys = keys(config);
    if keys.is_empty() {
        bail!("the keyring in {} cannot be read, or has no signing key yet", config.paths.state_dir.display());
    }
    let shown: Vec<String> = if json {
        keys.iter().map(|key| json!({ "key": key.to_string(), "pem": as_pem(key) }).to_string()).collect()
    } else if pem {
        keys.iter().map(as_pem).collect()
    } else {
        keys.iter().map(Verifier::to_string).collect()
    };
    print(shown.join("\n").trim_end())?;
    Ok(Code::SUCCESS)
}

/// Writes the entry and its proof as files, for somebody else.
pub(super) fn prove(config: &Config, seq: u64, out: Option<&Path>, json: bool) -> anyhow::Result<Code> {
    let store = Store::new(config.paths.tlog_dir());
    let proven = seq.checked_sub(1).map_or(Ok(None), |index| store.prove(index));
    let Some((entry, proof)) = proven.map_err(super::keeping::in_words)? else {
        bail!("there is no record {seq} under the signed head yet");
    };
    let stem = out.map_or_else(|| PathBuf::from(format!("audit-{seq}")), Path::to_owned);
    let (entry_file, proof_file) = (stem.with_extension("entry.json"), stem.with_extension("tlog-proof"));
    fs::write(&entry_file, entry).with_context(|| format!("could not write {}", entry_file.display()))?;
    fs::write(&proof_file, proof.to_string()).with_context(|| format!("could not write {}", proof_file.display()))?;
    print(&if json {
        json!({ "seq": seq, "entry": entry_file, "proof": proof_file }).to_string()
    } else {
        format!("entry  {}\nproof  {}", entry_file.display(), proof_file.display())
    })?;
    Ok(Code::SUCCESS)
}

/// Exit code 0 if the entry is in the log, 1 if the proof does not show it. Needs neither service nor state.
pub(super) fn check(config: &Config, entry: &Path, proof: &Path, given: &[String], json: bool) -> anyhow::Result<Code> {
    let keys = trusted(config, given)?;
    if keys.is_empty() {
        bail!("no key to trust: give the log's public key with --key");
    }
    let bytes = fs::read(entry).with_context(|| format!("could not read {}", entry.display()))?;
    let text = fs::read_to_string(proof).with_context(|| format!("could not read {}", proof.display()))?;
    let checked = Proof::parse(&text).and_then(|proof| {
        let mut tried = keys.iter().map(|key| proof.check(&bytes, key).map(|head| (proof.index, head)));
        // The newest key's complaint, if none stands by it.
        let first = tried.next().unwrap_or(Err(tlog::ProofError::Malformed));
        first.or_else(|complaint| tried.find_map(Result::ok).ok_or(complaint))
    });
    match checked {
        Ok((index, head)) => {
            print(&if json {
                json!({ "ok": true, "seq": index + 1, "treeSize": head.size, "origin": head.origin }).to_string()
            } else {
                format!("in the log: record {} of {} in {}", index + 1, head.size, head.origin)
            })?;
            Ok(Code::SUCCESS)
        }
        Err(reason) => refuse(&reason.to_string(), json),
    }
}

/// Exit code 0 if the log, as published now, goes on from a head that somebody kept; 1 if it does not.
pub(super) fn extends(config: &Config, kept: &Path, given: &[String], json: bool) -> anyhow::Result<Code> {
    let keys = trusted(config, given)?;
    let text = fs::read_to_string(kept).with_context(|| format!("could not read {}", kept.display()))?;
    let store = Store::new(config.paths.tlog_dir());
    let note = store.checkpoint()?.context("nothing has been published yet")?;
    let open = |note: &str| keys.iter().find_map(|key| Checkpoint::open(note, key).ok());
    let (Some(old), Some(head)) = (open(&text), open(&note)) else {
        return refuse("one of the two heads is not signed by a trusted key", json);
    };
    if old.size > head.size {
        return refuse(&format!("the published log has {} records, the kept head {}", head.size, old.size), json);
    }
    let path = match old.size {
        0 => Vec::new(),
        size => tlog::consistency(&Tree { store: &store, size: head.size }, size, head.size)?,
    };
    if !tlog::is_consistent(old.size, &old.root, head.size, &head.root, &path) {
        return refuse("the published log does not go on from the kept head: something was changed or removed", json);
    }
    print(&if json {
        let path: Vec<String> = path.iter().map(|hash| BASE64.encode(hash)).collect();
        json!({ "ok": true, "oldSize": old.size, "treeSize": head.size, "proof": path }).to_string()
    } else {
        format!("the {} records of the published log begin with the {} of the kept head", head.size, old.size)
    })?;
    Ok(Code::SUCCESS)
}

fn refuse(reason: &str, json: bool) -> anyhow::Result<Code> {
    print(&if json {
        json!({ "ok": false, "reason": reason }).to_string()
    } else {
        format!("NOT shown\nreason  {reason}")
    })?;
    Ok(Code::FAILURE)
}

/// As `openssl` reads it.
fn as_pem(key: &Verifier) -> String {
    let der = [&SPKI_ED25519[..], key.key()].concat();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----", BASE64.encode(&der))
}

/// What stands before an Ed25519 key in a SubjectPublicKeyInfo (RFC 8410).
const SPKI_ED25519: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
