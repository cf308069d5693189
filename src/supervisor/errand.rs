//! Keys are changed by a child with one errand and a deadline: the supervisor itself never speaks to a token.
//!
//! A vendor's library may be slow, hang, make threads or crash; none of that may happen to the one process that keeps
//! everybody else alive. The child is our own executable; what it is to do, and the data keys it gives back, go over
//! its control socket. It runs alone: the keyring's lock sees to it.
use std::ffi::{CString, OsString};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use hotline::config::{Config, Keys, Telemetry};
use hotline::lifecycle::clock;
use hotline::sys::{self, Pidfd, Program, Signal};
use hotline::vault::{DataKeys, KeyClass, Keyring, KeyringError, Listing};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// What is to be done with the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Act {
    /// Makes what is missing and finishes what was interrupted.
    Open,
    /// Opens every key and changes nothing.
    Check,
    RotateKek,
    AddNext(KeyClass),
    ActivateNext(KeyClass),
    Destroy(KeyClass, u16),
}

/// An errand, and all that the child needs for it: it reads no settings.
#[derive(Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) act: Act,
    pub(crate) state_dir: PathBuf,
    pub(crate) keys: Keys,
    pub(crate) telemetry: Telemetry,
}

/// What came of it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Done {
    pub(crate) what: String,
    pub(crate) keys: DataKeys,
    pub(crate) listing: Listing,
}

/// Why nothing came of it. `may_pass`: trying again later may help.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Failed {
    pub(crate) reason: String,
    pub(crate) may_pass: bool,
}

impl Request {
    pub(crate) fn new(act: Act, config: &Config) -> Self {
        let Config { paths, keys, telemetry, .. } = config;
        Self { act, state_dir: paths.state_dir.clone(), keys: keys.clone(), telemetry: telemetry.clone() }
    }

    /// Does it, here. What may pass is tried a few times; a PIN that was refused never again.
    pub(crate) fn perform(&self) -> Result<Done, Failed> {
        let mut pauses = PAUSES.iter();
        loop {
            match (self.perform_once(), pauses.next()) {
                (Ok(done), _) => return Ok(done),
                (Err(error), Some(pause)) if error.may_pass() => {
                    tracing::warn!(%error, act = ?self.act, "trying again");
                    std::thread::sleep(*pause);
                }
                (Err(error), _) => return Err(Failed { reason: error.to_string(), may_pass: error.may_pass() }),
            }
        }
    }

    fn refuse_what_the_log_needs(&self, class: KeyClass, version: u16) -> Result<(), KeyringError> {
        let folder = self.state_dir.join("audit");
        let needed = if class == KeyClass::Audit { hotline::audit::records_under(&folder, version) } else { Ok(0) };
        match needed {
            Ok(0) => Ok(()),
            Ok(count) => {
                let said =
                    format!("{count} records of the audit log have details under version {version}; they never change");
                Err(KeyringError::NotNow { said })
            }
            Err(source) => Err(KeyringError::Read { path: folder, source }),
        }
    }

    fn perform_once(&self) -> Result<Done, KeyringError> {
        let now_ms = clock::now_ms();
        if self.act == Act::Check {
            let keyring = Keyring::open(&self.state_dir, &self.keys)?;
            return Ok(Done { what: checked(&keyring), keys: keyring.data_keys()?, listing: keyring.listing() });
        }
        let mut keyring = Keyring::open_or_create(&self.state_dir, &self.keys, now_ms)?;
        let what = match self.act {
            Act::Open | Act::Check => "opened the keys".to_owned(),
            Act::RotateKek => format!("version {} of the key over the keys is in use", keyring.rotate_kek(now_ms)?),
            Act::AddNext(class) => named(class, keyring.add_next(class, now_ms)?, "is there"),
            Act::ActivateNext(class) => named(class, keyring.activate_next(class)?, "seals"),
            Act::Destroy(class, version) => {
                keyring.may_destroy(class, version)?;
                self.refuse_what_the_log_needs(class, version)?;
                keyring.destroy(class, version, now_ms)?;
                named(class, version, "is destroyed")
            }
        };
        Ok(Done { what, keys: keyring.data_keys()?, listing: keyring.listing() })
    }
}

fn named(class: KeyClass, version: u16, what: &str) -> String {
    format!("version {version} of the {} key {what}", class.name())
}

fn checked(keyring: &Keyring) -> String {
    let listing = keyring.listing();
    let opening = listing.keys.iter().filter(|key| key.state.opens()).count();
    let by = listing.active_kek().map_or("nobody", |kek| kek.id.as_str());
    format!("{opening} data keys open, wrapped by {by}")
}

/// The child's side, called with its end of the socket.
pub(crate) fn answer(stream: &mut UnixStream) -> io::Result<()> {
    let request: Request = hotline::wire::read(stream).map_err(io::Error::other)?.ok_or(ErrorKind::UnexpectedEof)?;
    // Whoever asked may have died; a token that hangs must not keep us, and the keyring's lock, for ever.
    let seconds = request.keys.deadline_ms.div_ceil(1_000) + 5;
    nix::unistd::alarm::set(u32::try_from(seconds).unwrap_or(u32::MAX));
    hotline::telemetry::logging::start(&request.telemetry, "keys");
    let answer = request.perform();
    hotline::wire::write(stream, &answer).map_err(io::Error::other)
}

/// A child at work.
pub(super) struct Errand {
    stream: UnixStream,
    pub(super) pid: u32,
    pidfd: Pidfd,
    answer: Zeroizing<Vec<u8>>,
    until: Instant,
}

impl Errand {
    pub(super) fn start(program: &Program, request: &Request, now: Instant) -> io::Result<Self> {
        let (ours, theirs) = sys::pair()?;
        // A module may need to know where its settings are, and the service manager's credentials.
        let variable =
            |(name, value): (OsString, OsString)| CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).ok();
        let environment: Vec<CString> = std::env::vars_os().filter_map(variable).collect();
        let arguments = [CString::from(c"errand")];
        let child = sys::spawn_with(program, &arguments, &environment, &[theirs.as_fd()], None)?;
        let mut stream = UnixStream::from(ours);
        // A few hundred bytes: they fit into the socket before anybody reads.
        stream.write_all(&hotline::wire::encode(request).map_err(io::Error::other)?)?;
        stream.set_nonblocking(true)?;
        let until = now + Duration::from_millis(request.keys.deadline_ms);
        Ok(Self { stream, pid: child.pid, pidfd: child.pidfd, answer: Zeroizing::default(), until })
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// The socket is ready, or time has passed. `None`: not yet.
    pub(super) fn hear(&mut self, now: Instant) -> Option<Result<Done, Failed>> {
        let failed = |reason: &str| Some(Err(Failed { reason: reason.to_owned(), may_pass: true }));
        let mut buffer = Zeroizing::new([0; 16 << 10]);
        loop {
            match self.stream.read(&mut *buffer) {
                Ok(0) => break,
                Ok(read) => self.answer.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock && now < self.until => return None,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return failed("the key provider did not answer within keys.deadline_ms; nobody waits for it");
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return failed(&format!("could not hear what became of the keys: {error}")),
            }
            if self.answer.len() > ANSWER_BYTES_MAX {
                return failed("there are too many keys");
            }
        }
        let read = hotline::wire::read(&mut self.answer.as_slice());
        read.ok().flatten().or_else(|| failed("the process that changes keys died of it; its log tells more"))
    }

    /// Waits for the outcome: only before anybody is served.
    pub(super) fn wait(mut self) -> Result<Done, Failed> {
        loop {
            if let Some(outcome) = self.hear(Instant::now()) {
                return outcome;
            }
            let rest = self.until.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
            let timeout = nix::poll::PollTimeout::try_from(rest).unwrap_or(nix::poll::PollTimeout::MAX);
            let mut fds = [nix::poll::PollFd::new(self.stream.as_fd(), nix::poll::PollFlags::POLLIN)];
            // An interruption only makes us look again.
            let _ = nix::poll::poll(&mut fds, timeout);
        }
    }
}

impl Drop for Errand {
    fn drop(&mut self) {
        let _ = self.pidfd.signal(Signal::SIGKILL);
        let _ = self.pidfd.wait();
    }
}

/// Between the tries of what may pass.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_millis(1_000)];
const ANSWER_BYTES_MAX: usize = 1 << 20;
