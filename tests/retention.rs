//! Records of the audit log are kept as long as they must be, and then they go: on record, whole segments at a time, and
//! never while somebody holds them or by a clock that cannot be believed.
use std::fs;
use std::path::Path;

use hotline::audit::disposal::{self, Search};
use hotline::audit::standing::DISPOSE;
use hotline::audit::{Event, EventType, Outcome, PublishedLog, Severity};
use hotline::lifecycle::clock;
use hotline::tlog::Store;
use serde_json::Value;

use crate::support::{AgedHouse, Hotline, Role, until};

/// Eight years, whatever leap days are in them.
const LONG_AGO: u64 = 8 * 366;
const SETTINGS: &str = "[audit]\npublish_interval_ms = 10\nsegment_bytes_max = 4096\n\
                        [workers]\nbackoff_first_ms = 1\nbackoff_max_ms = 1";

fn verified(hotline: &Hotline) -> Value {
    let output = hotline.command(&["audit", "verify", "--json"]);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success(), "{told}");
    told
}

/// What a command says, on either side, and whether it did what it was told.
fn told(hotline: &Hotline, args: &[&str]) -> (bool, String) {
    let output = hotline.command(args);
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// Numbers of the first records of the segments that are there.
fn segments(hotline: &Hotline) -> Vec<u64> {
    hotline::audit::segments(&hotline.state_dir().join("audit")).unwrap().iter().map(|file| file.first_seq).collect()
}

fn bundle(hotline: &Hotline, index: u64) -> bool {
    hotline.state_dir().join(format!("tlog/tile/entries/{index:03}")).exists()
}

fn disposed(hotline: &Hotline) -> f64 {
    hotline.metric("hotline_audit_disposed_records", &[])
}

fn refused_by_clock(hotline: &Hotline) -> f64 {
    hotline.metric("hotline_audit_disposals_total", &["outcome=\"clock\""])
}

fn records(hotline: &Hotline, action: &str) -> Vec<Value> {
    let (_, tail) = told(hotline, &["audit", "tail", "-n", "400", "--json"]);
    let records = tail.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    records.filter(|record| record["action"] == action).collect()
}

fn today() -> String {
    clock::rfc3339(i64::try_from(clock::now_ms()).unwrap())[..10].to_owned()
}

#[test]
fn what_is_past_its_years_goes_on_record_and_the_rest_is_proven_as_before() {
    let house = AgedHouse::new().write(LONG_AGO, 256).write(LONG_AGO, 256).write(LONG_AGO - 365 * 3, 256).write(0, 3);
    let kept_head = house.publish();
    let hotline = Hotline::start_in(house.folder, SETTINGS);
    until("the old records are disposed of", || disposed(&hotline) == 512.0);
    until("their files are gone", || hotline.metric("hotline_audit_disposals_total", &["outcome=\"done\""]) == 1.0);
    assert_eq!(segments(&hotline)[0], 513);
    assert_eq!([0, 1, 2].map(|index| bundle(&hotline, index)), [false, false, true]);

    let act = records(&hotline, "audit.dispose").pop().expect("a record of it");
    assert_eq!((act["subject"].as_str(), act["actor"].as_str()), (Some("records/1-512"), Some("system")));
    let what = &act["details"];
    assert_eq!(
        (what["firstSeq"].as_u64(), what["lastSeq"].as_u64(), what["records"].as_u64()),
        (Some(1), Some(512), Some(512))
    );
    assert_eq!(what["retentionYears"], 7);
    let report = verified(&hotline);
    assert_eq!((report["disposed"].as_u64(), report["publishedSigned"].as_bool()), (Some(512), Some(true)));
    fs::write(hotline.folder().join("kept"), &kept_head).unwrap();
    let kept = hotline.folder().join("kept");
    let (is_extended, said) = told(&hotline, &["audit", "extends", kept.to_str().unwrap()]);
    assert!(is_extended, "{said}");

    // What is gone is told with its date, by whatever way somebody asks for it.
    let when = act["timestamp"].as_str().unwrap();
    let expect_date = |args: &[&str]| {
        let (is_done, said) = told(&hotline, args);
        assert!(!is_done && said.contains(when), "{args:?}: {said}");
    };
    expect_date(&["audit", "prove", "512"]);
    expect_date(&["audit", "export", "--format", "entry", "--from", "1"]);
    assert!(told(&hotline, &["audit", "tail", "-n", "100000"]).1.contains(when));
    assert!(told(&hotline, &["status"]).1.contains("records 1 to 512 were disposed of"));
    let (is_done, said) = told(&hotline, &["audit", "export", "--format", "entry"]);
    let first = said.lines().find(|line| line.starts_with('{')).unwrap();
    assert!(is_done && first.contains("\"seq\":513"), "{first}");
    let out = hotline.folder().join("left");
    assert!(told(&hotline, &["audit", "prove", "513", "--out", out.to_str().unwrap()]).0);
    let out = |ending: &str| out.with_extension(ending).to_str().unwrap().to_owned();
    assert!(told(&hotline, &["audit", "check", &out("entry.json"), &out("tlog-proof")]).0);

    assert!(told(&hotline, &["user", "add", "vera", "--role", "auditor"]).0);
    let token = told(&hotline, &["token", "--user", "vera", "--ttl", "1h"]).1.trim().to_owned();
    let auditor = hotline.client().with_token(&token);
    for gone in ["records/1", "records/512", "log/tile/entries/000", "log/tile/entries/001"] {
        let answer = auditor.get(&format!("/api/v1/audit/{gone}")).expect(410).json();
        assert_eq!(answer["disposedAt"].as_str(), Some(when), "{answer}");
    }
    for there in ["records/513", "log/tile/entries/002", "log/tile/0/000", "log/checkpoint"] {
        auditor.get(&format!("/api/v1/audit/{there}")).expect(200);
    }

    // The next life, and the one after a crash, know what the first one did, and do not do it again.
    let (code, folder) = hotline.stop();
    assert_eq!(code, Some(0));
    let hotline = Hotline::start_in(folder, SETTINGS);
    let killed = hotline.kill(Role::Scribe, 0);
    hotline.wait_for_successor(Role::Scribe, 0, killed);
    until("it has looked again", || hotline.metric("hotline_audit_disposals_total", &["outcome=\"nothing\""]) >= 1.0);
    assert_eq!(records(&hotline, "audit.dispose").len(), 1);
    assert_eq!((verified(&hotline)["disposed"].as_u64(), disposed(&hotline)), (Some(512), 512.0));

    // Somebody helps along.
    fs::remove_file(hotline.state_dir().join("audit/00000000000000000513.log")).unwrap();
    let (is_in_order, said) = told(&hotline, &["audit", "verify"]);
    assert!(!is_in_order && said.contains("records 513 to 768 are missing"), "{said}");
}

#[test]
fn a_hold_keeps_everything_over_restarts_until_it_is_released() {
    // Out of service for years: whether that is so, or the clock is wrong, only people can tell.
    let house = AgedHouse::new().write(LONG_AGO, 256).write(LONG_AGO, 256).write(LONG_AGO, 1);
    let hotline = Hotline::start_in(house.folder, SETTINGS);
    until("the clock is not believed", || refused_by_clock(&hotline) == 1.0);
    assert!(told(&hotline, &["status"]).1.contains("the clock cannot be believed"));
    let (_, said) = told(&hotline, &["audit", "hold", "--reason", "  "]);
    assert!(said.contains("a reason is needed"), "{said}");
    let (is_held, said) = told(&hotline, &["audit", "hold", "--reason", "Smith v. Jones", "--json"]);
    assert!(is_held, "{said}");
    let hold = records(&hotline, "audit.hold").pop().unwrap();
    let seq = hold["seq"].as_u64().unwrap();
    assert!(said.contains(&format!("hold {seq} stands")), "{said}");
    assert_eq!(hold["details"]["reason"], "Smith v. Jones");
    assert_eq!(hold["actor"], format!("uid:{}", nix::unistd::geteuid()).as_str());
    assert!(told(&hotline, &["audit", "hold", "--reason", "another matter"]).0);
    until("both are counted", || hotline.metric("hotline_audit_holds", &[]) == 2.0);

    let (is_done, said) = told(&hotline, &["audit", "dispose", "--today", &today()]);
    assert!(!is_done && said.contains("2 legal holds on the log"), "{said}");
    let (code, folder) = hotline.stop();
    assert_eq!(code, Some(0));
    let hotline = Hotline::start_in(folder, SETTINGS);
    until("it stands in the next life", || hotline.metric("hotline_audit_holds", &[]) == 2.0);
    let killed = hotline.kill(Role::Scribe, 0);
    hotline.wait_for_successor(Role::Scribe, 0, killed);
    until("and in the one after a crash", || {
        hotline.metric("hotline_audit_disposals_total", &["outcome=\"held\""]) >= 1.0
    });
    let status = hotline.status();
    assert_eq!(status["audit"]["holds"][0]["seq"], seq);
    assert!(told(&hotline, &["status"]).1.contains(&format!("hold {seq} since")));
    assert_eq!((verified(&hotline)["holds"].as_u64(), segments(&hotline)[0]), (Some(2), 1));

    let (is_done, said) = told(&hotline, &["audit", "release", "--reason", "settled"]);
    assert!(!is_done && said.contains("say which with --hold"), "{said}");
    let which = seq.to_string();
    assert!(told(&hotline, &["audit", "release", "--reason", "settled", "--hold", &which]).0);
    let (is_done, said) = told(&hotline, &["audit", "dispose", "--today", &today()]);
    assert!(!is_done && said.contains("1 legal hold on the log"), "{said}");
    assert!(told(&hotline, &["audit", "release", "--reason", "settled"]).0);
    // It may go now; the clock is as doubtful as it was, though the service has been writing by it.
    until("it has looked", || refused_by_clock(&hotline) >= 1.0);
    until("no hold is counted", || hotline.metric("hotline_audit_holds", &[]) == 0.0);
    assert_eq!(segments(&hotline)[0], 1);

    let (is_done, said) = told(&hotline, &["audit", "dispose", "--today", "2019-02-29"]);
    assert!(!is_done && said.contains(&format!("it is {}", today())), "{said}");
    let (is_done, said) = told(&hotline, &["audit", "dispose", "--today", &today()]);
    assert!(is_done && said.contains("records 1 to 512 are disposed of"), "{said}");
    let act = records(&hotline, "audit.dispose").pop().unwrap();
    assert_eq!(act["actor"], hold["actor"], "who asked for it");
    assert_eq!(records(&hotline, "audit.trust-clock").len(), 1);
    assert_eq!((verified(&hotline)["disposed"].as_u64(), verified(&hotline)["holds"].as_u64()), (Some(512), Some(0)));
    assert_eq!(segments(&hotline)[0], 513);
}

/// The scribe died when its disposition was on record and every file still there.
#[test]
fn what_is_on_record_is_finished_by_the_next_start() {
    let house = AgedHouse::new().write(LONG_AGO, 256).write(LONG_AGO, 256).write(0, 3);
    house.publish();
    let state = house.folder.path().join("state");
    let what = due(&state);
    let event = Event {
        event_type: EventType::SystemChange,
        severity: Severity::High,
        outcome: Outcome::Allowed,
        at_ms: i64::try_from(clock::now_ms()).unwrap(),
        action: DISPOSE.to_owned(),
        actor: "system".to_owned(),
        subject: what.subject(),
        request_id: String::new(),
        details: serde_json::to_string(&what).unwrap(),
        contains_phi: false,
        affects_financials: false,
    };
    let house = house.append(vec![event]);
    let hotline = Hotline::start_in(house.folder, SETTINGS);
    assert_eq!((segments(&hotline)[0], bundle(&hotline, 1), bundle(&hotline, 0)), (513, false, false));
    assert_eq!(verified(&hotline)["disposed"], 512);
    until("the scribe tells", || disposed(&hotline) == 512.0);
    assert_eq!(records(&hotline, "audit.dispose").len(), 1);
}

/// What a scribe would find.
fn due(state: &Path) -> hotline::audit::Disposition {
    let store = Store::new(state.join("tlog"));
    let search = Search {
        folder: &state.join("audit"),
        published: PublishedLog { store: &store, keys: &[] },
        disposed: None,
        retention_years: 7,
        now_ms: i64::try_from(clock::now_ms()).unwrap(),
        published_seq: 515,
    };
    disposal::due(&search, &|| false).unwrap().unwrap().what
}
