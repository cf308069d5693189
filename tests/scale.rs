//! Workers come and go with the load, and no caller notices: a slot that rests keeps its door, and a sibling opens it.
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::calls::sample_request;
use crate::reload::keep_asking;
use crate::support::{Hotline, Installation, Role, until};

/// Phase and listeners of a slot, by its resident.
fn slot(hotline: &Hotline, name: &str) -> (String, Vec<u64>) {
    let workers = hotline.status()["workers"].as_array().unwrap().clone();
    let worker = workers.iter().find(|worker| worker["slot"] == name).unwrap().clone();
    let listens_to = worker["listensTo"].as_array().unwrap().iter().filter_map(serde_json::Value::as_u64).collect();
    (worker["phase"].as_str().unwrap().to_owned(), listens_to)
}

fn rests(hotline: &Hotline, name: &str) -> bool {
    slot(hotline, name).0 == "resting"
}

fn sockets(hotline: &Hotline) -> [u64; 2] {
    let pid = hotline.pid(Role::Api, 0);
    [5, 6].map(|fd| std::fs::metadata(format!("/proc/{pid}/fd/{fd}")).unwrap().ino())
}

fn scalings(hotline: &Hotline, role: &str, direction: &str) -> f64 {
    let labels = [format!("role=\"{role}\""), format!("direction=\"{direction}\"")];
    hotline.metric("hotline_scalings_total", &labels.each_ref().map(String::as_str))
}

#[test]
fn a_slot_rests_when_there_is_little_to_do_and_wakes_when_there_is_much_and_nobody_is_refused() {
    let hotline = Hotline::start(
        "[workers]\napi = 2\napi_min = 1\nbusy_high_permille = 150\nbusy_low_permille = 100\n\
         scale_up_after_ms = 500\nscale_down_after_ms = 1000",
    );
    let (client, before) = (hotline.client(), sockets(&hotline));
    until("one rests", || rests(&hotline, "api-1"));
    assert_eq!(slot(&hotline, "api-0").1, [0, 1], "its door is open");
    assert_eq!(sockets(&hotline), before);
    // Each goes to either queue by chance; all forty to the one: once in 10^12 runs.
    (0..40).for_each(|_| drop(client.get("/health").expect(200)));
    hotline.command(&["reload"]);
    assert!(rests(&hotline, "api-1"), "a reload wakes nobody");

    let admin = hotline.admin();
    let (stop, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..4).map(|_| scope.spawn(|| keep_asking(&admin, &stop, &answered))).collect();
        until("both serve", || slot(&hotline, "api-1") == ("serving".to_owned(), vec![1]));
        until("each at its own door", || slot(&hotline, "api-0").1 == [0]);
        stop.store(true, Ordering::Relaxed);
        let failed: u64 = callers.into_iter().map(|caller| caller.join().unwrap()).sum();
        assert_eq!(failed, 0, "callers saw it");
    });
    until("one rests again", || rests(&hotline, "api-1"));
    assert!(scalings(&hotline, "api", "down") >= 2.0 && scalings(&hotline, "api", "up") >= 1.0);
    until("the gauge says so", || hotline.metric("hotline_workers_wanted", &["role=\"api\""]) == 1.0);
    assert_eq!(hotline.metric("hotline_worker_restarts_total", &[]), 0.0, "none of it is a crash");
    let log = std::fs::read_to_string(hotline.folder().join("log")).unwrap();
    assert!(log.lines().any(|line| line.contains("\"scaled\"") && line.contains("busy permille")), "{log}");
}

#[test]
fn who_rests_is_woken_when_nobody_else_serves_and_sleeps_through_an_upgrade() {
    let installation = Installation::new();
    let hotline = Hotline::start_by(
        tempfile::TempDir::with_prefix("hotline-").unwrap(),
        "[workers]\napi = 2\napi_min = 1\nscale_down_after_ms = 500\nupgrade_grace_ms = 1\nbackoff_first_ms = 60000\n\
         backoff_max_ms = 60000",
        std::process::Command::new(installation.path("hotline")),
    );
    until("one rests", || rests(&hotline, "api-1"));
    installation.install_all('b');
    let output = hotline.command(&["upgrade"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(rests(&hotline, "api-1"));
    assert_eq!(slot(&hotline, "api-0").1, [0, 1]);
    // The first crash is forgiven at once; after the second the slot waits for a minute.
    let first = hotline.kill(Role::Api, 0);
    hotline.wait_for_successor(Role::Api, 0, first);
    hotline.kill(Role::Api, 0);
    until("the other serves for both", || slot(&hotline, "api-1") == ("serving".to_owned(), vec![0, 1]));
    (0..40).for_each(|_| drop(hotline.client().get("/health").expect(200)));
}

#[test]
fn background_workers_come_when_calls_wait_and_go_when_none_does() {
    let hotline = Hotline::start(
        "[workers]\nbackground = 2\nbackground_min = 1\nqueue_age_high_ms = 100\nscale_up_after_ms = 100\nscale_down_after_ms = 500",
    );
    until("one rests", || rests(&hotline, "background-1"));
    let admin = hotline.admin();
    // Their answers are nobody's concern here; the calls are kept.
    let callers: Vec<_> = (0..3)
        .map(|_| {
            let mut open = admin.connect().unwrap();
            admin.begin_on(&mut open, &sample_request()).unwrap();
            open
        })
        .collect();
    until("both are at work", || slot(&hotline, "background-1").0 == "serving");
    assert!(scalings(&hotline, "background", "up") >= 1.0);
    drop(callers);
    let log = std::fs::read_to_string(hotline.folder().join("log")).unwrap();
    assert!(log.lines().any(|line| line.contains("\"scaled\"") && line.contains("has waited")), "{log}");
}
