//! A machine of its own for tests: a real systemd as PID 1 in namespaces, with the product installed as
//! `make install` does it, and nothing else.
//!
//! `systemd-boot.sh` builds it. Processes, mounts, control groups, host name and network are its own, so port
//! 7000 is always free there, and all of it ends with PID 1, which ends with the test. What a test wants to know
//! it asks `systemctl`; files of the machine are at `path`, its network is reached from within `inside`.
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;

use nix::sched::{CloneFlags, setns};
use nix::sys::stat::Mode;
use tempfile::TempDir;

use super::{Client, binaries, models, patience, repository, until};

/// A running machine. Dropping it ends every process in it.
pub struct Machine {
    unshare: Child,
    init: i32,
    group: PathBuf,
    folder: TempDir,
}

impl Machine {
    /// `None`, and the reason on stderr, where this environment does not allow a machine.
    pub fn boot() -> Option<Self> {
        match Self::try_boot() {
            Ok(machine) => Some(machine),
            Err(reason) if std::env::var_os("HOTLINE_TEST_SYSTEMD").is_some_and(|wish| wish == "required") => {
                panic!("no systemd of our own: {reason}")
            }
            Err(reason) => {
                eprintln!("SKIPPED: no systemd of our own here: {reason}");
                None
            }
        }
    }

    fn try_boot() -> Result<Self, String> {
        if !nix::unistd::geteuid().is_root() {
            return Err("only root may make the namespaces".to_owned());
        }
        for program in ["/lib/systemd/systemd", "/usr/bin/unshare", "/usr/bin/nsenter", "/usr/bin/setpriv"] {
            if !Path::new(program).exists() {
                return Err(format!("{program} is missing"));
            }
        }
        // Beside the executables, so that installing them is a link and not a copy.
        let folder = TempDir::with_prefix_in("machine-", env!("CARGO_TARGET_TMPDIR")).unwrap();
        let group = control_group(&folder.path().file_name().unwrap().to_string_lossy())?;
        let installed = folder.path().join("installed");
        install(&installed);
        let root = folder.path().join("root");
        fs::create_dir(&root).unwrap();
        let log = folder.path().join("log");
        nix::unistd::mkfifo(&log, Mode::S_IRWXU).unwrap();
        keep_log(&log, folder.path().join("log.txt"));

        let mut unshare = Command::new("sh")
            .args(["-c", ENTER])
            .arg(group.join("cgroup.procs"))
            .arg(repository().join("tests/support/systemd-boot.sh"))
            .args([&root, &installed, &models(), &log])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(folder.path().join("boot.txt")).unwrap())
            .spawn()
            .unwrap();
        let booting = said(&mut unshare, "booting");
        let init = child_of(unshare.id());
        // From here on dropping cleans up.
        let machine = Self { unshare, init: init.unwrap_or(0), group, folder };
        if !booting || init.is_none() {
            return Err(machine.told("boot.txt").trim().replace('\n', "; "));
        }
        until("the machine has booted", || machine.systemctl(&["is-system-running"]).status.success());
        Ok(machine)
    }

    /// Runs a command in the machine.
    pub fn run(&self, command: &[&str]) -> Output {
        Command::new("nsenter")
            .args(["--mount", "--pid", "--uts", "--ipc", "--cgroup", "--net", "--target", &self.init.to_string(), "--"])
            .args(command)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    pub fn systemctl(&self, args: &[&str]) -> Output {
        self.run(&[&["systemctl", "--no-pager"], args].concat())
    }

    /// Fails with what systemd and the services logged unless the command succeeds; returns what it printed.
    #[track_caller]
    pub fn must(&self, command: &[&str]) -> String {
        let output = self.run(command);
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{command:?}: {}{told}", String::from_utf8_lossy(&output.stderr));
        told.trim_end().to_owned()
    }

    /// One property of a unit, as `systemctl show` tells it.
    #[track_caller]
    pub fn property(&self, unit: &str, name: &str) -> String {
        self.must(&["systemctl", "show", "--value", "--property", name, unit])
    }

    /// Changes a unit as an operator would, and has systemd read it.
    #[track_caller]
    pub fn drop_in(&self, unit: &str, name: &str, text: &str) {
        let folder = self.path(&format!("/etc/systemd/system/{unit}.d"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(name), text).unwrap();
        self.must(&["systemctl", "daemon-reload"]);
    }

    /// The main process of a unit, by this machine's and by our number.
    #[track_caller]
    pub fn main_pid(&self, unit: &str) -> (String, i32) {
        let inner = self.property(unit, "MainPID");
        (inner.clone(), self.outer_pid(&inner))
    }

    /// A file of the machine, seen from here.
    pub fn path(&self, absolute: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{absolute}", self.init))
    }

    /// Does something in the machine's network.
    pub fn inside<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        let network = File::open(format!("/proc/{}/ns/net", self.init)).unwrap();
        std::thread::scope(|scope| {
            // A network belongs to a thread; this one ends with the visit.
            let visit = scope.spawn(|| {
                setns(&network, CloneFlags::CLONE_NEWNET).unwrap();
                act()
            });
            visit.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// A client of the installed service; use it within `inside`.
    pub fn client(&self) -> Client {
        let certificate = self.path("/var/lib/hotline/tls/dev-cert.pem");
        Client::trusting("127.0.0.1:7000".parse().unwrap(), &certificate)
    }

    /// `/proc/<pid>/status` carries the number in each namespace, ours first.
    fn outer_pid(&self, inner: &str) -> i32 {
        let ours = fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let pid: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
            let in_machine = fs::read_link(format!("/proc/{pid}/ns/pid")).ok()?
                == fs::read_link(format!("/proc/{}/ns/pid", self.init)).ok()?;
            (in_machine && numbers.split_whitespace().last() == Some(inner)).then_some(pid)
        });
        ours.into_iter().next().unwrap_or_else(|| panic!("no process {inner} in the machine"))
    }

    fn told(&self, file: &str) -> String {
        fs::read_to_string(self.folder.path().join(file)).unwrap_or_default()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- what the machine's systemd said ---\n{}", self.told("log.txt"));
            let services = fs::read_to_string(self.path("/var/log/services")).unwrap_or_default();
            eprintln!("--- what its services said ---\n{services}");
        }
        // `--kill-child`: PID 1 dies with `unshare`, and everything in its namespace with PID 1.
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
        let is_gone =
            || fs::read_to_string(self.group.join("cgroup.events")).is_ok_and(|it| it.contains("populated 0"));
        until("every process of the machine is gone", is_gone);
        remove_group(&self.group);
    }
}

/// A control group of our own below the one we are in, where the second hierarchy is mounted.
fn control_group(name: &str) -> Result<PathBuf, String> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mounted = mounts.lines().find_map(|line| {
        let mut words = line.split(' ').skip(1);
        let place = words.next()?;
        (words.next() == Some("cgroup2")).then(|| PathBuf::from(place))
    });
    let mounted = mounted.ok_or("control groups of the second version are not mounted")?;
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    let own = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default().to_owned();
    let group = mounted.join(own).join(format!("hotline-test-{name}"));
    fs::create_dir(&group).map_err(|error| format!("no control group of our own at {}: {error}", group.display()))?;
    Ok(group)
}

fn remove_group(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().filter_map(Result::ok) {
        if entry.path().is_dir() {
            remove_group(&entry.path());
        }
    }
    let _ = fs::remove_dir(group);
}

/// As an operator: `make install`, but linked, and with this profile's executables.
fn install(below: &Path) {
    let output = Command::new("make")
        .current_dir(repository())
        .env_remove("MAKEFLAGS")
        .args(["--silent", "install-service", "INSTALL_PROGRAM=ln -f"])
        .arg(format!("BUILD={}", binaries().display()))
        .arg(format!("DESTDIR={}", below.display()))
        .output()
        .unwrap();
    assert!(output.status.success(), "make install-service: {}", String::from_utf8_lossy(&output.stderr));
}

/// Copies what PID 1 logs into a file, until nobody is left who could write.
fn keep_log(fifo: &Path, file: PathBuf) {
    // Both ends: opening waits for nobody, and a writer that comes and goes ends nothing.
    let mut from = File::options().read(true).write(true).open(fifo).unwrap();
    std::thread::spawn(move || std::io::copy(&mut from, &mut File::create(file).unwrap()));
}

fn said(child: &mut Child, word: &'static str) -> bool {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (said_tx, said_rx) = mpsc::channel();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let _ = said_tx.send(line == word);
        }
    });
    std::iter::from_fn(|| said_rx.recv_timeout(patience()).ok()).any(|said| said)
}

fn child_of(pid: u32) -> Option<i32> {
    fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?.split_whitespace().next()?.parse().ok()
}

/// `$0` is the control group's door, the rest is for the script. `unshare` dies with the test that started it.
const ENTER: &str = r#"echo $$ > "$0" && exec setpriv --pdeathsig KILL unshare \
    --pid --fork --kill-child --mount --uts --ipc --cgroup --net --propagation private sh "$@""#;
