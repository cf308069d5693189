//! What the service did can be proven to somebody who trusts neither it nor us: with public keys and public tools.
use std::fs;
use std::path::Path;
use std::process::Command;

use data_encoding::BASE64;
use serde_json::{Value, json};

use crate::cases::new_case;
use crate::support::{Client, Hotline, Role, until};

fn work(lawyer: &Client, cases: usize) {
    for n in 0..cases {
        lawyer.post_json("/api/v1/cases", &new_case(&format!("Caller {n}"))).expect(201);
    }
}

fn verified(hotline: &Hotline) -> Value {
    let output = hotline.command(&["audit", "verify", "--json"]);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success(), "{told}");
    told
}

/// Waits until all that is in the log now is under a signed head; tells how much that is.
fn published(hotline: &Hotline) -> u64 {
    let records = verified(hotline)["records"].as_u64().unwrap();
    until("it is published", || verified(hotline)["published"].as_u64().unwrap() >= records);
    records
}

fn told(hotline: &Hotline, args: &[&str]) -> (Option<i32>, String) {
    let output = hotline.command(args);
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A program without state, settings or secrets of the service.
fn outsider(args: &[&str], folder: &Path) -> (Option<i32>, String) {
    let output =
        Command::new(crate::support::binaries().join("hotline")).args(args).current_dir(folder).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// The same question to the script that uses none of our code.
fn with_openssl(args: &[&str], folder: &Path) -> (Option<i32>, String) {
    let script = crate::support::repository().join("config/audit/check-record.sh");
    let output = Command::new(script).args(args).current_dir(folder).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[test]
fn an_outsider_is_shown_that_an_act_is_in_the_log_and_nothing_was_taken_back() {
    let hotline = Hotline::start("[audit]\npublish_interval_ms = 20\norigin = \"example.org/hotline\"");
    let lawyer = hotline.admin();
    work(&lawyer, 3);
    published(&hotline);
    let outside = tempfile::tempdir().unwrap();
    let at = |name: &str| outside.path().join(name).to_str().unwrap().to_owned();
    fs::copy(hotline.state_dir().join("tlog/checkpoint"), at("kept")).unwrap();
    work(&lawyer, 30);
    let records = published(&hotline);

    let key = told(&hotline, &["audit", "key"]).1.trim().to_owned();
    assert!(key.starts_with("example.org/hotline+"), "{key}");
    let found = told(&hotline, &["audit", "tail", "-n", "1000", "--json"]).1;
    let act = found.lines().rfind(|line| line.contains("\"case.create\"")).unwrap();
    let act: Value = serde_json::from_str(act).unwrap();
    let seq = act["seq"].as_u64().unwrap();
    assert_eq!(told(&hotline, &["audit", "prove", &seq.to_string(), "--out", &at("act")]).0, Some(0));
    let entry: Value = serde_json::from_slice(&fs::read(at("act.entry.json")).unwrap()).unwrap();
    assert_eq!((&entry["hash"], &entry["action"]), (&act["hash"], &json!("case.create")));
    assert!(entry["details"].is_null(), "what was said stays with us");

    let (code, said) = outsider(&["audit", "check", "act.entry.json", "act.tlog-proof", "--key", &key], outside.path());
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(&format!("record {seq} of")), "{said}");
    fs::write(at("log.pem"), told(&hotline, &["audit", "key", "--pem"]).1).unwrap();
    let (code, said) = with_openssl(&["act.entry.json", "act.tlog-proof", "log.pem"], outside.path());
    assert_eq!((code, said.contains(&format!("record {seq} of"))), (Some(0), true), "{said}");
    let changed = fs::read_to_string(at("act.entry.json")).unwrap().replace("case.create", "case.delete");
    fs::write(at("other.json"), changed).unwrap();
    let (code, said) = outsider(&["audit", "check", "other.json", "act.tlog-proof", "--key", &key], outside.path());
    assert_eq!(code, Some(1), "{said}");
    let (code, said) = with_openssl(&["other.json", "act.tlog-proof", "log.pem"], outside.path());
    assert_eq!((code, said.contains("was changed")), (Some(1), true), "{said}");

    let (code, said) = told(&hotline, &["audit", "extends", &at("kept"), "--json"]);
    assert_eq!(code, Some(0), "{said}");
    let said: Value = serde_json::from_str(&said).unwrap();
    assert!(said["treeSize"].as_u64() >= Some(records) && said["oldSize"].as_u64() < Some(records), "{said}");
    let moved = fs::read_to_string(at("kept")).unwrap().replacen("\n", "\n1", 1);
    fs::write(at("forged"), moved).unwrap();
    assert_eq!(told(&hotline, &["audit", "extends", &at("forged")]).0, Some(1));
}

#[test]
fn the_signed_head_is_verified_by_openssl() {
    let hotline = Hotline::start("[audit]\npublish_interval_ms = 20");
    work(&hotline.admin(), 1);
    published(&hotline);
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("key.pem"), told(&hotline, &["audit", "key", "--pem"]).1).unwrap();
    let note = fs::read_to_string(hotline.state_dir().join("tlog/checkpoint")).unwrap();
    let (text, signatures) = note.split_once("\n\n").unwrap();
    let signature = BASE64.decode(signatures.trim().rsplit(' ').next().unwrap().as_bytes()).unwrap();
    fs::write(at("signature"), &signature[4..]).unwrap();
    for (text, is_ours) in [(format!("{text}\n"), true), (format!("{text}1\n"), false)] {
        fs::write(at("text"), text).unwrap();
        let openssl = Command::new("openssl")
            .args([
                "pkeyutl",
                "-verify",
                "-pubin",
                "-inkey",
                "key.pem",
                "-rawin",
                "-in",
                "text",
                "-sigfile",
                "signature",
            ])
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert_eq!(openssl.status.success(), is_ours, "{}", String::from_utf8_lossy(&openssl.stdout));
    }
}

#[test]
fn publishing_goes_on_over_the_deaths_of_scribes_and_stops_before_a_contradiction() {
    let hotline =
        Hotline::start("[audit]\npublish_interval_ms = 10\n[workers]\nbackoff_first_ms = 1\nbackoff_max_ms = 1");
    let lawyer = hotline.admin();
    for _ in 0..3 {
        work(&lawyer, 20);
        let killed = hotline.kill(Role::Scribe, 0);
        hotline.wait_for_successor(Role::Scribe, 0, killed);
    }
    work(&lawyer, 200);
    let records = published(&hotline);
    assert!(records > 256, "more than a tile: {records}");
    assert_eq!(verified(&hotline)["publishedSigned"], true);
    let failures = || hotline.metric("hotline_audit_publish_failures_total", &[]);
    assert_eq!(failures(), 0.0);

    // A head of the same name over other records, which another key signed.
    let other = Hotline::start("[audit]\npublish_interval_ms = 10");
    let head = hotline.state_dir().join("tlog/checkpoint");
    published(&other);
    fs::copy(other.state_dir().join("tlog/checkpoint"), &head).unwrap();
    let killed = hotline.kill(Role::Scribe, 0);
    hotline.wait_for_successor(Role::Scribe, 0, killed);
    until("it says so", || failures() == 1.0);
    work(&lawyer, 1);
    assert_eq!(fs::read(&head).unwrap(), fs::read(other.state_dir().join("tlog/checkpoint")).unwrap(), "left as it is");
    let told = hotline.command(&["audit", "verify"]);
    assert_eq!(told.status.code(), Some(1), "{}", String::from_utf8_lossy(&told.stdout));
}
