//! What the service tells its service manager, and when; and that the manager of these tests is a good one.
use std::fs::{DirBuilder, File};
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use hotline::sys::OfdLock;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use tempfile::TempDir;

use crate::support::{Hotline, ServiceManager, binaries, until};

fn start(manager: &ServiceManager, watchdog: Option<Duration>, folder: TempDir, overrides: &str) -> Hotline {
    manager.start(&binaries().join("hotline"), watchdog, |command| Hotline::start_by(folder, overrides, command))
}

/// The background worker waits for its turn to make the first administrator, and the test has it.
#[test]
fn ready_is_not_said_while_a_single_slot_does_not_serve() {
    let manager = ServiceManager::new(0);
    let folder = TempDir::with_prefix("hotline-").unwrap();
    let state = folder.path().join("state");
    DirBuilder::new().mode(0o700).create(&state).unwrap();
    DirBuilder::new().mode(0o700).create(state.join("store")).unwrap();
    let turn = File::create(state.join("store/.first-administrator.lock")).unwrap();
    let turn = OfdLock::new(turn);
    let mine = turn.lock().unwrap();

    let config = folder.path().join("hotline.toml");
    std::thread::scope(|scope| {
        let starting = scope.spawn(|| start(&manager, None, folder, "[workers]\nready_within_ms = 600000\n"));
        for slot in ["scribe-0", "api-0", "api-1"] {
            until(&format!("{slot} serves"), || phase(&config, slot).as_deref() == Some("serving"));
        }
        assert_eq!(phase(&config, "background-0").as_deref(), Some("starting"));
        assert_eq!(manager.count("READY=1"), 0);
        drop(mine);
        manager.wait_for("READY=1");
        let hotline = starting.join().unwrap();
        assert!(hotline.status()["workers"].as_array().unwrap().iter().all(|worker| worker["phase"] == "serving"));
    });
}

#[test]
fn the_manager_is_told_of_the_start_and_of_the_end_by_the_supervisor_alone() {
    let manager = ServiceManager::new(0);
    let hotline = start(&manager, None, TempDir::with_prefix("hotline-").unwrap(), "");
    manager.wait_for("READY=1");
    let supervisor = hotline.supervisor_pid();
    assert_eq!(manager.count("STOPPING=1"), 0);
    let (code, _folder) = hotline.stop();
    assert_eq!(code, Some(0));
    manager.wait_for("STOPPING=1");
    let said = manager.said();
    let place = |line: &str| said.iter().position(|said| said == line).unwrap();
    assert!(place("READY=1") < place("STOPPING=1"), "{said:?}");
    assert!(!said.iter().any(|line| line.starts_with("MAINPID=")), "the supervisor never changes: {said:?}");
    assert!(!said.iter().any(|line| line == "WATCHDOG=1"), "nobody asked for it: {said:?}");
    assert_eq!(manager.speakers().into_iter().collect::<Vec<_>>(), [supervisor]);
}

#[test]
fn the_watchdog_is_fed_for_as_long_as_the_supervisor_runs() {
    let manager = ServiceManager::new(0);
    let every = Some(Duration::from_millis(400));
    let hotline = start(&manager, every, TempDir::with_prefix("hotline-").unwrap(), "");
    let fed = manager.count("WATCHDOG=1");
    until("fed again and again", || manager.count("WATCHDOG=1") >= fed + 5);
    hotline.stop();
}

/// The stand-in itself, with a shell for a service.
#[test]
fn what_is_entrusted_is_handed_to_the_next_life_by_name_and_number() {
    let manager = ServiceManager::new(8);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (stays, _peer) = UnixStream::pair().unwrap();
    let say = |text: &str, fds: &[BorrowedFd<'_>]| {
        manager.start(Path::new("env"), None, |command| send(&socket_of(&command), text, fds));
    };
    say("FDSTORE=1\nFDNAME=slot-0", &[listener.as_fd()]);
    say("FDSTORE=1\nFDNAME=board\nFDPOLL=0", &[stays.as_fd()]);
    say("FDSTORE=1\nFDNAME=slot-0", &[listener.as_fd()]);
    say("FDSTORE=1\nFDNAME=slot-9", &[TcpListener::bind("127.0.0.1:0").unwrap().as_fd()]);
    until("both are kept", || manager.stored_names() == ["board", "slot-0", "slot-9"]);
    say("FDSTOREREMOVE=1\nFDNAME=slot-9", &[]);
    until("one is given back", || manager.stored_names() == ["board", "slot-0"]);

    let output = manager.start(Path::new("bash"), None, |mut command| {
        let script = r#"echo "$LISTEN_PID $$ $LISTEN_FDS $LISTEN_FDNAMES"; stat -L -c %i /proc/$$/fd/3 /proc/$$/fd/4; ls /proc/$$/fd"#;
        command.args(["-c", script]).stdin(Stdio::null()).output().unwrap()
    });
    let told = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = told.lines().collect();
    let words: Vec<&str> = lines[0].split(' ').collect();
    assert_eq!(words[0], words[1], "LISTEN_PID is the process that runs: {told}");
    assert_eq!(words[2..], ["2", "slot-0:board"], "{told}");
    assert_eq!(lines[1], inode(&listener).to_string(), "{told}");
    assert_eq!(lines[2], inode(&stays).to_string(), "{told}");
    assert!(!lines[3..].iter().any(|number| number.len() > 2 && *number >= "400"), "none is left over: {told}");
}

#[test]
fn what_hangs_up_is_forgotten_unless_it_was_to_be_kept_anyway() {
    let manager = ServiceManager::new(2);
    let pairs = [UnixStream::pair().unwrap(), UnixStream::pair().unwrap(), UnixStream::pair().unwrap()];
    manager.start(Path::new("env"), None, |command| {
        for (text, (kept, _)) in
            ["FDSTORE=1\nFDNAME=a", "FDSTORE=1\nFDNAME=b\nFDPOLL=0", "FDSTORE=1"].iter().zip(&pairs)
        {
            send(&socket_of(&command), text, &[kept.as_fd()]);
        }
    });
    until("all was said", || manager.count("FDSTORE=1") == 3);
    assert_eq!(manager.stored_names(), ["a", "b"], "the third is one too many");
    drop(pairs);
    assert_eq!(manager.stored_names(), ["b"]);
}

fn socket_of(command: &Command) -> String {
    let (_, socket) = command.get_envs().find(|(name, _)| *name == "NOTIFY_SOCKET").unwrap();
    socket.unwrap().to_str().unwrap().to_owned()
}

fn send(socket: &str, text: &str, fds: &[BorrowedFd<'_>]) {
    let sender = UnixDatagram::unbound().unwrap();
    sender.connect(socket).unwrap();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    assert!(fds.is_empty() || ancillary.push(SendAncillaryMessage::ScmRights(fds)));
    sendmsg(&sender, &[IoSlice::new(text.as_bytes())], &mut ancillary, SendFlags::empty()).unwrap();
}

fn phase(config: &Path, slot: &str) -> Option<String> {
    let output =
        Command::new(binaries().join("hotline")).args(["status", "--json", "--config"]).arg(config).output().ok()?;
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
    let worker = status["workers"].as_array()?.iter().find(|worker| worker["slot"] == slot)?.clone();
    Some(worker["phase"].as_str()?.to_owned())
}

fn inode(fd: &impl AsFd) -> u64 {
    rustix::fs::fstat(fd).unwrap().st_ino
}
