//! `hotline errand`: changes keys for the supervisor that started it.
use std::os::unix::net::UnixStream;
use std::process::ExitCode as Code;

use anyhow::Context;
use hotline::sys::{self, CONTROL_FD};

use crate::supervisor::errand;

pub(super) fn run() -> anyhow::Result<Code> {
    let stream = sys::inherited(CONTROL_FD).context("this command is started by the supervisor, not by hand")?;
    // Before the first key: no debugger, no core file.
    sys::close_to_strangers()?;
    errand::answer(&mut UnixStream::from(stream))?;
    Ok(Code::SUCCESS)
}
