//! kill -9 of anything, at any moment: the service goes on and no acknowledged write is lost.
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::cases::new_case;
use crate::support::{Client, Hotline, Request, Role, until};

/// Creates cases from several connections until told to stop; keeps what was acknowledged.
pub(crate) struct Writers {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<Vec<(String, String)>>>,
    threads: Vec<std::thread::JoinHandle<u64>>,
}

impl Writers {
    pub(crate) fn start(client: &Client, count: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let acknowledged = Arc::new(Mutex::new(Vec::new()));
        let threads = (0..count)
            .map(|writer| {
                let (client, stop, acknowledged) = (client.clone(), Arc::clone(&stop), Arc::clone(&acknowledged));
                std::thread::spawn(move || write_until(&client, writer, &stop, &acknowledged))
            })
            .collect();
        Self { stop, acknowledged, threads }
    }

    fn count(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    /// Waits for `more` further acknowledged writes.
    pub(crate) fn progress(&self, more: usize) {
        let target = self.count() + more;
        until("writes go on", || self.count() >= target);
    }

    /// Stops and tells every acknowledged `(location, title)` and how many attempts failed.
    pub(crate) fn finish(self) -> (Vec<(String, String)>, u64) {
        self.stop.store(true, Ordering::Relaxed);
        let failed = self.threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        let acknowledged = self.acknowledged.lock().unwrap().clone();
        (acknowledged, failed)
    }
}

fn write_until(client: &Client, writer: usize, stop: &AtomicBool, acknowledged: &Mutex<Vec<(String, String)>>) -> u64 {
    let mut failed = 0;
    for n in 0u64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let title = format!("writer {writer} case {n}");
        let mut body = new_case("Ana Ruiz");
        body["title"] = title.clone().into();
        let key = format!("w{writer}-{n}");
        let request = Request::new("POST", "/api/v1/cases").header("Idempotency-Key", &key).json(&body);
        match client.try_send(&request) {
            Ok(answer) if answer.status == 201 => {
                acknowledged.lock().unwrap().push((answer.header("Location").unwrap().to_owned(), title));
            }
            // Only a refusal that says "try again" is allowed under faults.
            Ok(answer) if answer.status == 503 => failed += 1,
            Ok(answer) => panic!("{}: {}", answer.status, answer.text()),
            Err(_) => failed += 1,
        }
    }
    failed
}

pub(crate) fn assert_all_there(client: &Client, acknowledged: &[(String, String)]) {
    assert!(!acknowledged.is_empty());
    for (location, title) in acknowledged {
        assert_eq!(client.get(location).expect(200).json()["title"], title.as_str());
    }
}

pub(crate) fn assert_log_verifies(hotline: &Hotline) -> serde_json::Value {
    let report = hotline.command(&["audit", "verify", "--json"]);
    let shown = String::from_utf8_lossy(&report.stdout).into_owned();
    assert!(report.status.success(), "audit verify: {shown}");
    serde_json::from_str(&shown).unwrap()
}

fn kill_under_load(role: Role) -> (Hotline, u64) {
    let hotline = Hotline::start("");
    let lawyer = hotline.admin();
    let writers = Writers::start(&lawyer, 4);
    for _ in 0..3 {
        writers.progress(20);
        let former = hotline.kill(role, 0);
        hotline.wait_for_successor(role, 0, former);
        writers.progress(20);
    }
    let (acknowledged, failed) = writers.finish();
    assert_all_there(&lawyer, &acknowledged);
    let log = assert_log_verifies(&hotline);
    assert!(log["records"].as_u64().unwrap() >= acknowledged.len() as u64, "every write is in the log");
    assert_eq!(hotline.metric("hotline_worker_restarts_total", &[&format!("slot=\"{}-0\"", role.name())]), 3.0);
    (hotline, failed)
}

#[test]
fn a_killed_api_worker_loses_no_acknowledged_write() {
    let (_hotline, failed) = kill_under_load(Role::Api);
    // Four writers, three kills: only requests inside the dying process may fail.
    assert!(failed <= 12, "{failed} requests failed");
}

#[test]
fn a_killed_scribe_loses_no_acknowledged_write() {
    let (_hotline, failed) = kill_under_load(Role::Scribe);
    assert_eq!(failed, 0, "writes wait for the successor");
}

#[test]
fn a_killed_background_worker_disturbs_no_request() {
    let (_hotline, failed) = kill_under_load(Role::Background);
    assert_eq!(failed, 0);
}

#[test]
fn connections_queued_on_a_dead_worker_are_served_by_its_successor() {
    let hotline = Hotline::start("[workers]\napi = 1\n");
    let client = hotline.client();
    let pid = hotline.pid(Role::Api, 0);
    let stopped = std::process::Command::new("kill").args(["-STOP", &pid.to_string()]).status().unwrap();
    assert!(stopped.success());
    let waiting: Vec<_> = (0..20)
        .map(|_| {
            let client = client.clone();
            std::thread::spawn(move || client.try_send(&Request::new("GET", "/health")).map(|answer| answer.status))
        })
        .collect();
    until("the connections are in the queue", || established_to(hotline.address.port()) >= 20);
    assert!(std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
    for thread in waiting {
        assert_eq!(thread.join().unwrap().expect("answered, not reset"), 200);
    }
}

#[test]
fn a_killed_supervisor_takes_its_workers_along_and_a_restart_finds_everything() {
    let hotline = Hotline::start("");
    let lawyer = hotline.admin();
    let writers = Writers::start(&lawyer, 2);
    writers.progress(30);
    let folder = hotline.kill_supervisor();
    let (acknowledged, _) = writers.finish();
    let again = Hotline::start_in(folder, "");
    assert_all_there(&again.admin(), &acknowledged);
    assert_log_verifies(&again);
}

#[test]
fn sigterm_under_load_loses_no_acknowledged_write_and_exits_0() {
    let hotline = Hotline::start("");
    let lawyer = hotline.admin();
    let writers = Writers::start(&lawyer, 4);
    writers.progress(30);
    let (code, folder) = hotline.stop();
    assert_eq!(code, Some(0));
    let (acknowledged, _) = writers.finish();
    let again = Hotline::start_in(folder, "");
    assert_all_there(&again.admin(), &acknowledged);
    assert_log_verifies(&again);
}

#[test]
fn a_second_supervisor_on_the_same_state_is_refused() {
    let hotline = Hotline::start("");
    let second = hotline.command(&["serve"]);
    assert!(!second.status.success());
    assert!(String::from_utf8_lossy(&second.stderr).contains("state"), "{}", String::from_utf8_lossy(&second.stderr));
    hotline.client().get("/health").expect(200);
}

/// Client ends of established connections to a port, from the kernel's table.
fn established_to(port: u16) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let wanted = format!(":{port:04X}");
    let to_port = |line: &&str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        columns.get(2).is_some_and(|remote| remote.ends_with(&wanted)) && columns.get(3) == Some(&"01")
    };
    table.lines().filter(to_port).count()
}

#[test]
fn a_caller_who_hangs_up_leaves_no_write_without_its_record() {
    let hotline = Hotline::start("");
    let lawyer = hotline.admin();
    let request = Request::new("POST", "/api/v1/cases").json(&new_case("Ana Ruiz"));
    {
        // While the write waits for the store's lock, the caller goes away.
        let database = hotline.state_dir().join("store/hotline.db.lock");
        let lock = hotline::sys::OfdLock::new(std::fs::File::options().append(true).open(database).unwrap());
        let held = lock.lock().unwrap();
        for _ in 0..4 {
            let mut stream = lawyer.connect().unwrap();
            lawyer.begin_on(&mut stream, &request).unwrap();
            until("the request is being worked on", || hotline.metric("hotline_http_requests_in_flight", &[]) >= 1.0);
            drop(stream);
        }
        drop(held);
    }
    until("every change was carried through", || {
        let cases = lawyer.get("/api/v1/cases").expect(200).json()["cases"].as_array().unwrap().clone();
        let tail = hotline.command(&["audit", "tail", "--json", "-n", "100000"]);
        let tail = String::from_utf8_lossy(&tail.stdout).into_owned();
        let ids: Vec<&str> = cases.iter().filter_map(|case| case["id"].as_str()).collect();
        assert!(ids.iter().all(|id| tail.contains(id)), "a case without a record:\n{tail}");
        ids.len() == 4
    });
    assert_log_verifies(&hotline);
}
