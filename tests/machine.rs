//! The service as an operator installs it, under a real systemd: see `support/systemd.rs`.
//!
//! Where the environment allows no machine of our own each test says so and passes; `HOTLINE_TEST_SYSTEMD=required`
//! makes that a failure. `notify` and `systemd` try the same promises without one.
use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::support::{Installation, Machine, Request, until};

const SERVICE: &str = "hotline.service";

/// A machine on which the service runs, or nothing.
fn with_service() -> Option<Machine> {
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
fn after_kill_9_of_the_supervisor_the_service_comes_back_with_what_it_knew() {
    let Some(machine) = with_service() else { return };
    let token = || {
        let token = machine.must(&["hotline", "token", "--user", "admin", "--ttl", "1h", "--json"]);
        let token: serde_json::Value = serde_json::from_str(&token).unwrap();
        token["token"].as_str().unwrap().to_owned()
    };
    let case = serde_json::json!({ "title": "Eviction of Maria Lopez", "jurisdiction": "US-CA" });
    let made = machine.inside(|| {
        machine.client().with_token(&token()).send(Request::new("POST", "/api/v1/cases").json(&case)).expect(201)
    });
    let place = made.header("location").unwrap().to_owned();

    let before = machine.property(SERVICE, "MainPID");
    machine.must(&["kill", "-KILL", &before]);
    until("a new supervisor serves", || {
        machine.property(SERVICE, "NRestarts") == "1" && machine.property(SERVICE, "ActiveState") == "active"
    });
    assert_ne!(machine.property(SERVICE, "MainPID"), before);
    let again = machine.inside(|| machine.client().with_token(&token()).get(&place).expect(200));
    assert_eq!(again.json()["title"], case["title"]);
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

#[test]
fn every_drop_in_leaves_a_service_that_serves() {
    let Some(machine) = Machine::boot() else { return };
    for entry in fs::read_dir(machine.path("/usr/share/doc/hotline/drop-ins")).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        // The first administrator's password has a test of its own: it is read on a first start only.
        if name == "admin-password.conf" {
            continue;
        }
        machine.drop_in(SERVICE, &name, &fs::read_to_string(entry.path()).unwrap());
        machine.must(&["systemctl", "restart", SERVICE]);
        let port = if name == "port-443.conf" { 443 } else { 7000 };
        machine.must(&["hotline", "health", &format!("https://127.0.0.1:{port}")]);
        machine.must(&["systemctl", "reload", SERVICE]);
        fs::remove_file(machine.path(&format!("/etc/systemd/system/{SERVICE}.d/{name}"))).unwrap();
        machine.must(&["systemctl", "daemon-reload"]);
    }
}

#[test]
fn the_first_administrator_has_the_password_that_was_given() {
    let Some(machine) = Machine::boot() else { return };
    fs::write(machine.path("/etc/credstore/hotline.admin-password"), "correct horse battery staple").unwrap();
    machine.drop_in(SERVICE, "admin-password.conf", &offered(&machine, "admin-password.conf"));
    machine.must(&["systemctl", "start", SERVICE]);
    let login = serde_json::json!({ "username": "admin", "password": "correct horse battery staple" });
    machine.inside(|| machine.client().post_json("/api/v1/auth/login", &login).expect(200));
}

/// A drop-in, as it is installed for operators to copy.
fn offered(machine: &Machine, name: &str) -> String {
    fs::read_to_string(machine.path(&format!("/usr/share/doc/hotline/drop-ins/{name}"))).unwrap()
}

/// A field of `/proc/<pid>/status` for each process of the service.
fn of_each(machine: &Machine, field: &str) -> Vec<String> {
    let group = machine.property(SERVICE, "ControlGroup");
    let pids = machine.must(&["cat", &format!("/sys/fs/cgroup{group}/cgroup.procs")]);
    let value = |pid: &str| {
        let status = machine.must(&["cat", &format!("/proc/{pid}/status")]);
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(":\t").map(str::to_owned));
        line.unwrap_or_else(|| panic!("no {field} in {status}"))
    };
    pids.lines().map(value).collect()
}

#[test]
fn workers_under_an_account_of_their_own_keep_nothing_of_what_it_took_to_become_it() {
    let Some(machine) = Machine::boot() else { return };
    machine.drop_in(SERVICE, "separate-account.conf", &offered(&machine, "separate-account.conf"));
    machine.must(&["systemctl", "start", SERVICE]);
    machine.inside(|| machine.client().get("/health").expect(200));
    let uid = |account: &str| machine.must(&["id", "--user", account]);
    let (ours, workers) = (uid("hotline"), uid("hotline-worker"));
    let held: Vec<(String, String)> = of_each(&machine, "Uid").into_iter().zip(of_each(&machine, "CapPrm")).collect();
    let of =
        |account: &str| held.iter().filter(|(uid, _)| uid.split('\t').all(|uid| uid == account)).collect::<Vec<_>>();
    assert_eq!((of(&ours).len(), of(&workers).len()), (1, held.len() - 1), "{held:?}");
    assert!(held.len() >= 4 && of(&workers).iter().all(|(_, held)| held == "0000000000000000"), "{held:?}");

    let before = machine.property(SERVICE, "MainPID");
    machine.must(&["kill", "-KILL", &before]);
    until("a new supervisor serves", || {
        machine.property(SERVICE, "NRestarts") == "1" && machine.property(SERVICE, "ActiveState") == "active"
    });
    machine.inside(|| machine.client().get("/health").expect(200));
    machine.must(&["systemctl", "reload", SERVICE]);

    // And back: what was theirs is the supervisor's again.
    fs::remove_file(machine.path(&format!("/etc/systemd/system/{SERVICE}.d/separate-account.conf"))).unwrap();
    machine.must(&["systemctl", "daemon-reload"]);
    machine.must(&["systemctl", "restart", SERVICE]);
    machine.must(&["hotline", "health"]);
    assert!(of_each(&machine, "Uid").iter().all(|uid| uid.starts_with(&ours)));
    machine.must(&["systemctl", "stop", SERVICE]);
    assert_eq!(machine.property(SERVICE, "Result"), "success");
}

/// The sockets that API workers accept on, whoever they are.
fn sockets(machine: &Machine) -> Vec<String> {
    let status: serde_json::Value = serde_json::from_str(&machine.must(&["hotline", "status", "--json"])).unwrap();
    let workers = status["workers"].as_array().unwrap();
    let api = workers.iter().find(|worker| worker["slot"] == "api-0" && worker["phase"] == "serving").unwrap();
    let socket = |fd: i32| machine.must(&["readlink", &format!("/proc/{}/fd/{fd}", api["pid"])]);
    [5, 6].map(socket).to_vec()
}

#[test]
fn while_the_supervisor_is_replaced_who_is_connected_is_served_and_who_comes_waits() {
    let Some(machine) = Machine::boot() else { return };
    machine.drop_in(SERVICE, "two.conf", "[Service]\nEnvironment=HOTLINE_WORKERS=2\n");
    machine.must(&["systemctl", "start", SERVICE]);
    let before = sockets(&machine);
    machine.inside(|| {
        let client = machine.client();
        let mut open = client.connect().unwrap();
        let ask = |open: &mut _| client.send_on(open, &Request::new("GET", "/health")).unwrap().expect(200);
        ask(&mut open);
        for restarts in 1..=3 {
            machine.must(&["kill", "-KILL", &machine.property(SERVICE, "MainPID")]);
            if restarts == 1 {
                ask(&mut open);
            }
            until("a new supervisor serves", || {
                client.get("/health").expect(200);
                machine.property(SERVICE, "NRestarts") == restarts.to_string()
                    && machine.property(SERVICE, "ActiveState") == "active"
            });
        }
    });
    assert_eq!(sockets(&machine), before, "the very same sockets");
    machine.must(&["systemctl", "restart", SERVICE]);
    assert_eq!(sockets(&machine), before, "also when it is asked for");
    let group = machine.path(&format!("/sys/fs/cgroup{}", machine.property(SERVICE, "ControlGroup")));
    machine.must(&["systemctl", "stop", SERVICE]);
    until("the orphans have left, too", || !group.exists());
}

#[test]
fn another_build_goes_on_under_the_same_main_pid() {
    let Some(machine) = Machine::boot() else { return };
    // `/usr` of this machine is read-only; where a package would put files anew there is room for them.
    let folder = "/usr/lib/hotline";
    let around = format!("mkdir /run/programs && cp {folder}/* /run/programs && mount --bind /run/programs {folder}");
    machine.must(&["sh", "-c", &around]);
    machine.must(&["systemctl", "start", SERVICE]);
    let pid = machine.property(SERVICE, "MainPID");
    let version = || {
        let status: serde_json::Value = serde_json::from_str(&machine.must(&["hotline", "status", "--json"])).unwrap();
        status["supervisor"]["version"].as_str().unwrap().to_owned()
    };
    let before = version();
    let next = Installation::at(machine.path(folder)).install_all('b');
    machine.must(&["hotline", "upgrade"]);
    assert_ne!(before, next);
    assert_eq!(version(), next);
    assert_eq!(machine.property(SERVICE, "MainPID"), pid);
    assert_eq!(machine.property(SERVICE, "ActiveState"), "active");
    assert_eq!(machine.property(SERVICE, "SubState"), "running");
    machine.inside(|| machine.client().get("/health").expect(200));
    machine.must(&["systemctl", "reload", SERVICE]);
    machine.must(&["systemctl", "stop", SERVICE]);
    assert_eq!(machine.property(SERVICE, "Result"), "success");
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
