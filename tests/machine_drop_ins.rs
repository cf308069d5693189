//! What operators may change of the installed service, under a real systemd: every drop-in that is offered to them.
use std::fs;

use crate::machine::SERVICE;
use crate::support::{Machine, until};

#[test]
fn every_drop_in_leaves_a_service_that_serves() {
    let Some(machine) = Machine::boot() else { return };
    for entry in fs::read_dir(machine.path("/usr/share/doc/hotline/drop-ins")).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        // These need a secret and have a test of their own.
        if ["admin-password.conf", "kek-credential.conf"].contains(&name.as_str()) {
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

#[test]
fn the_key_over_the_keys_is_unsealed_by_the_service_manager() {
    let Some(machine) = Machine::boot() else { return };
    // This machine has neither a TPM nor a disk of its own to seal with; what is handed over is the same.
    let drop_in = offered(&machine, "kek-credential.conf").replace("LoadCredentialEncrypted=", "LoadCredential=");
    let make = |byte: u8| fs::write(machine.path("/etc/credstore/hotline.kek"), [byte; 32]).unwrap();
    machine.must(&["systemctl", "start", SERVICE]);
    assert!(machine.path("/var/lib/hotline/keys/kek-0001.key").exists());
    make(1);
    machine.drop_in(SERVICE, "kek-credential.conf", &drop_in);
    machine.must(&["systemctl", "restart", SERVICE]);
    machine.must(&["hotline", "health", "https://127.0.0.1:7000"]);
    assert!(!machine.path("/var/lib/hotline/keys/kek-0001.key").exists(), "no key lies beside the data any more");
    let list = machine.must(&["hotline", "keys", "list", "--config", "/etc/hotline/hotline.toml"]);
    assert!(list.contains("credential:"), "{list}");
    machine.must(&["systemctl", "reload", SERVICE]);
    machine.must(&["systemctl", "restart", SERVICE]);
    // Another key and not the one before: the service says so and is not started again and again.
    make(2);
    assert!(!machine.systemctl(&["restart", SERVICE]).status.success());
    until("it has given up", || machine.property(SERVICE, "ExecMainStatus") == "78");
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
