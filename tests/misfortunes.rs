//! What the machine does to a service: no descriptors left, no room on the disk, a port that is taken, a key that
//! cannot be read. It says so, loses nothing, and goes on when it can.
use std::fs;
use std::net::TcpListener;
use std::process::Command;

use crate::support::{Hotline, Machine, Request, Role, signal, until};

/// How many descriptors a process may have.
fn limit(pid: i32) -> String {
    let asked = ["--pid", &pid.to_string(), "--nofile", "--noheadings", "--output", "SOFT"];
    String::from_utf8(Command::new("prlimit").args(asked).output().unwrap().stdout).unwrap().trim().to_owned()
}

/// The soft limit alone: nobody needs a right to put it back.
fn limit_descriptors(pid: i32, soft: &str) {
    let set = Command::new("prlimit").args(["--pid", &pid.to_string(), &format!("--nofile={soft}:")]).output().unwrap();
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
}

#[test]
fn a_worker_without_descriptors_lets_callers_wait_and_not_go() {
    let hotline = Hotline::start("[workers]\napi = 1");
    let client = hotline.client();
    let mut open = client.connect().unwrap();
    client.send_on(&mut open, &Request::new("GET", "/health")).unwrap().expect(200);
    let pid = hotline.pid(Role::Api, 0);
    let used = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let before = limit(pid);
    limit_descriptors(pid, &used.to_string());

    let waiting = std::thread::spawn({
        let client = client.clone();
        move || client.get("/health").expect(200)
    });
    until("it is said", || fs::read_to_string(hotline.folder().join("log")).unwrap().contains("could not accept"));
    client.send_on(&mut open, &Request::new("GET", "/health")).unwrap().expect(200);
    assert!(!waiting.is_finished(), "nobody could have let them in");
    limit_descriptors(pid, &before);
    waiting.join().unwrap();
    assert_eq!(hotline.pid(Role::Api, 0), pid, "it was not even restarted");
}

#[test]
fn a_port_that_somebody_has_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::TempDir::with_prefix("hotline-").unwrap();
    let config = folder.path().join("hotline.toml");
    let state = folder.path().join("state");
    let address = taken.local_addr().unwrap();
    fs::write(&config, format!("[server]\nbind = \"{address}\"\n[paths]\nstate_dir = {state:?}\n")).unwrap();
    let output = Command::new(crate::support::binaries().join("hotline"))
        .args(["serve", "--config"])
        .arg(&config)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(75), "trying later may help: {told}");
    assert!(told.contains(&address.to_string()) && told.contains("server.bind"), "{told}");
}

#[test]
fn a_full_disk_refuses_writes_keeps_reads_and_loses_nothing() {
    let Some(machine) = Machine::boot() else { return };
    let state = "/var/lib/hotline";
    machine.must(&["install", "-d", "-o", "hotline", "-g", "hotline", "-m", "0700", state]);
    machine.must(&["mount", "-t", "tmpfs", "-o", "size=96m,mode=700,uid=hotline,gid=hotline", "none", state]);
    machine.must(&["systemctl", "start", "hotline.service"]);
    let told = machine.must(&["hotline", "token", "--user", "admin", "--ttl", "1h", "--json"]);
    let token: serde_json::Value = serde_json::from_str(&told).unwrap();
    let case = |number: u32| serde_json::json!({ "title": format!("Case {number}"), "jurisdiction": "US-CA" });
    machine.inside(|| {
        let admin = machine.client().with_token(token["token"].as_str().unwrap());
        let make = |number| admin.send(Request::new("POST", "/api/v1/cases").json(&case(number)));
        let mut places = vec![make(0).expect(201).header("location").unwrap().to_owned()];
        // Less than a page stays free.
        let _ = machine.run(&["dd", "if=/dev/zero", "of=/var/lib/hotline/filler", "bs=4096", "status=none"]);
        let refused = until_refused(|number| {
            let answer = make(number);
            places.extend(answer.header("location").filter(|_| answer.status == 201).map(str::to_owned));
            answer.status
        });
        assert!(refused >= 500, "{refused}");
        let report = admin.get("/health/ready").expect(503).text();
        assert!(report.contains("\"disk\":\"failing\""), "{report}");
        machine.must(&["rm", "/var/lib/hotline/filler"]);
        until("writes go on", || {
            let answer = make(1_000);
            places.extend(answer.header("location").filter(|_| answer.status == 201).map(str::to_owned));
            answer.status == 201
        });
        for place in &places {
            admin.get(place).expect(200);
        }
    });
    assert!(machine.must(&["hotline", "audit", "verify"]).contains("record"));
}

/// The first status that is no success; the journal of the store may have room for some.
fn until_refused(mut make: impl FnMut(u32) -> u16) -> u16 {
    (1..10_000).map(&mut make).find(|status| *status != 201).expect("a full disk takes no writes")
}

#[test]
fn a_key_that_cannot_be_read_is_named_and_nobody_notices() {
    let hotline = Hotline::start("");
    let certs = hotline.folder().join("certs");
    fs::create_dir_all(certs.join("key.pem")).unwrap();
    fs::copy(hotline.state_dir().join("tls/dev-cert.pem"), certs.join("chain.pem")).unwrap();
    let settings = format!("[tls]\ncertificate = \"{0}/chain.pem\"\nkey = \"{0}/key.pem\"", certs.display());
    hotline.configure(&settings);
    let output = hotline.command(&["reload"]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && told.contains("key.pem"), "{told}");
    hotline.client().get("/health").expect(200);
    // SIGHUP has nobody to tell; it changes nothing either.
    signal(hotline.supervisor_pid(), "HUP");
    until("it is counted", || hotline.metric("hotline_changes_total", &["failed"]) >= 1.0);
    hotline.client().get("/health").expect(200);
}
