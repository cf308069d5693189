//! What a worker cannot do any more, as the kernel sees it and as `hotline status` tells it.
use std::fs;

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
    let nothing = hotline::sys::sandbox::Folders::default();
    let landlock_abi = std::thread::spawn(move || hotline::sys::sandbox::keep_to_folders(&nothing).unwrap()).join();
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
