//! Keys change while the service runs, and nobody notices; every act is on record; nothing that is needed is ended.
use std::process::Output;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::{Value, json};

use crate::faults::{Writers, assert_all_there, assert_log_verifies};
use crate::reload::keep_asking;
use crate::support::{Client, Hotline, SoftToken, binaries, until};

fn keys(hotline: &Hotline, arguments: &[&str]) -> Output {
    hotline.command(&[&["keys"], arguments].concat())
}

/// What was done.
fn done(hotline: &Hotline, arguments: &[&str]) -> String {
    let output = keys(hotline, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn refusal(hotline: &Hotline, arguments: &[&str]) -> String {
    let output = keys(hotline, arguments);
    assert!(!output.status.success(), "{arguments:?} was done");
    String::from_utf8(output.stderr).unwrap()
}

fn listing(hotline: &Hotline) -> Value {
    serde_json::from_str(&done(hotline, &["list", "--json"])).unwrap()
}

/// Version and state of a class's keys, as `1 active`.
fn states(hotline: &Hotline, class: &str) -> Vec<String> {
    let listing = listing(hotline);
    let of_class = listing["keys"].as_array().unwrap().iter().filter(|key| key["class"] == class);
    of_class.map(|key| format!("{} {}", key["version"], key["state"].as_str().unwrap())).collect()
}

/// The records about keys: action, subject, outcome.
fn recorded(hotline: &Hotline) -> Vec<String> {
    let output = hotline.command(&["audit", "tail", "-n", "1000000", "--json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let records = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let of_keys = records.filter(|record| record["action"].as_str().is_some_and(|action| action.starts_with("keys.")));
    let text = |record: &Value, part: &str| record[part].as_str().unwrap().to_owned();
    of_keys.map(|record| ["action", "subject", "outcome"].map(|part| text(&record, part)).join(" ")).collect()
}

fn open_case(client: &Client) -> String {
    let case = client.post_json("/api/v1/cases", &json!({ "title": "Locked out", "narrative": "on Friday" }));
    case.header("Location").unwrap().to_owned()
}

fn sealed_under(hotline: &Hotline, class: &str, version: u16) -> u64 {
    let counts: Value = serde_json::from_str(&done(hotline, &["rewrap", "--json"])).unwrap();
    let counts = counts.as_array().unwrap().iter();
    let of_it = counts.filter(|count| count["class"] == class && count["version"] == version);
    of_it.map(|count| count["count"].as_u64().unwrap()).sum()
}

#[test]
fn a_data_key_is_rotated_under_load_and_nobody_notices() {
    let hotline = Hotline::start("");
    let admin = hotline.admin();
    let before = open_case(&admin);
    let writers = Writers::start(&admin, 3);
    let (stop, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3).map(|_| scope.spawn(|| keep_asking(&admin, &stop, &answered))).collect();
        writers.progress(20);
        for class in ["case", "token"] {
            assert_eq!(done(&hotline, &["rotate", class]), format!("version 2 of the {class} key seals"));
            writers.progress(20);
        }
        stop.store(true, Ordering::Relaxed);
        let failed: u64 = readers.into_iter().map(|reader| reader.join().unwrap()).sum();
        assert!(answered.load(Ordering::Relaxed) > 20);
        assert_eq!(failed, 0, "readers saw the rotation");
    });
    let (acknowledged, failed) = writers.finish();
    assert_eq!(failed, 0, "writers saw the rotation");
    assert_all_there(&admin, &acknowledged);
    admin.get(&before).expect(200);
    assert_eq!(states(&hotline, "case"), ["1 decrypt-only", "2 active"]);
    assert_eq!(recorded(&hotline), ["keys.rotate case allowed", "keys.rotate token allowed"]);
    assert_log_verifies(&hotline);
    assert_eq!(hotline.metric("hotline_worker_restarts_total", &[]), 0.0);
    assert_eq!(hotline.metric("hotline_key_acts_total", &["rotate", "done"]), 2.0);
}

#[test]
fn a_former_key_is_ended_when_nothing_is_sealed_under_it_any_more() {
    let hotline = Hotline::start("");
    let admin = hotline.admin();
    let cases: Vec<String> = (0..150).map(|_| open_case(&admin)).collect();
    assert!(sealed_under(&hotline, "case", 1) >= 150, "the key of each person a case is about");
    assert!(refusal(&hotline, &["destroy", "case", "1"]).contains("still sealed under version 1"));
    done(&hotline, &["rotate", "case"]);
    until("all is sealed anew", || sealed_under(&hotline, "case", 1) == 0);
    assert_eq!(hotline.metric("hotline_reseal_refused_total", &[]), 0.0);
    until("the page shows it", || {
        let (resealed, left) =
            (hotline.metric("hotline_resealed_total", &[]), hotline.metric("hotline_reseal_left", &["case"]));
        resealed >= 150.0 && left == 0.0
    });
    assert_eq!(done(&hotline, &["destroy", "case", "1"]), "version 1 of the case key is destroyed");
    assert_eq!(states(&hotline, "case"), ["1 destroyed", "2 active"]);
    let (_, folder) = hotline.stop();
    let hotline = Hotline::start_in(folder, "");
    let admin = hotline.admin();
    cases.iter().for_each(|case| drop(admin.get(case).expect(200)));
    assert!(
        hotline.metric("hotline_kek_age_seconds", &[]) < 3_600.0,
        "a destroyed key takes the one that wrapped it along"
    );
}

#[test]
fn what_must_not_be_rotated_or_ended_is_refused_with_the_reason() {
    let hotline = Hotline::start("");
    hotline.admin();
    assert!(refusal(&hotline, &["rotate", "blind-index"]).contains("passwords checked by digests"));
    assert!(refusal(&hotline, &["rotate", "nonsense"]).contains("there are audit, cache, case"));
    assert!(refusal(&hotline, &["destroy", "token", "1"]).contains("is active"));
    assert!(refusal(&hotline, &["destroy", "token", "7"]).contains("no version 7"));
    done(&hotline, &["rotate", "audit"]);
    let said = refusal(&hotline, &["destroy", "audit", "1"]);
    assert!(said.contains("records of the audit log have details under version 1"), "{said}");
    let records = recorded(&hotline);
    assert!(records.contains(&"keys.destroy token:1 allowed".to_owned()), "{records:?}");
    until("failures are on record, too", || recorded(&hotline).contains(&"keys.destroy audit:1 failed".to_owned()));
    assert_log_verifies(&hotline);
}

#[test]
fn the_key_over_the_keys_follows_the_clock_and_the_former_one_is_gone() {
    let hotline = Hotline::start("[keys]\nkek_rotation_seconds = 1");
    let kek = || listing(&hotline)["keks"].as_array().unwrap().last().unwrap()["version"].as_u64().unwrap();
    until("it was replaced three times", || kek() >= 4);
    let pids = hotline.status()["workers"].clone();
    hotline.admin().get("/api/v1/cases").expect(200);
    let files = std::fs::read_dir(hotline.state_dir().join("keys")).unwrap();
    let left = files.filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|ext| ext == "key")).count();
    assert!(left <= 2, "one key over the keys, and the next one while it is made");
    assert!(recorded(&hotline).iter().all(|record| record == "keys.rotate kek allowed"));
    assert_eq!(pids[0]["generation"], 1, "no worker has to do with it");
    let folder = hotline.kill_supervisor();
    let hotline = Hotline::start_in(folder, "");
    hotline.admin().get("/api/v1/cases").expect(200);
    assert!(done(&hotline, &["check"]).contains("data keys open, wrapped by kek-"));
}

#[test]
fn keys_are_changed_while_no_service_runs_and_that_is_on_record_too() {
    let hotline = Hotline::start("");
    let case = open_case(&hotline.admin());
    signal_stop(&hotline);
    assert_eq!(done(&hotline, &["rotate", "case"]), "version 2 of the case key seals");
    assert_eq!(done(&hotline, &["rotate"]), "version 2 of the key over the keys is in use");
    assert!(done(&hotline, &["check"]).contains("wrapped by kek-0002"));
    assert!(done(&hotline, &["list"]).contains("decrypt-only"));
    assert!(refusal(&hotline, &["destroy", "case", "1"]).contains("start it first"));
    assert!(refusal(&hotline, &["rewrap"]).contains("not running"));
    assert_log_verifies(&hotline);
    assert_eq!(recorded(&hotline), ["keys.rotate case allowed", "keys.rotate kek allowed", "keys.check  allowed"]);
    let (_, folder) = hotline.stop();
    let hotline = Hotline::start_in(folder, "");
    hotline.admin().get(&case).expect(200);
    assert_log_verifies(&hotline);
}

/// The supervisor ends; the folder stays.
fn signal_stop(hotline: &Hotline) {
    crate::support::signal(hotline.supervisor_pid(), "TERM");
    let socket = hotline.state_dir().join("run/admin.sock");
    until("it has left", || std::os::unix::net::UnixStream::connect(&socket).is_err());
    let lock = std::fs::File::options().write(true).open(hotline.state_dir().join("supervisor.lock")).unwrap();
    until("its lock is free", || lock.try_lock().is_ok());
    lock.unlock().unwrap();
}

#[test]
fn keys_in_a_token_change_under_a_running_service_and_fail_when_it_is_away() {
    let token = SoftToken::new();
    let folder = tempfile::TempDir::with_prefix("hotline-").unwrap();
    let hotline = Hotline::start_by(folder, &token.settings(), token.command(&binaries().join("hotline")));
    let admin = hotline.admin();
    let case = open_case(&admin);
    assert_eq!(done(&hotline, &["rotate", "kek"]), "version 2 of the key over the keys is in use");
    assert_eq!(token.objects().len(), 1, "the former key is gone from the token");
    assert_eq!(done(&hotline, &["rotate", "case"]), "version 2 of the case key seals");
    token.unplug();
    assert!(refusal(&hotline, &["rotate", "kek"]).contains("no such token"));
    admin.get(&case).expect(200);
    until("the failure is on record", || recorded(&hotline).contains(&"keys.rotate kek failed".to_owned()));
    assert_eq!(hotline.metric("hotline_key_acts_total", &["rotate", "failed"]), 1.0);
    token.plug_in();
    assert!(done(&hotline, &["check"]).contains("pkcs11:hotline test:hotline-kek-0002"));
}
