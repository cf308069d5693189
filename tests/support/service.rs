//! A running product of its own: config, state folder, ports, processes.
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;

use tempfile::TempDir;

use super::{Client, patience, until};

/// Workers by role, as `hotline status` names them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Api,
    Background,
    Scribe,
}

/// The product, started for one test. Dropping it ends what is left of it, by pid.
pub struct Hotline {
    folder: TempDir,
    supervisor: Child,
    pub address: SocketAddr,
    pub metrics: SocketAddr,
}

impl Hotline {
    /// Embedded defaults with generous limits; `overrides` are lines of TOML with section headers.
    pub fn start(overrides: &str) -> Self {
        Self::start_in(TempDir::with_prefix("hotline-").unwrap(), overrides)
    }

    /// As `start`, over a state folder that may hold an earlier life.
    pub fn start_in(folder: TempDir, overrides: &str) -> Self {
        Self::start_by(folder, overrides, Command::new(binaries().join("hotline")))
    }

    /// As `start_in`, by a command of the caller's: with variables, or through a shell that ends in `exec "$@"`.
    pub fn start_by(folder: TempDir, overrides: &str, mut command: Command) -> Self {
        let config = folder.path().join("hotline.toml");
        fs::write(&config, Self::config(folder.path(), overrides)).unwrap();
        fs::write(folder.path().join("password"), ADMIN_PASSWORD).unwrap();
        let log = File::options().create(true).append(true).open(folder.path().join("log")).unwrap();
        let mut supervisor = command
            .args(["serve", "--config"])
            .arg(&config)
            .env("HOTLINE_ADMIN_PASSWORD_FILE", folder.path().join("password"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let ready = first_ready_line(&mut supervisor);
        let Some(address) = ready else {
            print_log(folder.path());
            let _ = supervisor.kill();
            panic!("the product did not become ready (executables of two builds? `cargo build` makes them one again)");
        };
        let mut hotline = Self { folder, supervisor, address, metrics: address };
        hotline.metrics = hotline.status()["metrics"].as_str().unwrap().parse().unwrap();
        hotline
    }

    fn config(folder: &Path, overrides: &str) -> String {
        let mut table: toml::Table = format!(
            r#"
            [server]
            bind = "127.0.0.1:0"
            environment = "development"
            [paths]
            state_dir = "{state}"
            models_dir = "{models}"
            knowledge_dir = "{knowledge}"
            policy_dir = "{policy}"
            [telemetry]
            metrics_bind = "127.0.0.1:0"
            [workers]
            api = 2
            [people]
            mfa = "offered"
            [rate]
            anonymous = {{ requests = 100000, window_seconds = 60 }}
            authenticated = {{ requests = 100000, window_seconds = 60 }}
            login = {{ requests = 1000, window_seconds = 60 }}
            voice = {{ requests = 1000, window_seconds = 60 }}
            "#,
            state = folder.join("state").display(),
            models = models().display(),
            knowledge = repository().join("config/knowledge").display(),
            policy = repository().join("config/policy").display(),
        )
        .parse()
        .unwrap();
        for (section, keys) in overrides.parse::<toml::Table>().unwrap() {
            let keys = keys.as_table().unwrap().clone();
            table.entry(section).or_insert(toml::Value::Table(toml::Table::new())).as_table_mut().unwrap().extend(keys);
        }
        table.to_string()
    }

    /// Other settings, for a reload to find.
    pub fn configure(&self, overrides: &str) {
        fs::write(self.folder.path().join("hotline.toml"), Self::config(self.folder.path(), overrides)).unwrap();
    }

    pub fn state_dir(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn client(&self) -> Client {
        Client::trusting(self.address, &self.state_dir().join("tls/dev-cert.pem"))
    }

    /// A client with a fresh automation token of the first administrator.
    pub fn admin(&self) -> Client {
        let token = self.command(&["token", "--user", "admin", "--ttl", "1h", "--json"]);
        assert!(token.status.success(), "token: {}", String::from_utf8_lossy(&token.stderr));
        let token: serde_json::Value = serde_json::from_slice(&token.stdout).unwrap();
        self.client().with_token(token["token"].as_str().unwrap())
    }

    /// Runs the command line against this product.
    pub fn command(&self, args: &[&str]) -> Output {
        self.command_in_background(args).wait_with_output().unwrap()
    }

    /// As `command`, for what takes its time.
    pub fn command_in_background(&self, args: &[&str]) -> Child {
        let mut command = Command::new(binaries().join("hotline"));
        command.args(args).arg("--config").arg(self.folder.path().join("hotline.toml")).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    pub fn status(&self) -> serde_json::Value {
        let output = self.command(&["status", "--json"]);
        assert!(output.status.success(), "status: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub fn supervisor_pid(&self) -> i32 {
        self.supervisor.id() as i32
    }

    pub fn pid(&self, role: Role, index: usize) -> i32 {
        let slot = format!("{}-{index}", role.name());
        let workers = self.status()["workers"].as_array().unwrap().clone();
        let worker = workers.iter().find(|worker| worker["slot"] == slot.as_str());
        worker.unwrap_or_else(|| panic!("no {slot} in {workers:?}"))["pid"].as_i64().unwrap_or(0) as i32
    }

    /// kill -9 for one worker; returns the pid that died.
    pub fn kill(&self, role: Role, index: usize) -> i32 {
        let pid = self.pid(role, index);
        assert!(pid > 1, "{}-{index} is not running", role.name());
        signal(pid, "KILL");
        pid
    }

    /// SIGSTOP for one worker: it is there and does nothing.
    pub fn pause(&self, role: Role, index: usize) {
        signal(self.pid(role, index), "STOP");
    }

    pub fn resume(&self, role: Role, index: usize) {
        signal(self.pid(role, index), "CONT");
    }

    /// Waits until a successor of `former` serves.
    pub fn wait_for_successor(&self, role: Role, index: usize, former: i32) {
        let slot = format!("{}-{index}", role.name());
        until(&format!("{slot} serves again"), || {
            let status = self.status();
            let worker = status["workers"].as_array().unwrap().iter().find(|w| w["slot"] == slot.as_str()).cloned();
            worker.is_some_and(|w| w["phase"] == "serving" && w["pid"].as_i64() != Some(i64::from(former)))
        });
    }

    /// The text of `/metrics`.
    pub fn metrics_text(&self) -> String {
        use std::io::{Read, Write};
        let mut stream = TcpStream::connect_timeout(&self.metrics, patience()).unwrap();
        stream.set_read_timeout(Some(patience())).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        body.to_owned()
    }

    /// Sum of all samples of a metric whose labels contain every one of `labels`.
    pub fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let text = self.metrics_text();
        let samples = text.lines().filter(|line| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(['{', ' '])) && labels.iter().all(|label| line.contains(label))
        });
        samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// SIGTERM, and the exit code.
    pub fn stop(mut self) -> (Option<i32>, TempDir) {
        signal(self.supervisor_pid(), "TERM");
        let code = self.supervisor.wait().unwrap().code();
        (code, std::mem::replace(&mut self.folder, TempDir::new().unwrap()))
    }

    /// kill -9 for the supervisor; its workers are left to themselves.
    pub fn kill_only_supervisor(mut self) -> TempDir {
        signal(self.supervisor_pid(), "KILL");
        self.supervisor.wait().unwrap();
        std::mem::replace(&mut self.folder, TempDir::new().unwrap())
    }

    /// kill -9 for the supervisor, then waits until every worker has left by itself.
    pub fn kill_supervisor(mut self) -> TempDir {
        let status = self.status();
        let pids: Vec<i64> = status["workers"].as_array().unwrap().iter().filter_map(|w| w["pid"].as_i64()).collect();
        signal(self.supervisor_pid(), "KILL");
        self.supervisor.wait().unwrap();
        until("every worker left", || pids.iter().all(|pid| !is_running(*pid)));
        std::mem::replace(&mut self.folder, TempDir::new().unwrap())
    }
}

impl Drop for Hotline {
    fn drop(&mut self) {
        if self.supervisor.try_wait().is_ok_and(|ended| ended.is_none()) {
            signal(self.supervisor_pid(), "TERM");
            let _ = self.supervisor.wait();
        }
        if std::thread::panicking() {
            print_log(self.folder.path());
        }
    }
}

impl Role {
    pub fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Background => "background",
            Self::Scribe => "scribe",
        }
    }
}

/// The folder with the executables of this profile.
pub fn binaries() -> PathBuf {
    let folder = Path::new(env!("CARGO_BIN_EXE_hotline")).parent().unwrap().to_owned();
    for worker in ["hotline-api", "hotline-scribe", "hotline-background"] {
        assert!(folder.join(worker).exists(), "{worker} is not built: run `make test`, or `cargo build` first");
    }
    folder
}

pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Where the models are: `HOTLINE_MODELS_DIR`, else `models/` of the repository.
pub fn models() -> PathBuf {
    let folder = std::env::var_os("HOTLINE_MODELS_DIR").map_or_else(|| repository().join("models"), PathBuf::from);
    assert!(folder.join("ggml-base.bin").exists(), "no models in {}: run `make models`", folder.display());
    folder
}

/// The demonstration call: a spoken eviction story.
pub fn sample_call() -> Vec<u8> {
    fs::read(repository().join("workers/background/samples/eviction-call.opus")).unwrap()
}

fn first_ready_line(supervisor: &mut Child) -> Option<SocketAddr> {
    let stdout = BufReader::new(supervisor.stdout.take().unwrap());
    let (line_tx, line_rx) = mpsc::channel();
    std::thread::spawn(move || {
        for line in stdout.lines().map_while(Result::ok) {
            let _ = line_tx.send(line);
        }
    });
    while let Ok(line) = line_rx.recv_timeout(patience()) {
        if let Some(address) = line.strip_prefix("ready https://") {
            return address.trim_end_matches('/').parse().ok();
        }
    }
    None
}

fn print_log(folder: &Path) {
    let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
    let tail: Vec<&str> = log.lines().rev().take(200).collect();
    eprintln!("--- what the processes logged (last {} lines) ---", tail.len());
    tail.iter().rev().for_each(|line| eprintln!("{line}"));
}

pub fn signal(pid: i32, name: &str) {
    let status = Command::new("kill").args([format!("-{name}"), pid.to_string()]).status().unwrap();
    assert!(status.success(), "kill -{name} {pid}");
}

fn is_running(pid: i64) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
}

const ADMIN_PASSWORD: &str = "correct horse battery staple";
