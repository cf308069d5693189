//! Re-derives the chain from the files and names the first record that does not fit.
//!
//! Needs no key and no running service. It reads a log that is being written, too: what the scribe
//! has not finished yet is not held against it. With the key it also checks who made the checkpoint.
//!
//! Where records were disposed of it begins behind them, and a record of the log must say so: what is missing and no
//! record of disposition speaks of is the first fault.
mod keeping;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::chain::{Break, Head};
use super::checkpoint::{self, Checkpoint, CheckpointError};
use super::keys::AuditKeys;
use super::published::Published;
use super::segment::{LOCK_FILE, LineError, Segment, segments};
use crate::sys;
use crate::tlog::{Store, Verifier};
use keeping::Keeping;

/// A log in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// That are there.
    pub records: u64,
    /// Records before the first of these, disposed of as other records say.
    pub disposed: u64,
    /// Legal holds on the log; known where the key is at hand.
    pub holds: u64,
    pub last_hash: String,
    pub segments: u64,
    /// Up to here a cut tail would have been missed.
    pub checkpoint_seq: u64,
    /// The key was at hand and the checkpoint is ours.
    pub checkpoint_authenticated: bool,
    /// Records whose details are gone; they are proven all the same.
    pub erased: u64,
    /// Records under the signed head of the transparency log, which has been held against every one of them.
    pub published: u64,
    /// A trusted key stands by that head.
    pub published_signed: bool,
}

/// The transparency log beside the log, and the keys that may have signed its head; without keys anybody may have.
#[derive(Clone, Copy)]
pub struct PublishedLog<'a> {
    pub store: &'a Store,
    pub keys: &'a [Verifier],
}

/// Where the log stops making sense.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FirstBad {
    pub file: String,
    /// From 1; 0 if the file as a whole is wrong.
    pub line: u64,
    /// The record that should be there.
    pub seq: u64,
    pub reason: String,
}

/// Why there is no good report.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error("the audit log is not in order: {} line {} (record {}): {}", .0.file, .0.line, .0.seq, .0.reason)]
    Bad(FirstBad),
    #[error("could not read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// Checks the log in `folder` (`<state_dir>/audit`), with its checkpoints and what was published of it.
pub fn verify(
    folder: &Path,
    keys: Option<&AuditKeys>,
    published: Option<PublishedLog<'_>>,
) -> Result<Report, VerifyError> {
    let mut tries = TRIES;
    loop {
        // First the checkpoints: a log that grows meanwhile is then only further than they say.
        let checkpoints = checkpoints(folder)?;
        let outcome = verify_from(folder, &checkpoints, keys, published);
        tries -= 1;
        // Unless its beginning was disposed of meanwhile.
        if outcome.is_ok() || tries == 0 || boundary(&self::checkpoints(folder)?) == boundary(&checkpoints) {
            return outcome;
        }
    }
}

fn checkpoints(folder: &Path) -> Result<Vec<(String, Checkpoint)>, VerifyError> {
    match Checkpoint::read_all(folder) {
        Err(CheckpointError::Malformed { path }) => {
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Err(bad(file, 0, 0, "not a checkpoint of this log".to_owned()))
        }
        other => Ok(other?),
    }
}

/// The checkpoint in force, which is not set aside.
fn current(checkpoints: &[(String, Checkpoint)]) -> Option<&Checkpoint> {
    checkpoints.iter().find(|(name, _)| name == checkpoint::FILE).map(|(_, checkpoint)| checkpoint)
}

fn boundary(checkpoints: &[(String, Checkpoint)]) -> u64 {
    current(checkpoints).map_or(0, |checkpoint| checkpoint.standing.disposed_seq())
}

fn verify_from(
    folder: &Path,
    checkpoints: &[(String, Checkpoint)],
    keys: Option<&AuditKeys>,
    published: Option<PublishedLog<'_>>,
) -> Result<Report, VerifyError> {
    let failed = |source| VerifyError::Read { path: folder.to_owned(), source };
    let keeping = Keeping::new(current(checkpoints), keys);
    let disposed = keeping.disposed_seq();
    let published = published.map(|published| Published::open(published.store, published.keys, disposed));
    let published = match published.transpose() {
        Ok(published) => published.flatten(),
        Err(reason) => return Err(bad(HEAD.to_owned(), 0, 0, reason)),
    };
    if let Some(Err(reason)) = published.as_ref().map(|published| keeping.check_root(&published.root())) {
        return Err(bad(HEAD.to_owned(), 0, disposed, reason));
    }
    let is_written = is_written(folder).map_err(failed)?;
    let mut files = segments(folder).map_err(failed)?;
    // What is disposed of and still there, because a crash came between, is removed at the next start.
    files.retain(|segment| segment.first_seq > disposed);
    let mut walk = Walk {
        head: keeping.start(),
        checkpoints,
        published,
        keeping,
        erased: 0,
        is_written,
        position: (String::new(), 0),
    };
    walk.check_passed()?;
    for (index, segment) in files.iter().enumerate() {
        walk.segment(segment, index + 1 == files.len())?;
    }
    if let Some(Err(reason)) = walk.published.as_ref().map(Published::end) {
        return Err(walk.bad(reason));
    }
    if let Err(reason) = walk.keeping.end() {
        return Err(walk.bad(reason));
    }
    let Walk { head, position: (file, line), published, keeping, erased, .. } = walk;
    let authenticated = check_ends(checkpoints, &head, keys)
        .map_err(|(name, reason)| bad(if name.is_empty() { file } else { name }, line, head.seq + 1, reason))?;
    Ok(Report {
        records: head.seq - disposed,
        disposed,
        holds: keeping.holds(),
        last_hash: head.hash,
        segments: files.len() as u64,
        checkpoint_seq: checkpoints.iter().map(|(_, checkpoint)| checkpoint.seq).max().unwrap_or(0),
        checkpoint_authenticated: authenticated,
        erased,
        published: published.as_ref().map_or(0, |published| published.head().size),
        published_signed: published.is_some_and(|published| published.is_signed()),
    })
}

struct Walk<'a> {
    head: Head,
    checkpoints: &'a [(String, Checkpoint)],
    published: Option<Published<'a>>,
    keeping: Keeping<'a>,
    erased: u64,
    is_written: bool,
    /// File and line last read.
    position: (String, u64),
}

impl Walk<'_> {
    fn segment(&mut self, segment: &Segment, is_last: bool) -> Result<(), VerifyError> {
        let failed = |source| VerifyError::Read { path: segment.path.clone(), source };
        self.position = (segment.name(), 0);
        let expected = self.head.seq + 1;
        if segment.first_seq > expected {
            let last = segment.first_seq - 1;
            return Err(self.bad(format!(
                "records {expected} to {last} are missing, and no record of a disposition speaks of them"
            )));
        }
        if segment.first_seq != expected {
            let order = Break::Order { expected, found: segment.first_seq };
            return Err(self.bad(order.to_string()));
        }
        let mut lines = segment.lines(0).map_err(failed)?;
        loop {
            match lines.next() {
                Ok(None) => return Ok(()),
                Ok(Some(line)) => {
                    let followed = self.head.follow(line);
                    self.position.1 = lines.line();
                    let record = match followed {
                        Ok(record) => record,
                        Err(reason) => return Err(self.bad(reason.to_string())),
                    };
                    self.erased += u64::from(record.is_erased());
                    if let Some(Err(reason)) = self.published.as_mut().map(|published| published.take(&record)) {
                        let (file, line) = self.position.clone();
                        return Err(bad(file, line, record.seq, reason));
                    }
                    if let Err(reason) = self.keeping.note(&record) {
                        let (file, line) = self.position.clone();
                        return Err(bad(file, line, record.seq, reason));
                    }
                    self.check_passed()?;
                }
                // The scribe is in the middle of writing it.
                Err(LineError::Torn { .. }) if is_last && self.is_written => return Ok(()),
                Err(LineError::Io(source)) => return Err(failed(source)),
                Err(reason) => {
                    self.position.1 = lines.line();
                    return Err(self.bad(reason.to_string()));
                }
            }
        }
    }

    /// Every checkpoint of this number must name this hash.
    fn check_passed(&self) -> Result<(), VerifyError> {
        let (seq, hash) = (self.head.seq, &self.head.hash);
        match self.checkpoints.iter().find(|(_, passed)| passed.seq == seq && passed.hash != *hash) {
            None => Ok(()),
            Some((name, _)) => {
                let (file, line) = self.position.clone();
                Err(bad(file, line, seq, format!("the record is not the one that {name} vouches for")))
            }
        }
    }

    fn bad(&self, reason: String) -> VerifyError {
        let (file, line) = self.position.clone();
        bad(file, line, self.head.seq + 1, reason)
    }
}

/// Whether the log is as long as its checkpoints say, and whether they are ours.
fn check_ends(
    checkpoints: &[(String, Checkpoint)],
    head: &Head,
    keys: Option<&AuditKeys>,
) -> Result<bool, (String, String)> {
    if head.seq > 0 && checkpoints.is_empty() {
        return Err(("checkpoint".to_owned(), "the checkpoint is missing".to_owned()));
    }
    for (name, checkpoint) in checkpoints {
        if checkpoint.seq > head.seq {
            let reason =
                format!("the log ends here, but {name} knows of {} records: its tail is missing", checkpoint.seq);
            return Err((String::new(), reason));
        }
        if keys.is_some_and(|keys| !checkpoint.is_ours(keys)) {
            return Err((name.clone(), "the checkpoint was not made with the audit key".to_owned()));
        }
    }
    if let Some((name, _)) = checkpoints.iter().find(|(_, checkpoint)| !checkpoint.intact) {
        return Err((
            name.clone(),
            "the service found the log broken earlier: see its audit.broken records".to_owned(),
        ));
    }
    Ok(keys.is_some() && !checkpoints.is_empty())
}

/// Whether somebody holds the writer's lock.
fn is_written(folder: &Path) -> io::Result<bool> {
    match File::open(folder.join(LOCK_FILE)) {
        Ok(file) => Ok(sys::lock_file(file)?.is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Dispositions come once a day, and not one upon the other.
const TRIES: u32 = 3;

/// Where the head of the transparency log is.
const HEAD: &str = "tlog/checkpoint";

fn bad(file: String, line: u64, seq: u64, reason: String) -> VerifyError {
    VerifyError::Bad(FirstBad { file, line, seq, reason })
}
