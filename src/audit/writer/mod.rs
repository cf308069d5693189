//! Appends to the log: one write and one fdatasync for all that gathered.
//!
//! Only one process writes a log; a lock says which. A batch counts once it is on disk: if writing
//! fails, the file is cut back to where it was and the same batch may be tried again. Records are
//! written at a known place, so whatever an earlier try left there is gone.
//!
//! A segment ends where a bundle of the published log ends, so that both can be disposed of together.
mod recovery;
mod sources;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::Flock;

use super::chain::Head;
use super::checkpoint::Checkpoint;
use super::event::Event;
use super::keys::{AuditKeys, Sealer};
use super::record::{Origin, Record};
use super::retention;
use super::segment::{LOCK_FILE, Segment};
use super::standing::Standing;
use crate::lifecycle::clock;
use crate::sys;
use crate::telemetry::names;
use crate::tlog::TILE_WIDTH;
use sources::Sources;

/// The log, open for writing.
pub struct LogWriter {
    folder: PathBuf,
    keys: AuditKeys,
    sealer: Sealer,
    head: Head,
    sources: Sources,
    standing: Standing,
    /// When the clock was last believed.
    clock_ms: i64,
    file: File,
    /// Bytes of the current segment that count.
    length: u64,
    segment_bytes_max: u64,
    /// Nothing has ever contradicted the chain.
    is_intact: bool,
    /// A write failed: the file may be longer than `length`.
    needs_trim: bool,
    checkpoint: Passed,
    _lock: Flock<File>,
}

/// What opening the log found.
pub struct Opening {
    pub head: Head,
    /// Of a record that was not complete.
    pub trimmed_bytes: u64,
    /// What contradicts the chain or its checkpoint. The log goes on; `verify` keeps telling.
    pub broken: Option<String>,
    /// What the log must say about that.
    pub events: Vec<Event>,
}

/// Events of one source, numbered from `first_number`.
pub struct Batch {
    pub source: String,
    pub first_number: u64,
    pub events: Vec<Event>,
}

/// Why the log could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriterError {
    #[error("could not open the audit log: another process writes it")]
    Locked,
    #[error("could not open the audit log at {}", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("could not write the audit log: {0}")]
    Write(#[source] io::Error),
    #[error("could not write the checkpoint of the audit log: {0}")]
    Checkpoint(#[source] io::Error),
    #[error("could not have random bytes from the system")]
    Random,
}

/// The checkpoint last written.
struct Passed {
    seq: u64,
    at: Instant,
}

impl LogWriter {
    /// Takes the log over: locks it, trims what a crash left unfinished, finds the end of the chain
    /// and how far each source had come.
    pub fn open(folder: &Path, keys: AuditKeys, segment_bytes_max: u64) -> Result<(Self, Opening), WriterError> {
        let failed = |source| WriterError::Open { path: folder.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        let lock = lock(folder)?;
        let sealer = keys.sealer().ok_or(WriterError::Random)?;
        let found = recovery::recover(folder, &keys).map_err(failed)?;
        let (file, length) = match &found.current {
            Some((segment, length)) => (open(segment).map_err(failed)?, *length),
            None => (create(&Segment::new(folder, found.head.seq + 1)).map_err(failed)?, 0),
        };
        let mut writer = Self {
            folder: folder.to_owned(),
            keys,
            sealer,
            head: found.head.clone(),
            sources: found.sources,
            standing: found.standing,
            clock_ms: found.clock_ms,
            file,
            length,
            segment_bytes_max,
            is_intact: found.is_intact,
            needs_trim: false,
            checkpoint: Passed { seq: 0, at: Instant::now() },
            _lock: lock,
        };
        // From here on a missing checkpoint means that somebody took it away.
        writer.checkpoint()?;
        metrics::counter!(names::AUDIT_TRIMMED_BYTES).increment(found.trimmed_bytes);
        let events = recovery::events(found.trimmed_bytes, found.broken.as_deref());
        Ok((writer, Opening { head: found.head, trimmed_bytes: found.trimmed_bytes, broken: found.broken, events }))
    }

    /// Writes what is new in the batches and makes it last; gives how many records that were. After an
    /// error what is left of it may be tried again: what `durable` tells then has been written.
    pub fn append(&mut self, batches: &[Batch]) -> Result<u64, WriterError> {
        let before = self.head.seq;
        // Twice where a segment ends within the batches.
        while self.append_to_segment(batches)? {}
        Ok(self.head.seq - before)
    }

    /// Writes what belongs into the current segment; tells whether there may be more.
    fn append_to_segment(&mut self, batches: &[Batch]) -> Result<bool, WriterError> {
        self.make_ready().map_err(WriterError::Write)?;
        let started = Instant::now();
        let mut next = Next {
            head: self.head.clone(),
            sources: Vec::new(),
            standing: self.standing.clone(),
            lines: Vec::new(),
            is_cut: false,
            seq_max: if self.is_full() { self.head.seq.next_multiple_of(TILE_WIDTH as u64) } else { u64::MAX },
        };
        batches.iter().for_each(|batch| self.render(batch, &mut next));
        if next.head.seq == self.head.seq {
            return Ok(false);
        }
        self.needs_trim = true;
        self.write(&next.lines).map_err(WriterError::Write)?;
        self.needs_trim = false;
        let records = next.head.seq - self.head.seq;
        self.length += next.lines.len() as u64;
        self.head = next.head;
        self.standing = next.standing;
        next.sources.into_iter().for_each(|(source, number)| self.sources.advance(source, number));
        metrics::counter!(names::AUDIT_RECORDS).increment(records);
        metrics::histogram!(names::AUDIT_BATCH_RECORDS).record(records as f64);
        metrics::histogram!(names::AUDIT_COMMIT_SECONDS).record(started.elapsed().as_secs_f64());
        if self.head.seq - self.checkpoint.seq >= CHECKPOINT_RECORDS {
            self.try_checkpoint();
        }
        Ok(next.is_cut)
    }

    /// All of a source up to this number is on disk; 0 if nothing is.
    pub fn durable(&self, source: &str) -> u64 {
        self.sources.number(source)
    }

    /// The end of the chain.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Which holds are on the log, and what of it is disposed of.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Nothing has ever contradicted the chain.
    pub fn is_intact(&self) -> bool {
        self.is_intact
    }

    /// Whether the clock can be believed: not where it says that the log stood still for long (`retention`).
    pub fn believes(&mut self, now_ms: i64) -> bool {
        let is_plausible = retention::is_plausible(self.clock_ms, now_ms);
        if is_plausible {
            self.clock_ms = now_ms;
        }
        is_plausible
    }

    /// Somebody who knows what day it is says that the clock is right.
    pub fn trust_clock(&mut self, now_ms: i64) {
        self.clock_ms = now_ms;
    }

    /// Vouches for the log as it is now.
    pub fn checkpoint(&mut self) -> Result<(), WriterError> {
        self.believes(now_ms());
        let checkpoint = Checkpoint {
            clock_ms: Some(self.clock_ms),
            intact: self.is_intact,
            sources: self.sources.numbers(),
            standing: self.standing.clone(),
            ..Checkpoint::at(&self.head)
        };
        checkpoint.vouched(&self.keys).write(&self.folder).map_err(WriterError::Checkpoint)?;
        self.checkpoint = Passed { seq: self.head.seq, at: Instant::now() };
        Ok(())
    }

    /// Vouches for what is new if the last checkpoint is older than that.
    pub fn checkpoint_if_due(&mut self, age_max: Duration) {
        if self.head.seq > self.checkpoint.seq && self.checkpoint.at.elapsed() >= age_max {
            self.try_checkpoint();
        }
    }

    /// Records are durable without it, so a checkpoint that fails is tried again later.
    fn try_checkpoint(&mut self) {
        if let Err(error) = self.checkpoint() {
            metrics::counter!(names::AUDIT_WRITE_FAILURES).increment(1);
            tracing::warn!(%error, "the audit log goes on without a new checkpoint");
            self.checkpoint.at = Instant::now();
        }
    }

    fn render(&self, batch: &Batch, next: &mut Next) {
        let in_this_batch = next.sources.iter().rev().find(|(source, _)| *source == batch.source);
        let mut durable = in_this_batch.map_or_else(|| self.sources.number(&batch.source), |(_, number)| *number);
        for (number, event) in (batch.first_number..).zip(&batch.events) {
            if number <= durable {
                continue;
            }
            if next.head.seq == next.seq_max {
                next.is_cut = true;
                break;
            }
            let origin = Origin { source: &batch.source, number };
            let record = Record::link(event, origin, next.head.seq + 1, &next.head.hash, &self.sealer, self.is_intact);
            next.head.moved_to(&record);
            next.standing.note(&record, Some(event.details.as_bytes()));
            next.lines.extend_from_slice(record.canonical().as_bytes());
            next.lines.push(b'\n');
            durable = number;
        }
        if durable > 0 {
            next.sources.push((batch.source.clone(), durable));
        }
    }

    fn write(&self, lines: &[u8]) -> io::Result<()> {
        let written = self.file.write_all_at(lines, self.length).and_then(|()| self.file.sync_data());
        if written.is_err() {
            metrics::counter!(names::AUDIT_WRITE_FAILURES).increment(1);
        }
        written
    }

    /// Nothing is added to it but what fills the bundle.
    fn is_full(&self) -> bool {
        self.length >= self.segment_bytes_max
    }

    /// Takes back what a failed try left, and begins a new segment when this one is full.
    fn make_ready(&mut self) -> io::Result<()> {
        if self.needs_trim {
            self.file.set_len(self.length)?;
            // Numbers are used again: they must not meet the same key.
            self.sealer = self.keys.sealer().ok_or_else(|| io::Error::other("no random bytes"))?;
            self.needs_trim = false;
        }
        if self.is_full() && self.head.seq.is_multiple_of(TILE_WIDTH as u64) {
            self.file = create(&Segment::new(&self.folder, self.head.seq + 1))?;
            self.length = 0;
            self.try_checkpoint();
        }
        Ok(())
    }
}

/// What the log will be when the batch is on disk.
struct Next {
    head: Head,
    sources: Vec<(String, u64)>,
    standing: Standing,
    lines: Vec<u8>,
    /// Where the segment ends, and whether there is more.
    seq_max: u64,
    is_cut: bool,
}

fn now_ms() -> i64 {
    i64::try_from(clock::now_ms()).unwrap_or(i64::MAX)
}

fn lock(folder: &Path) -> Result<Flock<File>, WriterError> {
    let path = folder.join(LOCK_FILE);
    let failed = |source| WriterError::Open { path: path.clone(), source };
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(failed)?;
    sys::lock_file(file).map_err(failed)?.ok_or(WriterError::Locked)
}

fn open(segment: &Segment) -> io::Result<File> {
    OpenOptions::new().write(true).open(&segment.path)
}

/// A new segment. One of this name without a record may be left from a try that failed.
fn create(segment: &Segment) -> io::Result<File> {
    let folder = segment.path.parent().ok_or_else(|| io::Error::other("a segment needs a folder"))?;
    match fs::metadata(&segment.path) {
        Ok(meta) if meta.len() > 0 => return Err(io::Error::from(io::ErrorKind::AlreadyExists)),
        _ => {}
    }
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&segment.path)?;
    File::open(folder)?.sync_all()?;
    Ok(file)
}

/// A tail that is cut off right after a crash can hide at most this many records.
const CHECKPOINT_RECORDS: u64 = 10_000;

#[cfg(test)]
mod tests;
