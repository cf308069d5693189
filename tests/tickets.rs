//! A TLS session resumes on any worker, after every worker was killed and after the keys changed; and the keys
//! are nowhere but in memory.
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::{Hotline, Role, until};

/// A session as a caller keeps it.
struct Session(PathBuf);

impl Session {
    fn gain(hotline: &Hotline) -> Self {
        let session = Self(hotline.folder().join("session.pem"));
        let shown = call(hotline, &["-sess_out", session.0.to_str().unwrap()]);
        assert!(shown.contains("New, TLSv1.3"), "{shown}");
        assert!(session.0.exists(), "no ticket came: {shown}");
        session
    }

    /// Calls with it; tells whether the service remembered.
    fn resumes(&self, hotline: &Hotline) -> bool {
        let shown = call(hotline, &["-sess_in", self.0.to_str().unwrap()]);
        assert!(shown.contains("HTTP/1.1 200"), "{shown}");
        shown.contains("Reused, TLSv1.3")
    }
}

/// One request with the command line client that everybody has; what it printed.
fn call(hotline: &Hotline, args: &[&str]) -> String {
    let mut client = Command::new("openssl")
        .args(["s_client", "-connect", &hotline.address.to_string(), "-servername", "localhost", "-tls1_3"])
        .args(["-ign_eof"])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The ticket comes after the handshake: only a client that stays for an answer has it.
    let mut request = client.stdin.take().unwrap();
    request.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    drop(request);
    let output = client.wait_with_output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn handshakes(hotline: &Hotline, kind: &str, slot: usize) -> f64 {
    let (kind, slot) = (format!("kind=\"{kind}\""), format!("slot=\"api-{slot}\""));
    hotline.metric("hotline_tls_handshakes_total", &[&kind, &slot])
}

fn rotations(hotline: &Hotline) -> f64 {
    hotline.metric("hotline_ticket_key_rotations_total", &[])
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .collect();
    found.sort();
    found
}

#[test]
fn a_session_resumes_on_every_worker() {
    const WORKERS: usize = 3;
    let hotline = Hotline::start(&format!("[workers]\napi = {WORKERS}\n"));
    let session = Session::gain(&hotline);
    let full: f64 = (0..WORKERS).map(|slot| handshakes(&hotline, "full", slot)).sum();
    assert_eq!(full, 1.0);
    until("every worker was reached", || {
        assert!(session.resumes(&hotline), "the ticket of one worker is a stranger to another");
        (0..WORKERS).all(|slot| handshakes(&hotline, "resumed", slot) >= 1.0)
    });
    let full: f64 = (0..WORKERS).map(|slot| handshakes(&hotline, "full", slot)).sum();
    assert_eq!(full, 1.0, "nobody shook hands in full again");
    assert_eq!(hotline.metric("hotline_tls_tickets_refused_total", &[]), 0.0);
}

#[test]
fn a_session_survives_the_death_of_every_worker() {
    let hotline = Hotline::start("");
    let session = Session::gain(&hotline);
    for index in 0..2 {
        let former = hotline.kill(Role::Api, index);
        hotline.wait_for_successor(Role::Api, index, former);
    }
    assert!(session.resumes(&hotline));
}

#[test]
fn a_session_survives_a_rotation_and_nothing_is_written_down() {
    let hotline = Hotline::start("[tls]\nticket_lifetime_seconds = 20\n[cache]\nenabled = false\n");
    let session = Session::gain(&hotline);
    let (before, files_before) = (rotations(&hotline), files(&hotline.state_dir()));
    until("the keys were changed", || rotations(&hotline) > before);
    assert!(session.resumes(&hotline), "sealed before the rotation");
    // What is published of the log grows by files, and holds entries of the log.
    let written_down = |files: Vec<PathBuf>| -> Vec<PathBuf> {
        files.into_iter().filter(|file| !file.starts_with(hotline.state_dir().join("tlog"))).collect()
    };
    assert_eq!(written_down(files(&hotline.state_dir())), written_down(files_before));
}

#[test]
fn a_new_supervisor_has_new_keys() {
    let hotline = Hotline::start("");
    let session = Session::gain(&hotline);
    assert!(session.resumes(&hotline));
    let again = Hotline::start_in(hotline.kill_supervisor(), "");
    assert!(!session.resumes(&again), "a key was found again: it must have been written down");
    let reason = "reason=\"unknown_key\"";
    assert_eq!(again.metric("hotline_tls_tickets_refused_total", &[reason]), 1.0);
}
