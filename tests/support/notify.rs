//! Systemd's side of the notify protocol, for tests that need no whole machine: hears what a service says, keeps
//! the descriptors it entrusts, and starts the next life of the service with them.
//!
//! Faithful where it can make a difference: descriptors come over SCM_RIGHTS and are handed on from number 3 in
//! `LISTEN_FDS`; one that is kept already is not kept twice; beyond `FileDescriptorStoreMax=` none is; one that
//! hangs up is forgotten unless `FDPOLL=0`; and the kernel, not the sender, says who spoke.
use std::collections::HashSet;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::fstat;
use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg, sockopt};
use tempfile::TempDir;

use super::until;

/// Listens to one service through all its lives.
pub struct ServiceManager {
    folder: TempDir,
    heard: Arc<Mutex<Heard>>,
}

/// A descriptor that a service has entrusted to its manager.
#[derive(Debug)]
pub struct Stored {
    pub name: String,
    pub fd: OwnedFd,
    /// Forgotten when it hangs up.
    is_polled: bool,
}

#[derive(Default)]
struct Heard {
    /// Each line with the process that said it.
    lines: Vec<(i32, String)>,
    stored: Vec<Stored>,
    stored_max: usize,
}

impl ServiceManager {
    /// `stored_max` is `FileDescriptorStoreMax=`.
    pub fn new(stored_max: usize) -> Self {
        let folder = TempDir::with_prefix("notify-").unwrap();
        let socket = UnixDatagram::bind(folder.path().join("socket")).unwrap();
        sockopt::set_socket_passcred(&socket, true).unwrap();
        let heard = Arc::new(Mutex::new(Heard { stored_max, ..Heard::default() }));
        let ear = Arc::downgrade(&heard);
        std::thread::spawn(move || {
            loop {
                let Some((pid, text, fds)) = receive(&socket) else { return };
                let Some(heard) = ear.upgrade() else { return };
                heard.lock().unwrap().take_in(pid, &text, fds);
            }
        });
        Self { folder, heard }
    }

    /// Starts a process as systemd would: told where to speak, how often to feed the watchdog, and what it has
    /// entrusted. `start` gets a command that takes the program's arguments.
    pub fn start<T>(&self, program: &Path, watchdog: Option<Duration>, start: impl FnOnce(Command) -> T) -> T {
        let heard = self.heard.lock().unwrap();
        let lent: Vec<OwnedFd> = heard.stored.iter().map(|stored| inheritable(&stored.fd)).collect();
        let names: Vec<&str> = heard.stored.iter().map(|stored| stored.name.as_str()).collect();
        // Moved into place by the process itself, which then is the one that LISTEN_PID names.
        let mut script = String::new();
        for (number, fd) in (FIRST_LISTEN_FD..).zip(&lent) {
            script.push_str(&format!("exec {number}<&{}-\n", fd.as_raw_fd()));
        }
        if !lent.is_empty() {
            script.push_str("export LISTEN_PID=$$\n");
        }
        if watchdog.is_some() {
            script.push_str("export WATCHDOG_PID=$$\n");
        }
        let mut command = Command::new("bash");
        command.args(["-c", &format!("{script}exec \"$@\""), "bash"]).arg(program);
        command.env("NOTIFY_SOCKET", self.folder.path().join("socket"));
        if !lent.is_empty() {
            command.env("LISTEN_FDS", lent.len().to_string()).env("LISTEN_FDNAMES", names.join(":"));
        }
        if let Some(watchdog) = watchdog {
            command.env("WATCHDOG_USEC", watchdog.as_micros().to_string());
        }
        drop(heard);
        start(command)
    }

    /// All lines so far, in order.
    pub fn said(&self) -> Vec<String> {
        self.heard.lock().unwrap().lines.iter().map(|(_, line)| line.clone()).collect()
    }

    /// Who has spoken.
    pub fn speakers(&self) -> HashSet<i32> {
        self.heard.lock().unwrap().lines.iter().map(|(pid, _)| *pid).collect()
    }

    pub fn count(&self, line: &str) -> usize {
        self.said().iter().filter(|said| *said == line).count()
    }

    #[track_caller]
    pub fn wait_for(&self, line: &str) {
        until(&format!("the service says {line}"), || self.count(line) > 0);
    }

    /// Looks at what is kept now, by name.
    pub fn stored<T>(&self, look: impl FnOnce(&[Stored]) -> T) -> T {
        let mut heard = self.heard.lock().unwrap();
        heard.stored.retain(|stored| !stored.is_polled || !hangs_up(&stored.fd));
        look(&heard.stored)
    }

    /// The names of what is kept, sorted.
    pub fn stored_names(&self) -> Vec<String> {
        let mut names = self.stored(|stored| stored.iter().map(|stored| stored.name.clone()).collect::<Vec<_>>());
        names.sort();
        names
    }
}

impl Heard {
    fn take_in(&mut self, pid: i32, text: &str, fds: Vec<OwnedFd>) {
        self.lines.extend(text.lines().map(|line| (pid, line.to_owned())));
        let says = |line: &str| text.lines().any(|said| said == line);
        let name = text.lines().find_map(|line| line.strip_prefix("FDNAME=")).unwrap_or("stored");
        if says("FDSTOREREMOVE=1") {
            self.stored.retain(|stored| stored.name != name);
        } else if says("FDSTORE=1") {
            for fd in fds {
                let is_new = !self.stored.iter().any(|stored| is_same(&stored.fd, &fd));
                if is_new && self.stored.len() < self.stored_max {
                    self.stored.push(Stored { name: name.to_owned(), fd, is_polled: !says("FDPOLL=0") });
                }
            }
        }
        // Descriptors that are not kept are closed here: that is how a BARRIER=1 is answered.
    }
}

fn receive(socket: &UnixDatagram) -> Option<(i32, String, Vec<OwnedFd>)> {
    let mut bytes = [0; 4_096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(64), ScmCredentials(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let got = recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, RecvFlags::CMSG_CLOEXEC).ok()?;
    let (mut pid, mut fds) = (0, Vec::new());
    for message in ancillary.drain() {
        match message {
            RecvAncillaryMessage::ScmRights(rights) => fds.extend(rights),
            RecvAncillaryMessage::ScmCredentials(of) => pid = of.pid.as_raw_nonzero().get(),
            _ => {}
        }
    }
    Some((pid, String::from_utf8_lossy(&bytes[..got.bytes]).into_owned(), fds))
}

/// A copy that a child gets, out of the way of the numbers it will move to.
fn inheritable(fd: &OwnedFd) -> OwnedFd {
    let copy = fcntl_dupfd_cloexec(fd, FIRST_LENT_FD).unwrap();
    fcntl_setfd(&copy, FdFlags::empty()).unwrap();
    copy
}

fn is_same(one: &impl AsFd, other: &impl AsFd) -> bool {
    let (one, other) = (fstat(one).unwrap(), fstat(other).unwrap());
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

fn hangs_up(fd: &OwnedFd) -> bool {
    let mut polled = [PollFd::new(fd, PollFlags::empty())];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut polled, Some(&at_once)).unwrap();
    polled[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
}

/// SD_LISTEN_FDS_START.
const FIRST_LISTEN_FD: i32 = 3;
/// Beyond what a store of any size would fill.
const FIRST_LENT_FD: i32 = 400;
