//! `hotline audit export`: records for other systems, once or as they come, to a pipe or to a syslog server over TLS.
//!
//! It reads what is published, so the log itself is its queue: a receiver that is slow or away costs the service nothing,
//! and the cursor says where to go on. After a fault some records may come twice, and none is left out.
mod exit;

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hotline::audit::{Export, FollowError, Severity, published_from};
use hotline::config::Config;
use hotline::tlog::{Store, StoreError};

use super::keeping;
use exit::Exit;

#[derive(clap::Args)]
pub(in super::super) struct ExportArguments {
    /// How each record is written.
    #[arg(long, value_enum, default_value_t = As::Ocsf)]
    format: As,
    /// Leave out what is less severe.
    #[arg(long, value_enum, default_value_t = AtLeast::Low)]
    severity: AtLeast,
    /// The first record to write; else the one behind the cursor, else the first of the log.
    #[arg(long, value_name = "SEQ")]
    from: Option<u64>,
    /// Remembers how far it has come, for the next run.
    #[arg(long, value_name = "FILE")]
    cursor: Option<PathBuf>,
    /// Go on as records come.
    #[arg(long)]
    follow: bool,
    /// A syslog server (RFC 5425) in the place of standard output.
    #[arg(long, value_name = "HOST:PORT")]
    to: Option<String>,
    /// Who vouches for the syslog server, as PEM; else the system's authorities.
    #[arg(long, value_name = "FILE", requires = "to")]
    ca: Option<PathBuf>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum As {
    Entry,
    Ocsf,
    Cef,
    Syslog,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum AtLeast {
    Low,
    Medium,
    High,
    Critical,
}

impl From<AtLeast> for Severity {
    fn from(least: AtLeast) -> Self {
        match least {
            AtLeast::Low => Self::Low,
            AtLeast::Medium => Self::Medium,
            AtLeast::High => Self::High,
            AtLeast::Critical => Self::Critical,
        }
    }
}

pub(super) fn run(config: &Config, arguments: &ExportArguments) -> anyhow::Result<std::process::ExitCode> {
    let format = match arguments.format {
        As::Entry => Export::Entry,
        As::Ocsf => Export::Ocsf,
        As::Cef => Export::Cef,
        As::Syslog => Export::Syslog,
    };
    let from = match (arguments.from, &arguments.cursor) {
        (Some(from), _) => from.max(1),
        (None, Some(cursor)) => read_cursor(cursor)? + 1,
        (None, None) => first_left(config)?,
    };
    let mut progress = Progress { arrived: from - 1, sent: VecDeque::new() };
    let mut exit = Exit::open(arguments)?;
    loop {
        match step(config, arguments, format, &mut exit, &mut progress) {
            Ok(Step::More) => {}
            Ok(Step::Idle) if arguments.follow => thread::sleep(POLL_EVERY),
            Ok(Step::Idle) => {
                exit.close().context("the receiver did not take the last records")?;
                progress.all_arrived();
                return progress.keep(arguments).map(|()| std::process::ExitCode::SUCCESS);
            }
            Err(Fault::Gone(error)) if arguments.follow && arguments.to.is_some() => {
                eprintln!("hotline: the receiver is away ({error}); trying again");
                // What it may not have got is sent again.
                progress.sent.clear();
                exit = exit.again(arguments);
            }
            // Whoever read from the pipe has enough.
            Err(Fault::Gone(error)) if error.kind() == io::ErrorKind::BrokenPipe && arguments.to.is_none() => {
                return Ok(std::process::ExitCode::SUCCESS);
            }
            Err(Fault::Gone(error)) => return Err(error).context("could not write the records"),
            Err(Fault::Ours(error)) => return Err(error),
        }
    }
}

enum Step {
    More,
    Idle,
}

enum Fault {
    Gone(io::Error),
    Ours(anyhow::Error),
}

fn step(
    config: &Config,
    arguments: &ExportArguments,
    format: Export,
    exit: &mut Exit,
    progress: &mut Progress,
) -> Result<Step, Fault> {
    exit.must_be_there().map_err(Fault::Gone)?;
    progress.settle(if arguments.to.is_some() { SETTLE } else { Duration::ZERO });
    progress.keep(arguments).map_err(Fault::Ours)?;
    let store = Store::new(config.paths.tlog_dir());
    let records = published_from(&store, progress.next()).map_err(unreadable)?;
    let Some(last) = records.last().map(|record| record.seq) else { return Ok(Step::Idle) };
    let wanted = records.iter().filter(|record| record.severity >= arguments.severity.into());
    exit.write(wanted.map(|record| format.render(record, &config.audit.origin))).map_err(Fault::Gone)?;
    progress.sent.push_back((last, Instant::now()));
    Ok(Step::More)
}

/// A syslog server confirms nothing. What was sent counts as arrived when the connection is still there after a while.
struct Progress {
    arrived: u64,
    sent: VecDeque<(u64, Instant)>,
}

impl Progress {
    fn next(&self) -> u64 {
        self.sent.back().map_or(self.arrived, |(seq, _)| *seq) + 1
    }

    fn settle(&mut self, after: Duration) {
        while let Some((seq, _)) = self.sent.pop_front_if(|(_, at)| at.elapsed() >= after) {
            self.arrived = seq;
        }
    }

    fn all_arrived(&mut self) {
        self.settle(Duration::ZERO);
    }

    fn keep(&self, arguments: &ExportArguments) -> anyhow::Result<()> {
        match &arguments.cursor {
            Some(cursor) if read_cursor(cursor)? != self.arrived => write_cursor(cursor, self.arrived),
            _ => Ok(()),
        }
    }
}

/// Whoever counts on what is gone must hear that it does not come any more.
fn unreadable(error: FollowError) -> Fault {
    Fault::Ours(match error {
        FollowError::Store(StoreError::Pruned(pruned)) => {
            let (gone, first) = (keeping::gone(&pruned), pruned.minimum_index + 1);
            anyhow::anyhow!("{gone}, and cannot be exported; go on with --from {first}")
        }
        other => other.into(),
    })
}

/// What was disposed of is not asked for by who asks for all there is.
fn first_left(config: &Config) -> anyhow::Result<u64> {
    let pruned = Store::new(config.paths.tlog_dir()).pruned()?;
    keeping::remark(config);
    Ok(pruned.map_or(0, |pruned| pruned.minimum_index) + 1)
}

fn read_cursor(path: &Path) -> anyhow::Result<u64> {
    match fs::read_to_string(path) {
        Ok(text) => text.trim().parse().with_context(|| format!("{} holds no record's number", path.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error).with_context(|| format!("could not read {}", path.display())),
    }
}

fn write_cursor(path: &Path, seq: u64) -> anyhow::Result<()> {
    let part = path.with_extension("part");
    fs::write(&part, format!("{seq}\n"))
        .and_then(|()| fs::rename(&part, path))
        .with_context(|| format!("could not write {}", path.display()))
}

/// How long a receiver must stay for what it was sent to count as arrived.
const SETTLE: Duration = Duration::from_secs(3);
const POLL_EVERY: Duration = Duration::from_millis(500);
