//! The audit log verifies after everything, and names the first bad record when it should not.
use std::fs;
use std::path::PathBuf;

use crate::cases::new_case;
use crate::support::Hotline;

fn segments(hotline: &Hotline) -> Vec<PathBuf> {
    let folder = hotline.state_dir().join("audit");
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut logs: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|ext| ext == "log")).collect();
    logs.sort();
    logs
}

fn verify(hotline: &Hotline) -> (bool, serde_json::Value) {
    let output = hotline.command(&["audit", "verify", "--json"]);
    (output.status.success(), serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn one_flipped_bit_is_found_and_named() {
    let hotline = Hotline::start("");
    let lawyer = hotline.admin();
    for n in 0..10 {
        lawyer.post_json("/api/v1/cases", &new_case(&format!("Caller {n}"))).expect(201);
    }
    let (ok, report) = verify(&hotline);
    assert!(ok, "{report}");
    let log = segments(&hotline).remove(0);
    let good = fs::read(&log).unwrap();
    let second_line = good.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for at in [second_line + 40, good.len() / 2, good.len() - 5] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&log, &bad).unwrap();
        let (ok, report) = verify(&hotline);
        assert!(!ok, "flip at {at} went unnoticed");
        let line = 1 + good[..at].iter().filter(|byte| **byte == b'\n').count() as u64;
        assert_eq!(report["firstBad"]["line"].as_u64(), Some(line), "{report}");
    }
    fs::write(&log, &good).unwrap();
    assert!(verify(&hotline).0);
}

#[test]
fn a_missing_record_is_found() {
    let hotline = Hotline::start("");
    let lawyer = hotline.admin();
    lawyer.post_json("/api/v1/cases", &new_case("Ana Ruiz")).expect(201);
    let log = segments(&hotline).remove(0);
    let good = fs::read_to_string(&log).unwrap();
    let lines: Vec<&str> = good.lines().collect();
    let without_third: Vec<&str> = lines.iter().enumerate().filter(|(n, _)| *n != 2).map(|(_, line)| *line).collect();
    fs::write(&log, without_third.join("\n") + "\n").unwrap();
    assert!(!verify(&hotline).0);
    fs::write(&log, good).unwrap();
}

#[test]
fn refused_acts_are_recorded_too() {
    let hotline = Hotline::start("");
    let wrong = serde_json::json!({ "username": "admin", "password": "not the password at all" });
    hotline.client().post_json("/api/v1/auth/login", &wrong).expect(401);
    let tail = hotline.command(&["audit", "tail", "--json", "-n", "100000"]);
    let tail = String::from_utf8_lossy(&tail.stdout).into_owned();
    let denied = tail.lines().any(|line| line.contains("auth.login") && line.contains("denied"));
    assert!(denied, "{tail}");
}
