//! A worker that was taken over, or is no worker at all: the supervisor ends it, and nobody else notices.
use std::collections::BTreeMap;

use crate::support::{Hotline, Installation, Program, until};

/// Who serves, by slot.
fn pids(hotline: &Hotline) -> BTreeMap<String, i64> {
    let workers = hotline.status()["workers"].as_array().unwrap().clone();
    let serving = workers.iter().filter(|worker| worker["phase"] == "serving");
    serving.map(|worker| (worker["slot"].as_str().unwrap().to_owned(), worker["pid"].as_i64().unwrap())).collect()
}

/// Tries this program in place of an API worker, in a service that runs; tells what became of the upgrade.
fn tried(body: &str, settings: &str) -> (Hotline, String, String) {
    let installation = Installation::new();
    let folder = tempfile::TempDir::with_prefix("hotline-").unwrap();
    let command = std::process::Command::new(installation.path("hotline"));
    let hotline = Hotline::start_by(folder, &format!("[workers]\napi = 2\n{settings}"), command);
    let before = pids(&hotline);
    installation.install('b', &["hotline", "hotline-background", "hotline-scribe"]);
    installation.put("hotline-api", Program::new(body).path().to_str().unwrap());
    let output = hotline.command(&["upgrade"]);
    assert!(!output.status.success(), "it was taken for a worker");
    assert_eq!(pids(&hotline), before, "nobody who served was touched");
    hotline.client().get("/health").expect(200);
    let log = std::fs::read_to_string(hotline.folder().join("log")).unwrap();
    (hotline, String::from_utf8_lossy(&output.stderr).into_owned(), log)
}

#[test]
fn what_is_no_frame_ends_the_worker_that_sent_it() {
    for body in [
        // Not even a length.
        "char junk[64]; memset(junk, 0xff, sizeof junk); write(3, junk, sizeof junk); pause(); return 0;",
        // A length that is allowed, and nothing that can be decoded.
        "unsigned char junk[68] = {64, 0, 0, 0}; memset(junk + 4, 0xfe, 64); write(3, junk, sizeof junk); pause(); return 0;",
    ] {
        let (_hotline, refused, log) = tried(body, "");
        assert!(refused.contains("everything is as it was: api-") && refused.contains("SIGKILL"), "{refused}");
        assert!(log.contains("a worker broke the protocol"), "{log}");
    }
}

#[test]
fn a_flood_that_is_never_read_back_is_bounded_and_ends_it() {
    let body =
        "char junk[1 << 16]; memset(junk, 0, sizeof junk); for (;;) if (write(3, junk, sizeof junk) < 0) pause();";
    let (hotline, refused, _) = tried(body, "");
    assert!(refused.contains("everything is as it was"), "{refused}");
    let rss_kib: u64 = std::fs::read_to_string(format!("/proc/{}/status", hotline.supervisor_pid()))
        .unwrap()
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok())
        .unwrap();
    assert!(rss_kib < 128 << 10, "the supervisor took {rss_kib} KiB");
}

#[test]
fn who_never_becomes_ready_is_ended_in_time() {
    let (_hotline, refused, log) = tried("pause(); return 0;", "ready_within_ms = 1000");
    assert!(refused.contains("SIGKILL"), "{refused}");
    assert!(log.contains("ending a worker that does not do its duty"), "{log}");
}

#[test]
fn who_leaves_at_once_as_if_all_were_well_is_no_worker() {
    let (hotline, refused, _) = tried("return 0;", "");
    assert!(refused.contains("everything is as it was: api-") && refused.contains("Clean"), "{refused}");
    until("nothing is under way", || hotline.command(&["reload"]).status.success());
}
