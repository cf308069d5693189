//! Settings are read in a process of their own, which may be slow or crash: nobody who serves would notice.
//!
//! The child is our own executable with the supervisor's environment; it answers with what it read, or
//! with every mistake.
use std::ffi::{CString, OsString};
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use hotline::config::Config;
use hotline::sys::{self, Pidfd, Program, Signal};
use serde::{Deserialize, Serialize};

/// What the child found.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) build_id: String,
    /// `wire::COMMON_GROUND` of the program that answers.
    pub(crate) common_ground: u64,
    /// The settings, or all that is wrong with them.
    pub(crate) verdict: Result<Config, String>,
}

/// A child that is reading.
pub(super) struct Preflight {
    stream: UnixStream,
    pub(super) pid: u32,
    pidfd: Pidfd,
    answer: Vec<u8>,
    until: Instant,
}

impl Preflight {
    pub(super) fn start(program: &Program, settings_file: Option<&Path>, now: Instant) -> io::Result<Self> {
        let (ours, theirs) = sys::pair()?;
        let mut arguments = vec![CString::from(c"preflight")];
        if let Some(file) = settings_file {
            arguments.push(CString::from(c"--config"));
            arguments.push(CString::new(file.as_os_str().as_bytes())?);
        }
        let variable =
            |(name, value): (OsString, OsString)| CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).ok();
        let environment: Vec<CString> = std::env::vars_os().filter_map(variable).collect();
        let child = sys::spawn_with(program, &arguments, &environment, &[theirs.as_fd()], None)?;
        let stream = UnixStream::from(ours);
        stream.set_nonblocking(true)?;
        Ok(Self { stream, pid: child.pid, pidfd: child.pidfd, answer: Vec::new(), until: now + ANSWER_WITHIN })
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// The socket is ready, or time has passed. `None`: not yet.
    pub(super) fn hear(&mut self, now: Instant) -> Option<Result<Report, String>> {
        let mut buffer = [0; 16 << 10];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => self.answer.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock && now < self.until => return None,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Some(Err("reading the settings took too long".to_owned()));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Some(Err(format!("could not hear what the settings say: {error}"))),
            }
            if self.answer.len() > ANSWER_BYTES_MAX {
                return Some(Err("the settings are too long".to_owned()));
            }
        }
        let read = serde_json::from_slice(&self.answer);
        Some(read.map_err(|_| "the program that reads the settings died of them".to_owned()))
    }
}

impl Drop for Preflight {
    fn drop(&mut self) {
        let _ = self.pidfd.signal(Signal::SIGKILL);
        let _ = self.pidfd.wait();
    }
}

const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 4 << 20;
