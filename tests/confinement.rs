//! What a worker cannot do any more, as the kernel sees it and as `hotline status` tells it.
use std::fs::{self, File, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;

use hotline::sys::{self, sandbox};
use nix::unistd::{Gid, Uid, setfsgid, setfsuid};
use serde_json::json;
use tempfile::TempDir;

use crate::calls::place_call;
use crate::cases::new_case;
use crate::support::Hotline;

/// A field of `/proc/<pid>/status`, or a row of `/proc/<pid>/limits`.
fn proc_line(pid: i64, file: &str, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name} in {text}"));
    line.trim().to_owned()
}

fn workers(hotline: &Hotline) -> Vec<serde_json::Value> {
    hotline.status()["workers"].as_array().unwrap().clone()
}

#[test]
fn every_worker_is_confined_and_says_so() {
    let hotline = Hotline::start("");
    let nothing = sandbox::Folders::default();
    let landlock_abi = std::thread::spawn(move || sandbox::keep_to_folders(&nothing).unwrap()).join();
    let landlock_abi = landlock_abi.unwrap();
    for worker in workers(&hotline) {
        let pid = worker["pid"].as_i64().unwrap();
        assert_eq!(worker["confinement"]["landlockAbi"], landlock_abi, "{worker}");
        assert_eq!(proc_line(pid, "status", "NoNewPrivs:"), "1", "{worker}");
        assert_eq!(proc_line(pid, "status", "Seccomp:"), "2", "{worker}");
        assert_eq!(proc_line(pid, "status", "Umask:"), "0077", "{worker}");
        assert!(proc_line(pid, "limits", "Max core file size").starts_with('0'), "{worker}");
        for thread in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
            let status = fs::read_to_string(thread.unwrap().path().join("status")).unwrap_or_default();
            assert!(status.is_empty() || status.contains("\nSeccomp:\t2\n"), "a thread without a filter: {status}");
        }
        let told = &worker["confinement"];
        assert_eq!((&told["callsFiltered"], &told["noNewPrivileges"]), (&true.into(), &true.into()), "{worker}");
    }
    let page = String::from_utf8(hotline.command(&["status"]).stdout).unwrap();
    assert_eq!(page.matches("calls").count(), 4, "{page}");
    let log = fs::read_to_string(hotline.folder().join("log")).unwrap();
    assert_eq!(log.matches("what holds the workers of this role").count(), 3, "once for each role");
}

#[test]
fn who_answers_people_goes_before_what_can_wait() {
    let hotline = Hotline::start("");
    hotline.admin();
    for worker in workers(&hotline) {
        let (pid, role) = (worker["pid"].as_i64().unwrap(), worker["role"].as_str().unwrap());
        for thread in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
            let Ok(stat) = fs::read_to_string(thread.unwrap().path().join("stat")) else { continue };
            let (name, fields) = stat.split_once('(').unwrap().1.rsplit_once(") ").unwrap();
            // The nineteenth of all, of which two are cut off.
            let niceness: i32 = fields.split(' ').nth(16).unwrap().parse().unwrap();
            let waits = role == "background" || name.starts_with("herald") || name.starts_with("password");
            assert_eq!(niceness > 0, waits, "{role}: {name} runs at {niceness}");
        }
    }
}

#[test]
fn without_the_sandbox_nobody_is_told_otherwise() {
    let hotline = Hotline::start("[workers]\nsandbox = \"off\"\n");
    for worker in workers(&hotline) {
        let pid = worker["pid"].as_i64().unwrap();
        assert_eq!(proc_line(pid, "status", "Seccomp:"), "0");
        assert_eq!(proc_line(pid, "status", "NoNewPrivs:"), "1", "that does not depend on it");
        let told = &worker["confinement"];
        assert_eq!((&told["callsFiltered"], &told["landlockAbi"]), (&false.into(), &0.into()), "{worker}");
    }
    let log = fs::read_to_string(hotline.folder().join("log")).unwrap();
    assert!(log.contains("workers.sandbox"), "{log}");
}

const STRANGER: u32 = 65_534;
const ACCOUNT: &str = "[workers]\nuser = \"65534:65534\"\n";

/// A place that another account may pass through. `None`: we may not start anything under another account.
fn passable() -> Option<TempDir> {
    if !sandbox::may_assume_accounts() {
        eprintln!("only root can try this");
        return None;
    }
    Some(tempfile::Builder::new().prefix("hotline-").permissions(Permissions::from_mode(0o711)).tempdir().unwrap())
}

/// What the closure returns in a thread that the kernel treats as the workers' account where files and
/// sockets are concerned.
fn as_stranger<T: Send>(act: impl FnOnce() -> T + Send) -> T {
    let thread = || {
        setfsgid(Gid::from_raw(STRANGER)); // first: the account may not
        setfsuid(Uid::from_raw(STRANGER));
        act()
    };
    std::thread::scope(|scope| scope.spawn(thread).join()).unwrap()
}

#[test]
fn workers_under_their_own_account_serve_and_reach_neither_keys_nor_port() {
    let Some(folder) = passable() else { return };
    let hotline = Hotline::start_in(folder, ACCOUNT);
    assert_eq!(proc_line(hotline.supervisor_pid().into(), "status", "Uid:"), "0\t0\t0\t0");
    for worker in workers(&hotline) {
        let pid = worker["pid"].as_i64().unwrap();
        assert_eq!(worker["confinement"]["uid"], STRANGER, "{worker}");
        assert_eq!(proc_line(pid, "status", "Uid:"), "65534\t65534\t65534\t65534");
        assert_eq!(proc_line(pid, "status", "Groups:"), "");
        assert_eq!(proc_line(pid, "status", "CapBnd:"), "0000000000000000");
    }

    let password = json!({ "username": "admin", "password": "correct horse battery staple" });
    hotline.client().post_json("/api/v1/auth/login", &password).expect(200);
    let lawyer = hotline.admin();
    let call = place_call(&lawyer, "own-account");
    lawyer.get(&format!("/api/v1/cases/{}", call["caseNumber"].as_str().unwrap())).expect(200);
    let report = hotline.command(&["audit", "verify", "--json"]);
    assert!(report.status.success(), "{}", String::from_utf8_lossy(&report.stdout));

    let state = hotline.state_dir();
    let denied = |result: std::io::Result<()>| result.unwrap_err().kind() == ErrorKind::PermissionDenied;
    as_stranger(|| {
        assert!(File::open(state.join("store/hotline.db")).is_ok(), "the database is theirs");
        assert!(denied(File::open(state.join("keys/kek-0001.key")).map(drop)));
        assert!(denied(fs::read_dir(state.join("keys")).map(drop)));
        assert!(denied(fs::rename(state.join("keys"), state.join("store/keys"))));
        assert!(denied(File::create(state.join("new")).map(drop)));
        assert!(denied(UnixStream::connect(state.join("run/admin.sock")).map(drop)));
        let joined = sys::listen_tcp_reuseport(hotline.address, 1).map(drop);
        assert_eq!(joined.unwrap_err().kind(), ErrorKind::AddrInUse, "the port is the supervisor's");
    });
    sys::listen_tcp_reuseport(hotline.address, 1).unwrap(); // whose uid may
}

#[test]
fn an_account_can_be_given_taken_away_and_given_again() {
    let Some(mut folder) = passable() else { return };
    let mut cases = Vec::new();
    for overrides in ["", ACCOUNT, "", ACCOUNT] {
        let hotline = Hotline::start_in(folder, overrides);
        let lawyer = hotline.admin();
        let created = lawyer.post_json("/api/v1/cases", &new_case("Ana Ruiz")).expect(201);
        cases.push(created.header("Location").unwrap().to_owned());
        for case in &cases {
            lawyer.get(case).expect(200);
        }
        let mode = fs::metadata(hotline.state_dir()).unwrap().mode() & 0o777;
        assert_eq!(mode, if overrides.is_empty() { 0o700 } else { 0o710 });
        let (code, left) = hotline.stop();
        assert_eq!(code, Some(0));
        folder = left;
    }
}

#[test]
fn a_file_that_the_account_cannot_read_is_named() {
    let Some(folder) = passable() else { return };
    let knowledge = folder.path().join("knowledge");
    fs::create_dir(&knowledge).unwrap();
    fs::set_permissions(&knowledge, Permissions::from_mode(0o700)).unwrap();
    let config = folder.path().join("config.toml");
    let state = folder.path().join("state");
    fs::write(&config, format!("{ACCOUNT}[paths]\nstate_dir = {state:?}\nknowledge_dir = {knowledge:?}\n")).unwrap();
    let output = std::process::Command::new(crate::support::binaries().join("hotline"))
        .args(["serve", "--config"])
        .arg(&config)
        .env("HOTLINE_BIND", "127.0.0.1:0")
        .env("HOTLINE_METRICS_BIND", "127.0.0.1:0")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{told}");
    assert!(told.contains(knowledge.to_str().unwrap()) && told.contains("workers.user"), "{told}");
}
