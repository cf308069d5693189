//! The supervisor as a parent: it buries its dead, keeps nothing of theirs, minds nobody else's children, stays fit to
//! fork, and starts what was installed when it began.
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::support::{Hotline, Role, binaries, models, repository, signal, until};

/// Children of a process with their states, as the kernel has them.
fn children(parent: i32) -> Vec<(i32, char)> {
    let stat = |entry: fs::DirEntry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let mut fields = stat.rsplit(')').next()?.split_whitespace();
        let state = fields.next()?.chars().next()?;
        (fields.next()?.parse() == Ok(parent)).then_some((pid, state))
    };
    fs::read_dir("/proc").unwrap().flatten().filter_map(stat).collect()
}

fn pids(hotline: &Hotline) -> Vec<i32> {
    let workers = hotline.status()["workers"].as_array().unwrap().clone();
    let mut pids: Vec<i32> = workers.iter().filter_map(|worker| worker["pid"].as_i64()).map(|pid| pid as i32).collect();
    pids.sort_unstable();
    pids
}

fn descriptors(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

#[test]
fn nothing_is_left_of_workers_that_died() {
    let hotline = Hotline::start("[workers]\napi = 2\nbackoff_max_ms = 100");
    let supervisor = hotline.supervisor_pid();
    let before = descriptors(supervisor);
    for _ in 0..3 {
        for (role, index) in [(Role::Api, 0), (Role::Api, 1), (Role::Scribe, 0), (Role::Background, 0)] {
            let killed = hotline.kill(role, index);
            hotline.wait_for_successor(role, index, killed);
        }
    }
    // Two that end at once are one signal.
    let (first, second) = (hotline.pid(Role::Api, 0), hotline.pid(Role::Api, 1));
    signal(first, "KILL");
    signal(second, "KILL");
    hotline.wait_for_successor(Role::Api, 0, first);
    hotline.wait_for_successor(Role::Api, 1, second);
    until("its children are its workers, and none is a zombie", || {
        let mut children = children(supervisor);
        children.sort_unstable();
        children.iter().all(|(_, state)| *state != 'Z')
            && children.iter().map(|(pid, _)| *pid).collect::<Vec<_>>() == pids(&hotline)
    });
    until("no descriptor was kept", || descriptors(supervisor) == before);
}

#[test]
fn the_death_of_a_child_it_never_had_is_taken_for_nobodys() {
    let folder = TempDir::with_prefix("hotline-").unwrap();
    let mut command = Command::new("bash");
    // Who is started by a shell inherits the shell's children.
    let script = "sleep 1000 </dev/null >/dev/null 2>&1 & echo $! > \"$0\"; exec \"$@\"";
    command.args(["-c", script]).arg(folder.path().join("stranger")).arg(binaries().join("hotline"));
    let hotline = Hotline::start_by(folder, "", command);
    let stranger: i32 = fs::read_to_string(hotline.folder().join("stranger")).unwrap().trim().parse().unwrap();
    assert!(children(hotline.supervisor_pid()).iter().any(|(pid, _)| *pid == stranger), "not inherited");
    let before = pids(&hotline);
    signal(stranger, "KILL");
    until("the stranger has ended, and is no zombie", || {
        children(hotline.supervisor_pid()).iter().all(|(pid, _)| *pid != stranger)
    });
    assert_eq!(pids(&hotline), before);
    let killed = hotline.kill(Role::Api, 0);
    hotline.wait_for_successor(Role::Api, 0, killed);
    assert_eq!(hotline.metric("hotline_worker_restarts_total", &[]), 1.0, "the one that really died");
}

#[test]
fn it_has_one_thread_whatever_it_does() {
    let hotline = Hotline::start("");
    let threads = || {
        let folder = format!("/proc/{}/task", hotline.supervisor_pid());
        fs::read_dir(folder).unwrap().count()
    };
    assert_eq!(threads(), 1);
    let killed = hotline.kill(Role::Scribe, 0);
    hotline.wait_for_successor(Role::Scribe, 0, killed);
    hotline.metrics_text();
    hotline.configure("[limits]\njson_bytes_max = 200000");
    assert!(hotline.command(&["reload"]).status.success());
    hotline.admin();
    assert_eq!(threads(), 1);
}

#[test]
fn a_worker_is_followed_by_its_like_though_another_was_installed_over_it() {
    let installed = TempDir::with_prefix("hotline-bin-").unwrap();
    for name in ["hotline", "hotline-api", "hotline-scribe", "hotline-background"] {
        let (from, to) = (binaries().join(name), installed.path().join(name));
        fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(drop)).unwrap();
    }
    let folder = TempDir::with_prefix("hotline-").unwrap();
    let hotline = Hotline::start_by(folder, "", Command::new(installed.path().join("hotline")));
    for name in ["hotline-api", "hotline-scribe", "hotline-background"] {
        replace(&installed.path().join(name), b"of another build, and not even a program");
    }
    for role in [Role::Api, Role::Scribe, Role::Background] {
        let killed = hotline.kill(role, 0);
        hotline.wait_for_successor(role, 0, killed);
    }
    hotline.client().get("/health").expect(200);
}

/// As a package does: another file takes the name.
fn replace(path: &Path, bytes: &[u8]) {
    let new = path.with_extension("new");
    fs::write(&new, bytes).unwrap();
    fs::rename(new, path).unwrap();
}

#[test]
fn when_no_worker_can_live_with_the_settings_it_says_why_and_ends() {
    let folder = TempDir::with_prefix("hotline-").unwrap();
    let nothing = folder.path().join("nothing-to-know");
    fs::create_dir(&nothing).unwrap();
    let config = folder.path().join("hotline.toml");
    let settings = format!(
        "[server]\nbind = \"127.0.0.1:0\"\n[telemetry]\nmetrics_bind = \"127.0.0.1:0\"\n\
         [paths]\nstate_dir = {:?}\nmodels_dir = {:?}\nknowledge_dir = {nothing:?}\n[workers]\napi = 2\n",
        folder.path().join("state"),
        models(),
    );
    fs::write(&config, settings).unwrap();
    let output = Command::new(binaries().join("hotline"))
        .args(["serve", "--config"])
        .arg(&config)
        .current_dir(repository())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{told}");
    assert!(told.contains("no knowledge base"), "the cause is told: {told}");
    assert!(!String::from_utf8_lossy(&output.stdout).contains("ready "), "nobody was told that it serves");
    let ends = told.lines().filter(|line| line.contains("worker ended") && line.contains("api-0")).count();
    assert_eq!(ends, 1, "what cannot work is not tried again: {told}");
}
