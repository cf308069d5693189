//! The service as an operator installs it, under a real systemd: see `support/systemd.rs`.
//!
//! Where the environment allows no machine of our own each test says so and passes; `HOTLINE_TEST_SYSTEMD=required`
//! makes that a failure. `notify` and `systemd` try the same promises without one.
use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::support::{Machine, until};

pub const SERVICE: &str = "hotline.service";

/// A machine on which the service runs, or nothing.
pub fn with_service() -> Option<Machine> {
    let machine = Machine::boot()?;
    machine.must(&["systemctl", "start", SERVICE]);
    Some(machine)
}

fn phases(machine: &Machine) -> Vec<String> {
    let status: serde_json::Value = serde_json::from_str(&machine.must(&["hotline", "status", "--json"])).unwrap();
    let workers = status["workers"].as_array().unwrap();
    workers.iter().map(|worker| worker["phase"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_service_is_active_only_when_every_slot_serves() {
    let Some(machine) = Machine::boot() else { return };
    // The background worker waits for its turn to make the first administrator, and we have it.
    machine.must(&["sh", "-c", "install -d -o hotline -g hotline -m 0700 /var/lib/hotline /var/lib/hotline/store"]);
    machine.must(&[
        "sh",
        "-c",
        "install -o hotline -g hotline -m 0600 /dev/null /var/lib/hotline/store/.first-administrator.lock",
    ]);
    let turn = fs::File::options()
        .append(true)
        .open(machine.path("/var/lib/hotline/store/.first-administrator.lock"))
        .unwrap();
    let turn = hotline::sys::OfdLock::new(turn);
    let mine = turn.lock().unwrap();

    machine.must(&["systemctl", "start", "--no-block", SERVICE]);
    until("all others serve", || {
        let status = machine.run(&["hotline", "status", "--json"]);
        status.status.success() && phases(&machine).iter().filter(|phase| *phase == "starting").count() == 1
    });
    assert_eq!(machine.property(SERVICE, "ActiveState"), "activating");
    drop(mine);
    until("active", || machine.property(SERVICE, "ActiveState") == "active");
    assert_eq!(machine.property(SERVICE, "SubState"), "running");
    assert!(phases(&machine).iter().all(|phase| phase == "serving"));
    assert_eq!(machine.property(SERVICE, "StatusText"), "every slot serves");
}

#[test]
fn the_installed_service_answers_reloads_and_stops_with_nothing_left() {
    let Some(machine) = with_service() else { return };
    machine.inside(|| machine.client().get("/health").expect(200));
    machine.must(&["systemctl", "reload", SERVICE]);
    assert_eq!(machine.property(SERVICE, "ReloadResult"), "success");
    machine.inside(|| machine.client().get("/health").expect(200));

    let group = machine.path(&format!("/sys/fs/cgroup{}", machine.property(SERVICE, "ControlGroup")));
    assert!(fs::read_to_string(group.join("cgroup.procs")).unwrap().lines().count() >= 4);
    machine.must(&["systemctl", "stop", SERVICE]);
    assert_eq!(machine.property(SERVICE, "ActiveState"), "inactive");
    assert_eq!(machine.property(SERVICE, "Result"), "success");
    assert!(!group.exists(), "every process has left");
    let log = fs::read_to_string(machine.path("/var/log/services")).unwrap();
    assert!(!log.contains("\"level\":\"ERROR\""), "nobody had to be killed:\n{log}");
    assert!(machine.must(&["hotline", "audit", "verify"]).contains("record"), "and the log is whole");
}

#[test]
fn a_reload_that_fails_is_reported_and_changes_nothing() {
    let Some(machine) = with_service() else { return };
    let config = machine.path("/etc/hotline/hotline.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("connections_max = 20_000", "connections_max = \"many\"")).unwrap();
    let pid = machine.property(SERVICE, "MainPID");
    assert!(!machine.systemctl(&["reload", SERVICE]).status.success());
    assert_eq!(machine.property(SERVICE, "ActiveState"), "active");
    assert_eq!(machine.property(SERVICE, "MainPID"), pid);
    machine.inside(|| machine.client().get("/health").expect(200));
}

#[test]
fn a_wrong_setting_is_told_before_anything_starts_and_not_tried_again() {
    let Some(machine) = Machine::boot() else { return };
    let config = machine.path("/etc/hotline/hotline.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("[server]", "[server]\nbindd = \"x\"")).unwrap();
    assert!(!machine.systemctl(&["start", SERVICE]).status.success());
    assert_eq!(machine.property(SERVICE, "ActiveState"), "failed");
    assert_eq!(machine.property(SERVICE, "NRestarts"), "0");
    assert!(fs::read_to_string(machine.path("/var/log/services")).unwrap().contains("server.bindd"));
}

#[test]
fn the_watchdog_is_fed_and_bites_a_supervisor_that_hangs() {
    let Some(machine) = Machine::boot() else { return };
    machine.drop_in(SERVICE, "watchdog.conf", "[Service]\nWatchdogSec=2s\nRestartSec=100ms\n");
    machine.must(&["systemctl", "start", SERVICE]);
    let (_, pid) = machine.main_pid(SERVICE);
    let mut fed: Vec<u64> = Vec::new();
    until("fed over several periods", || {
        let at_us = machine.property(SERVICE, "WatchdogTimestampMonotonic").parse().unwrap();
        if fed.last() != Some(&at_us) {
            fed.push(at_us);
        }
        fed.len() >= 2 && fed[fed.len() - 1] - fed[0] > 3 * 2_000_000
    });
    assert_eq!(machine.property(SERVICE, "NRestarts"), "0");
    assert_eq!(machine.main_pid(SERVICE).1, pid);

    machine.must(&["kill", "-STOP", &machine.property(SERVICE, "MainPID")]);
    until("a new supervisor serves", || {
        machine.property(SERVICE, "NRestarts") == "1" && machine.property(SERVICE, "ActiveState") == "active"
    });
    machine.inside(|| machine.client().get("/health").expect(200));
}

#[test]
fn every_process_is_shut_in() {
    let Some(machine) = with_service() else { return };
    let group = machine.property(SERVICE, "ControlGroup");
    let pids = machine.must(&["cat", &format!("/sys/fs/cgroup{group}/cgroup.procs")]);
    let account = machine.must(&["id", "--user", "hotline"]);
    assert_ne!(account, "0");
    for pid in pids.lines() {
        let status = machine.must(&["cat", &format!("/proc/{pid}/status")]);
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
            line.unwrap_or_else(|| panic!("no {name} in {status}")).to_owned()
        };
        assert!(field("Uid").split('\t').all(|uid| uid == account), "{status}");
        assert_eq!(field("NoNewPrivs"), "1", "{status}");
        assert_eq!(field("Seccomp"), "2", "{status}");
        for capabilities in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(field(capabilities), "0000000000000000", "{capabilities} in {status}");
        }
        let mounts = machine.must(&["cat", &format!("/proc/{pid}/mounts")]);
        let options = |place: &str| {
            let line = mounts.lines().find(|line| line.split(' ').nth(1) == Some(place));
            line.unwrap_or_else(|| panic!("{place} in {mounts}")).split(' ').nth(3).unwrap().to_owned()
        };
        assert!(options("/").starts_with("ro") && options("/").contains("noexec"), "{mounts}");
        assert!(options("/var/lib/hotline").starts_with("rw"), "{mounts}");
    }
    let folder = fs::metadata(machine.path("/var/lib/hotline")).unwrap();
    assert_eq!((folder.uid().to_string(), folder.mode() & 0o777), (account, 0o700));
    let log = fs::read_to_string(machine.path("/var/log/services")).unwrap();
    assert!(!log.contains("Operation not permitted"), "nothing the service needs is refused:\n{log}");
}

#[test]
fn a_caller_from_elsewhere_gets_in_only_where_the_unit_says_so() {
    let Some(machine) = with_service() else { return };
    machine.must(&["ip", "address", "add", "10.9.9.1/32", "dev", "lo"]);
    let elsewhere = "10.9.9.1:7000".parse().unwrap();
    // Packets are dropped and not refused: a short patience of its own, and no answer is the answer.
    let reaches = || {
        let timeout = std::time::Duration::from_millis(500);
        machine.inside(|| std::net::TcpStream::connect_timeout(&elsewhere, timeout).is_ok())
    };
    assert!(!reaches());
    let public = fs::read_to_string(machine.path("/usr/share/doc/hotline/drop-ins/public.conf")).unwrap();
    machine.drop_in(SERVICE, "public.conf", &public);
    machine.must(&["systemctl", "restart", SERVICE]);
    assert!(reaches());
    machine.inside(|| machine.client().at(elsewhere).get("/health").expect(200));
}

/// A shell stands where the supervisor will be: what it is given is systemd's doing alone.
#[test]
fn sockets_hand_one_listener_for_each_slot_to_the_service_by_name() {
    let Some(machine) = Machine::boot() else { return };
    let stand_in = "[Service]\nType=oneshot\nNoExecPaths=\nExecStartPre=\nExecReload=\nWatchdogSec=0\nRestart=no\n\
        ExecStart=\nExecStart=/bin/sh -c 'echo listeners $LISTEN_FDS $LISTEN_FDNAMES'\n";
    machine.drop_in(SERVICE, "stand-in.conf", stand_in);
    machine.must(&["systemctl", "start", "hotline@0.socket", "hotline@1.socket"]);
    machine.must(&["systemctl", "start", SERVICE]);
    let log = fs::read_to_string(machine.path("/var/log/services")).unwrap();
    let line = log.lines().find_map(|line| line.strip_prefix("listeners 2 ")).unwrap_or_else(|| panic!("{log}"));
    let mut names: Vec<&str> = line.split(':').collect();
    names.sort_unstable();
    assert_eq!(names, ["slot-0", "slot-1"]);
}
