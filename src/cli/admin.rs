//! Asks the running supervisor: one line of JSON each way over the admin socket.
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::supervisor::protocol::{Ask, Status, Told};

/// The supervisor's answer; its refusals are errors here.
pub(super) fn ask(run_dir: &Path, ask: &Ask) -> anyhow::Result<Told> {
    ask_within(run_dir, ask, PATIENCE)
}

/// As `ask`, for what takes as long as workers may take.
pub(super) fn change(run_dir: &Path, ask: &Ask) -> anyhow::Result<Told> {
    ask_within(run_dir, ask, CHANGE_WITHIN)
}

fn ask_within(run_dir: &Path, ask: &Ask, patience: Duration) -> anyhow::Result<Told> {
    let path = run_dir.join("admin.sock");
    let mut stream = match UnixStream::connect(&path) {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            bail!("the service is not running (nobody listens on {})", path.display())
        }
        Err(error) => return Err(error).with_context(|| format!("could not connect to {}", path.display())),
    };
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream
        .write_all(format!("{}\n", serde_json::to_string(ask)?).as_bytes())
        .context("could not ask the supervisor")?;
    let mut line = String::new();
    BufReader::new(stream.take(ANSWER_BYTES_MAX)).read_line(&mut line).context("the supervisor did not answer")?;
    if line.is_empty() {
        bail!("the supervisor hung up: commands are for its own user, root and members of the group `hotline`");
    }
    match serde_json::from_str(&line).context("the supervisor gave no readable answer")? {
        Told::Refused { reason } => bail!("{reason}"),
        told => Ok(told),
    }
}

/// How the service stands.
pub(super) fn status(run_dir: &Path) -> anyhow::Result<Status> {
    match ask(run_dir, &Ask::Status)? {
        Told::Status(status) => Ok(status),
        _ => bail!("the supervisor answered something else"),
    }
}

/// A bearer token and when it ends.
pub(super) fn token(run_dir: &Path, user: &str, ttl: Duration) -> anyhow::Result<(String, String)> {
    let command = Ask::Token { user: user.to_owned(), ttl_seconds: ttl.as_secs() };
    match ask(run_dir, &command)? {
        Told::Token { token, expires_at } => Ok((token, expires_at)),
        _ => bail!("the supervisor answered something else"),
    }
}

/// Longer than the supervisor's own limits for a command.
const PATIENCE: Duration = Duration::from_secs(20);
/// As long as the supervisor itself would wait.
const CHANGE_WITHIN: Duration = Duration::from_secs(3_600);
const ANSWER_BYTES_MAX: u64 = 4 << 20;
