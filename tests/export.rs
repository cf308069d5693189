//! Other systems get every record once, in the form they read, and neither they nor their faults reach the service.
use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::cases::new_case;
use crate::support::{Client, Hotline, until};

const PROMPT: &str = "[audit]\npublish_interval_ms = 20\norigin = \"example.org/hotline\"";

fn work(lawyer: &Client, cases: usize) {
    for n in 0..cases {
        lawyer.post_json("/api/v1/cases", &new_case(&format!("Caller {n}"))).expect(201);
    }
}

/// Waits until all that is in the log now can be exported; tells how much that is.
fn published(hotline: &Hotline) -> u64 {
    let verified =
        || -> Value { serde_json::from_slice(&hotline.command(&["audit", "verify", "--json"]).stdout).unwrap() };
    let records = verified()["records"].as_u64().unwrap();
    until("it is published", || verified()["published"].as_u64().unwrap() >= records);
    records
}

fn exported(hotline: &Hotline, args: &[&str]) -> Vec<String> {
    let output = hotline.command(&[&["audit", "export"], args].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn every_record_is_exported_once_and_a_cursor_goes_on() {
    let hotline = Hotline::start(PROMPT);
    let lawyer = hotline.admin();
    work(&lawyer, 260);
    let records = published(&hotline);
    let events: Vec<Value> = exported(&hotline, &[]).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let numbers: Vec<u64> = events.iter().map(|event| event["metadata"]["sequence"].as_u64().unwrap()).collect();
    assert!(numbers.len() as u64 >= records && records > 256, "more than a bundle: {records}");
    assert!(numbers.iter().copied().eq(1..=numbers.len() as u64));
    assert!(events.iter().any(|event| event["class_uid"] == 3004 && event["activity_id"] == 1), "a case was opened");
    for format in ["cef", "syslog", "entry"] {
        assert!(exported(&hotline, &["--format", format]).len() as u64 >= records);
    }

    let cursor = hotline.folder().join("cursor");
    let cursor = cursor.to_str().unwrap();
    let first = exported(&hotline, &["--cursor", cursor, "--format", "entry"]);
    work(&lawyer, 3);
    published(&hotline);
    let second = exported(&hotline, &["--cursor", cursor, "--format", "entry"]);
    let seq = |line: &str| serde_json::from_str::<Value>(line).unwrap()["seq"].as_u64().unwrap();
    assert_eq!(seq(&second[0]), seq(first.last().unwrap()) + 1);
    assert!(!second.concat().contains("Caller"), "no name leaves");
}

/// A syslog server as far as TLS goes: `openssl`, which prints what it is sent.
struct Receiver {
    process: Child,
    said: Arc<Mutex<String>>,
}

impl Receiver {
    fn start(folder: &Path, port: u16) -> Self {
        let mut process = Command::new("openssl")
            .args(["s_server", "-quiet", "-tls1_3", "-cert", "cert.pem", "-key", "key.pem", "-accept"])
            .arg(format!("127.0.0.1:{port}"))
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut out, said) = (process.stdout.take().unwrap(), Arc::new(Mutex::new(String::new())));
        let heard = Arc::clone(&said);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(bytes @ 1..) = out.read(&mut buffer) {
                heard.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..bytes]));
            }
        });
        Self { process, said }
    }

    fn has_heard(&self, text: &str) -> bool {
        self.said.lock().unwrap().contains(text)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

struct Exporter(Child);

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_syslog_server_that_goes_away_gets_the_rest_when_it_is_back() {
    let hotline = Hotline::start(PROMPT);
    let lawyer = hotline.admin();
    let folder = tempfile::tempdir().unwrap();
    let request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=logs \
                   -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE \
                   -keyout key.pem -out cert.pem";
    let made = Command::new("openssl").args(request.split_whitespace()).current_dir(folder.path()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let receiver = Receiver::start(folder.path(), port);
    until("it listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (to, ca, cursor) = (format!("localhost:{port}"), at("cert.pem"), at("cursor"));
    let args = ["audit", "export", "--format", "syslog", "--follow", "--to", &to, "--ca", &ca, "--cursor", &cursor];
    let _exporter = Exporter(hotline.command_in_background(&args));
    work(&lawyer, 1);
    let line = |seq: u64| format!(" example.org hotline-audit - {}", seq_of(&hotline, seq));
    let first = published(&hotline);
    until("the record has come", || receiver.has_heard(&line(first)));
    drop(receiver);

    work(&lawyer, 30);
    let last = published(&hotline);
    let receiver = Receiver::start(folder.path(), port);
    until("the rest has come", || {
        // Each new record is another reason to notice that the receiver had gone.
        work(&lawyer, 1);
        receiver.has_heard(&line(last))
    });
    until("the cursor has moved", || {
        fs::read_to_string(&cursor).is_ok_and(|text| text.trim().parse::<u64>().unwrap() >= last)
    });
}

/// What a syslog line says of a record.
fn seq_of(hotline: &Hotline, seq: u64) -> String {
    let lines = exported(hotline, &["--format", "syslog", "--from", &seq.to_string()]);
    lines[0].split_once(" hotline-audit - ").unwrap().1.to_owned()
}
