//! `hotline top`: one picture for a pipe, a live one for a terminal, which is always given back.
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::support::{Hotline, binaries, until};

/// `hotline top` on a terminal of its own, between two looks at the terminal's settings.
struct Top {
    terminal: Child,
    keys: ChildStdin,
    shown: Arc<Mutex<String>>,
}

impl Top {
    fn start(hotline: &Hotline) -> Self {
        let (program, config) = (binaries().join("hotline"), hotline.folder().join("hotline.toml"));
        let top = format!("{} top --interval-ms 250 --config {}", program.display(), config.display());
        let line = format!("stty cols 120 rows 40; sh -c 'echo pid=$$.; exec {top}'; echo code=$?.; stty -a");
        let mut terminal = Command::new("script")
            .args(["--quiet", "--return", "--command", &line, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let shown = Arc::new(Mutex::new(String::new()));
        let (mut output, copy) = (terminal.stdout.take().unwrap(), Arc::clone(&shown));
        std::thread::spawn(move || {
            let mut bytes = [0; 4_096];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                copy.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        let keys = terminal.stdin.take().unwrap();
        let top = Self { terminal, keys, shown };
        until("the picture is there", || top.shows("EACH") && top.shows("api-0"));
        top
    }

    fn shows(&self, text: &str) -> bool {
        self.shown.lock().unwrap().contains(text)
    }

    fn pid(&self) -> String {
        let shown = self.shown.lock().unwrap();
        let (_, rest) = shown.split_once("pid=").unwrap();
        rest.split_once('.').unwrap().0.to_owned()
    }

    /// Ended by itself, with success, and the terminal is as it was.
    fn expect_given_back(mut self) {
        until("it left", || self.shows("code="));
        drop(self.keys);
        self.terminal.wait().unwrap();
        let shown = self.shown.lock().unwrap().clone();
        assert!(shown.contains("code=0."), "{shown}");
        let (_, after) = shown.split_once("\x1b[?1049l").expect("the first screen is back");
        assert!(after.contains(" icanon") && after.contains(" echo "), "{after}");
    }
}

#[test]
fn a_pipe_gets_one_picture_with_rates() {
    let hotline = Hotline::start("");
    let (client, stop) = (hotline.client(), Arc::new(AtomicBool::new(false)));
    let callers = {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                client.get("/health").expect(200);
            }
        })
    };
    let output = hotline.command(&["top"]);
    stop.store(true, Ordering::Relaxed);
    callers.join().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(!text.contains('\x1b'), "no terminal codes in a pipe: {text}");
    let line = |start: &str| text.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{text}"));
    let answered: f64 = line("answered").split_whitespace().nth(1).unwrap().trim_end_matches("/s").parse().unwrap();
    assert!(answered > 0.0 && line("answered").contains("request"), "{text}");
    for slot in ["scribe-0", "background-0", "api-0", "api-1"] {
        assert!(line(slot).contains("serving"), "{text}");
    }
}

#[test]
fn a_key_ends_it_and_the_terminal_is_given_back() {
    let hotline = Hotline::start("");
    let mut top = Top::start(&hotline);
    top.keys.write_all(b"q").unwrap();
    top.expect_given_back();
}

#[test]
fn a_signal_ends_it_and_the_terminal_is_given_back() {
    let hotline = Hotline::start("");
    let top = Top::start(&hotline);
    assert!(Command::new("kill").args(["-TERM", &top.pid()]).status().unwrap().success());
    top.expect_given_back();
}

#[test]
fn a_service_that_went_away_is_told_of() {
    let hotline = Hotline::start("");
    let mut top = Top::start(&hotline);
    assert_eq!(hotline.stop().0, Some(0));
    until("the reason is shown", || top.shows("running"));
    top.keys.write_all(&[3]).unwrap();
    top.expect_given_back();
}
