//! Upgrade: another build goes on in the running service, and nobody notices; or it fails, and nobody notices.
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use hotline::board::LAYOUT_ID as BOARD_LAYOUT;
use tempfile::TempDir;

use crate::faults::{Writers, assert_all_there, assert_log_verifies};
use crate::reload::keep_asking;
use crate::support::{Hotline, Installation, Request, Role, ServiceManager, signal, until};

/// Without a grace period worth the name: that has a test of its own.
const AT_ONCE: &str = "[workers]\napi = 2\nupgrade_grace_ms = 1";

fn start(installation: &Installation, overrides: &str) -> Hotline {
    let folder = TempDir::with_prefix("hotline-").unwrap();
    Hotline::start_by(folder, overrides, Command::new(installation.path("hotline")))
}

fn upgrade(hotline: &Hotline) -> Output {
    hotline.command(&["upgrade"])
}

fn done(hotline: &Hotline) -> String {
    let output = upgrade(hotline);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn refusal(hotline: &Hotline) -> String {
    let output = upgrade(hotline);
    assert!(!output.status.success(), "an upgrade that must fail went through");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The builds of the supervisor and of everybody who serves.
fn builds(hotline: &Hotline) -> BTreeSet<String> {
    let status = hotline.status();
    let workers = status["workers"].as_array().unwrap();
    let serving = workers.iter().filter(|worker| worker["phase"] == "serving");
    let of_workers = serving.map(|worker| worker["build"].as_str().unwrap().to_owned());
    of_workers.chain([status["supervisor"]["version"].as_str().unwrap().to_owned()]).collect()
}

fn serving(hotline: &Hotline) -> usize {
    let status = hotline.status();
    status["workers"].as_array().unwrap().iter().filter(|worker| worker["phase"] == "serving").count()
}

/// The sockets that the first API worker could accept on.
fn listeners(hotline: &Hotline) -> [u64; 2] {
    let pid = hotline.pid(Role::Api, 0);
    [5, 6].map(|fd| fs::metadata(format!("/proc/{pid}/fd/{fd}")).unwrap().ino())
}

/// What the supervisor has open, when nobody visits it.
fn open_descriptors(hotline: &Hotline) -> usize {
    fs::read_dir(format!("/proc/{}/fd", hotline.supervisor_pid())).unwrap().count()
}

fn only(build: &str) -> BTreeSet<String> {
    BTreeSet::from([build.to_owned()])
}

#[test]
fn another_build_goes_on_with_the_same_pid_and_sockets_and_without_a_failed_request() {
    let installation = Installation::new();
    let hotline = start(&installation, AT_ONCE);
    let admin = hotline.admin();
    let (sockets, pids) = (listeners(&hotline), [hotline.pid(Role::Scribe, 0), hotline.pid(Role::Api, 0)]);
    let open_before = open_descriptors(&hotline);
    let writers = Writers::start(&admin, 3);
    let (stop, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3).map(|_| scope.spawn(|| keep_asking(&admin, &stop, &answered))).collect();
        writers.progress(20);
        for letter in ['b', 'c'] {
            let taken = hotline.metric("hotline_admin_requests_total", &["status"]);
            let next = installation.install_all(letter);
            let said = done(&hotline);
            assert!(said.starts_with("upgraded from build") && said.trim().ends_with(&next), "{said}");
            assert_eq!(builds(&hotline), only(&next));
            assert!(hotline.metric("hotline_admin_requests_total", &["status"]) > taken, "counters go on");
            writers.progress(20);
        }
        stop.store(true, Ordering::Relaxed);
        let failed: u64 = readers.into_iter().map(|reader| reader.join().unwrap()).sum();
        assert!(answered.load(Ordering::Relaxed) > 20);
        assert_eq!(failed, 0, "connections that were kept open saw the upgrade");
    });
    let (acknowledged, failed) = writers.finish();
    assert_eq!(failed, 0, "writes saw the upgrade");
    assert_all_there(&admin, &acknowledged);
    assert_log_verifies(&hotline);

    assert_eq!(hotline.status()["supervisor"]["pid"], hotline.supervisor_pid());
    assert_eq!(listeners(&hotline), sockets);
    assert!(!pids.contains(&hotline.pid(Role::Scribe, 0)) && !pids.contains(&hotline.pid(Role::Api, 0)));
    let proc = format!("/proc/{}", hotline.supervisor_pid());
    until("nothing is open that was not", || open_descriptors(&hotline) == open_before);
    assert_eq!(fs::read_to_string(format!("{proc}/comm")).unwrap().trim(), "hotline");
    let left = fs::read_dir(format!("{proc}/fd")).unwrap().map(|fd| fs::read_link(fd.unwrap().path()));
    let handovers = left.filter(|link| link.as_ref().is_ok_and(|link| link.to_string_lossy().contains("handover")));
    assert_eq!(handovers.count(), 0, "what was handed over is gone");
    assert_eq!(hotline.metric("hotline_worker_restarts_total", &[]), 0.0, "an upgrade is no crash");
    assert!(hotline.metric("hotline_changes_total", &["done"]) >= 2.0);
    assert_eq!(hotline.stop().0, Some(0));
}

#[test]
fn a_call_that_is_being_answered_outlives_both_images() {
    let installation = Installation::new();
    let hotline = start(&installation, AT_ONCE);
    let client = hotline.client();
    let mut open = client.connect().unwrap();
    client.send_on(&mut open, &Request::new("GET", "/health")).unwrap().expect(200);
    let request = Request::new("POST", "/api/v1/auth/login").body("application/json", vec![b' '; 64]);
    client.begin_on(&mut open, &request).unwrap();
    installation.install_all('b');
    done(&hotline);
    // The old worker was asked to leave; it finishes what has begun.
    use std::io::Read;
    let mut first = [0; 12];
    open.read_exact(&mut first).unwrap();
    assert!(first.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&first));
}

#[test]
fn a_package_that_is_replaced_changes_nothing_until_it_is_asked_for() {
    let installation = Installation::new();
    let hotline = start(&installation, AT_ONCE);
    let next = installation.install_all('b');
    for role in [Role::Api, Role::Background, Role::Scribe] {
        let former = hotline.kill(role, 0);
        hotline.wait_for_successor(role, 0, former);
    }
    assert_eq!(builds(&hotline), only(&Installation::build_id()));
    hotline.configure(&format!("{AT_ONCE}\n[limits]\njson_bytes_max = 200000"));
    assert!(hotline.command(&["reload"]).status.success(), "settings are read by the build that runs");
    assert_eq!(builds(&hotline), only(&Installation::build_id()));
    done(&hotline);
    assert_eq!(builds(&hotline), only(&next));
    assert!(done(&hotline).contains("runs already"));
}

#[test]
fn a_build_whose_workers_do_not_start_is_taken_back() {
    let installation = Installation::new();
    let hotline = start(&installation, AT_ONCE);
    let admin = hotline.admin();
    let (before, workers) = (builds(&hotline), serving(&hotline));
    let writers = Writers::start(&admin, 2);
    writers.progress(5);

    installation.install_all('b');
    installation.put("hotline-api", "/bin/false");
    let said = refusal(&hotline);
    assert!(said.contains("everything is as it was: api-") && said.contains("exit 1"), "{said}");
    assert_eq!(builds(&hotline), before, "the supervisor, too");
    assert_eq!(serving(&hotline), workers);

    // The background workers of this one start, and are rolled back when the others fail.
    installation.install_all('c');
    installation.install('d', &["hotline-scribe"]);
    let said = refusal(&hotline);
    assert!(said.contains("everything is as it was: scribe-0"), "{said}");
    assert_eq!(builds(&hotline), before);
    assert_eq!(serving(&hotline), workers);

    writers.progress(5);
    let (acknowledged, failed) = writers.finish();
    assert_eq!(failed, 0, "writes saw a failed upgrade");
    assert_all_there(&admin, &acknowledged);
    assert_log_verifies(&hotline);
    let next = installation.install_all('e');
    done(&hotline);
    assert_eq!(builds(&hotline), only(&next), "the next one is not burdened by it");
}

#[test]
fn what_is_no_hotline_or_cannot_work_here_never_begins() {
    let installation = Installation::new();
    let hotline = start(&installation, AT_ONCE);
    let before = hotline.status()["workers"].clone();
    let pids = |workers: &serde_json::Value| {
        workers.as_array().unwrap().iter().map(|worker| worker["pid"].as_i64()).collect::<Vec<_>>()
    };
    installation.put("hotline", "/bin/true");
    assert!(refusal(&hotline).contains("died"));
    fs::remove_file(installation.path("hotline")).unwrap();
    assert!(refusal(&hotline).contains("could not open"));
    installation.install_all('b');
    fs::remove_file(installation.path("hotline-api")).unwrap();
    assert!(refusal(&hotline).contains("hotline-api"));
    installation.install_all('b');
    let keyring = hotline.state_dir().join("keys/keyring.json");
    let good = fs::read(&keyring).unwrap();
    fs::write(&keyring, "{}").unwrap();
    assert!(refusal(&hotline).contains("keyring"));
    fs::write(&keyring, good).unwrap();
    assert_eq!(pids(&hotline.status()["workers"]), pids(&before), "nobody was touched");
    assert_eq!(hotline.metric("hotline_changes_total", &["failed"]), 4.0);
}

#[test]
fn an_image_that_cannot_take_over_becomes_the_one_before_again() {
    let installation = Installation::new();
    let hotline = start(&installation, AT_ONCE);
    let admin = hotline.admin();
    let (before, pids) = (builds(&hotline), hotline.status()["workers"].clone());
    let writers = Writers::start(&admin, 2);
    writers.progress(5);
    installation.install_all('b');
    // It takes the board for one of another layout, though it says that there is common ground.
    let digit = BOARD_LAYOUT.to_le_bytes()[0];
    installation.patch("hotline", &format!(r"s/\x{digit:02x}\x00niltoh/\xff\x00niltoh/g"));
    let said = refusal(&hotline);
    assert!(said.contains("could not take over") && said.contains("layout"), "{said}");
    assert_eq!(builds(&hotline), before);
    assert_eq!(hotline.status()["supervisor"]["pid"], hotline.supervisor_pid());
    let of_each = |workers: &serde_json::Value| {
        workers.as_array().unwrap().iter().map(|worker| worker["pid"].as_i64()).collect::<Vec<_>>()
    };
    assert_eq!(of_each(&hotline.status()["workers"]), of_each(&pids), "no worker was touched");
    writers.progress(5);
    let (acknowledged, failed) = writers.finish();
    assert_eq!(failed, 0);
    assert_all_there(&admin, &acknowledged);
    let next = installation.install_all('c');
    done(&hotline);
    assert_eq!(builds(&hotline), only(&next), "and it can still be upgraded");
    assert_eq!(hotline.stop().0, Some(0));
}

#[test]
fn new_workers_that_do_not_hold_are_taken_back_within_the_grace_period() {
    let installation = Installation::new();
    let hotline = start(&installation, "[workers]\napi = 2\nupgrade_grace_ms = 600000");
    let before = builds(&hotline);
    let next = installation.install_all('b');
    let asked = hotline.command_in_background(&["upgrade"]);
    until("every worker is of the next build", || builds(&hotline) == only(&next));
    let second = hotline.command(&["reload"]);
    assert!(String::from_utf8_lossy(&second.stderr).contains("another change is under way"));
    hotline.kill(Role::Api, 1);
    let output = asked.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("everything is as it was: api-1 ended with SIGKILL"), "{said}");
    assert_eq!(builds(&hotline), before);
}

#[test]
fn the_service_manager_sees_one_process_that_is_changing_and_then_ready() {
    let manager = ServiceManager::new(16);
    let installation = Installation::new();
    let folder = TempDir::with_prefix("hotline-").unwrap();
    let hotline =
        manager.start(&installation.path("hotline"), None, |command| Hotline::start_by(folder, AT_ONCE, command));
    until("everything is entrusted", || manager.stored_names().len() == 4);
    let said = |word: &str| manager.said().iter().filter(|line| line.as_str() == word).count();
    assert_eq!((said("RELOADING=1"), said("READY=1")), (0, 1));
    installation.install_all('b');
    done(&hotline);
    until("ready again", || (said("RELOADING=1"), said("READY=1")) == (1, 2));
    assert_eq!(manager.stored_names(), ["board", "scribe", "slot-0", "slot-1"], "kept as they are");
    // What was entrusted by the image before serves the next supervisor.
    let address = hotline.address;
    let folder = hotline.kill_supervisor();
    let hotline =
        manager.start(&installation.path("hotline"), None, |command| Hotline::start_by(folder, AT_ONCE, command));
    assert_eq!(hotline.address, address);
    hotline.client().get("/health").expect(200);
}

#[test]
fn a_stop_that_comes_during_an_upgrade_is_heard() {
    let installation = Installation::new();
    let hotline = start(&installation, "[workers]\napi = 2\nupgrade_grace_ms = 600000");
    let next = installation.install_all('b');
    let asked = hotline.command_in_background(&["upgrade"]);
    until("the next image runs", || hotline.status()["supervisor"]["version"] == next.as_str());
    signal(hotline.supervisor_pid(), "TERM");
    let output = asked.wait_with_output().unwrap();
    assert!(!output.status.success());
    assert_eq!(hotline.stop().0, Some(0));
}
