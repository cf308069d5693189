//! Finds the end of a log, also of one that a crash or a stranger has touched.
//!
//! A last record that is not complete was never acknowledged: it is cut off, and kept aside. Anything
//! else that does not fit stays as it is, for `verify` to point at, and the log goes on in a new
//! segment behind all numbers that were ever used. Reading begins at the checkpoint; where the checkpoint is lost, at
//! the beginning of what is left of the log.
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use super::super::chain::Head;
use super::super::checkpoint::{Checkpoint, CheckpointError};
use super::super::event::{Event, EventType, Outcome, Severity};
use super::super::keys::AuditKeys;
use super::super::record::{Record, at_ms_of};
use super::super::segment::{LineError, Segment, segments};
use super::super::standing::{Standing, is_about_keeping};
use super::sources::Sources;
use crate::lifecycle::clock;

pub(super) struct Found {
    pub(super) head: Head,
    pub(super) sources: Sources,
    pub(super) standing: Standing,
    /// Until when the log is known to have been at work: what its last record says, or its checkpoint if that is less.
    pub(super) clock_ms: i64,
    /// The segment to go on with and how much of it counts; none: begin a new one.
    pub(super) current: Option<(Segment, u64)>,
    pub(super) trimmed_bytes: u64,
    /// What contradicts the chain and was not known before.
    pub(super) broken: Option<String>,
    /// Nothing ever did.
    pub(super) is_intact: bool,
}

pub(super) fn recover(folder: &Path, keys: &AuditKeys) -> io::Result<Found> {
    let files = segments(folder)?;
    let mut found = Found {
        head: Head::start(),
        sources: Sources::default(),
        standing: Standing::default(),
        clock_ms: i64::MAX,
        current: None,
        trimmed_bytes: 0,
        broken: None,
        is_intact: true,
    };
    let checkpoint = found.trusted_checkpoint(folder, keys, holds_records(&files)?)?;
    let passed = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.seq);
    found.standing = checkpoint.as_ref().map(|checkpoint| checkpoint.standing.clone()).unwrap_or_default();
    let mut reading = Reading { keys, passed: checkpoint.as_ref(), last_at: None };
    for (source, number) in checkpoint.iter().flat_map(|checkpoint| &checkpoint.sources) {
        found.sources.advance(source.clone(), *number);
    }
    let from = files.iter().rposition(|segment| segment.first_seq <= passed).unwrap_or(0);
    for (index, segment) in files.iter().enumerate().skip(from) {
        let is_last = index + 1 == files.len();
        if index == from && segment.first_seq == found.standing.disposed_seq() + 1 {
            found.begin_behind_the_disposed();
        }
        found.read(segment, index == from && from > 0, is_last, &mut reading)?;
    }
    let last_at_ms = reading.last_at.map(|last| at_ms_of(&last).unwrap_or(i64::MIN));
    let clock_ms = checkpoint.as_ref().and_then(|checkpoint| checkpoint.clock_ms);
    // Of an empty log there is nothing to lose.
    found.clock_ms = last_at_ms.into_iter().chain(clock_ms).min().unwrap_or_else(super::now_ms);
    if let Some(checkpoint) = checkpoint {
        found.is_intact &= checkpoint.intact;
        found.compare_end(checkpoint);
    }
    if found.broken.is_some() {
        // The last segment may hold anything behind its last good record.
        found.current = None;
        found.head.seq = found.head.seq.max(files.last().map_or(0, |segment| segment.first_seq));
    }
    Ok(found)
}

/// What the log says about how it was found.
pub(super) fn events(trimmed_bytes: u64, broken: Option<&str>) -> Vec<Event> {
    let event = |event_type, severity, action: &str, details: serde_json::Value| Event {
        event_type,
        severity,
        outcome: Outcome::Allowed,
        at_ms: i64::try_from(clock::now_ms()).unwrap_or(i64::MAX),
        action: action.to_owned(),
        actor: "system".to_owned(),
        subject: "audit".to_owned(),
        request_id: String::new(),
        details: details.to_string(),
        contains_phi: false,
        affects_financials: false,
    };
    let mut events = Vec::new();
    if trimmed_bytes > 0 {
        let details = serde_json::json!({ "trimmedBytes": trimmed_bytes });
        events.push(event(EventType::SystemChange, Severity::Medium, "audit.recovered", details));
    }
    if let Some(reason) = broken {
        let details = serde_json::json!({ "reason": reason });
        events.push(event(EventType::ThreatDetected, Severity::Critical, "audit.broken", details));
    }
    events
}

/// What is at hand while segments are read.
struct Reading<'a> {
    keys: &'a AuditKeys,
    passed: Option<&'a Checkpoint>,
    /// What the last record says of its time.
    last_at: Option<String>,
}

impl Found {
    fn trusted_checkpoint(
        &mut self,
        folder: &Path,
        keys: &AuditKeys,
        has_records: bool,
    ) -> io::Result<Option<Checkpoint>> {
        let reason = match Checkpoint::read(folder) {
            Ok(Some(checkpoint)) if checkpoint.is_ours(keys) => return Ok(Some(checkpoint)),
            Ok(Some(_)) => "the checkpoint was not made with the audit key",
            Ok(None) if has_records => "the checkpoint is missing",
            Ok(None) => return Ok(None),
            Err(CheckpointError::Malformed { .. }) => "the checkpoint is not readable",
            Err(CheckpointError::Read { source, .. }) => return Err(source),
        };
        self.break_with(reason.to_owned());
        if reason != "the checkpoint is missing" {
            Checkpoint::set_aside(folder, clock::now_ms())?;
        }
        Ok(None)
    }

    /// Follows one segment. `joins`: it is where reading begins, and what is before it is taken as told.
    fn read(&mut self, segment: &Segment, joins: bool, is_last: bool, reading: &mut Reading<'_>) -> io::Result<()> {
        let mut lines = segment.lines(0)?;
        let mut good = 0;
        let mut joins = joins;
        loop {
            let number = lines.line() + 1;
            let line = match lines.next() {
                Ok(Some(line)) => line,
                Ok(None) => break,
                Err(LineError::Io(error)) => return Err(error),
                Err(LineError::Torn { .. }) if is_last => {
                    self.trimmed_bytes = trim(segment, good)?;
                    break;
                }
                Err(other) => {
                    self.break_with(format!("{} line {number}: {other}", segment.name()));
                    break;
                }
            };
            if std::mem::take(&mut joins)
                && let Ok(first) = serde_json::from_slice::<Record>(line)
            {
                self.head = Head { seq: first.seq.saturating_sub(1), hash: first.prev_hash };
                self.compare(reading.passed);
            }
            match self.head.follow(line) {
                Ok(record) => {
                    good = lines.offset();
                    self.take(record, reading);
                    self.compare(reading.passed);
                }
                Err(reason) => {
                    self.break_with(format!("{} line {number}: {reason}", segment.name()));
                    self.skip_to(line, reading);
                }
            }
        }
        self.current = Some((segment.clone(), good));
        Ok(())
    }

    /// Goes on behind a record that does not fit, if it is one at all and not from before.
    fn skip_to(&mut self, line: &[u8], reading: &mut Reading<'_>) {
        if let Ok(record) = serde_json::from_slice::<Record>(line)
            && record.hash == record.computed_hash()
            && record.seq > self.head.seq
        {
            self.head.moved_to(&record);
            self.take(record, reading);
        }
    }

    /// What a record tells beside being there. The checkpoint knows of what it has passed.
    fn take(&mut self, record: Record, reading: &mut Reading<'_>) {
        if is_about_keeping(&record.action) && reading.passed.is_none_or(|checkpoint| record.seq > checkpoint.seq) {
            let details = reading.keys.open(&record).ok();
            self.standing.note(&record, details.as_ref().map(|details| &details[..]));
        }
        self.sources.advance(record.source, record.source_number);
        reading.last_at = Some(record.timestamp);
    }

    /// The first record that is left must follow the last one that is not.
    fn begin_behind_the_disposed(&mut self) {
        if let Some(disposed) = &self.standing.disposed {
            self.head = Head { seq: disposed.what.last_seq, hash: disposed.what.last_hash.clone() };
        }
    }

    fn compare(&mut self, passed: Option<&Checkpoint>) {
        if let Some(checkpoint) = passed
            && checkpoint.seq == self.head.seq
            && checkpoint.hash != self.head.hash
        {
            self.break_with(format!("record {} is not the one the checkpoint vouches for", checkpoint.seq));
        }
    }

    /// A tail that was cut off leaves a gap in the numbers for good.
    fn compare_end(&mut self, checkpoint: Checkpoint) {
        if checkpoint.seq > self.head.seq {
            let (known, there) = (checkpoint.seq, self.head.seq);
            self.break_with(format!("the checkpoint knows of {known} records, the log ends with {there}"));
            self.head = Head { seq: checkpoint.seq, hash: checkpoint.hash };
        }
    }

    /// The first reason is the one that tells most.
    fn break_with(&mut self, reason: String) {
        self.is_intact = false;
        self.broken.get_or_insert(reason);
    }
}

/// A first start that was cut short leaves an empty segment and no checkpoint; that is no harm.
fn holds_records(files: &[Segment]) -> io::Result<bool> {
    for segment in files {
        if segment.path.metadata()?.len() > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Cuts a segment behind its last complete record; gives what was cut off, which is kept beside it.
fn trim(segment: &Segment, good: u64) -> io::Result<u64> {
    let file = OpenOptions::new().read(true).write(true).open(&segment.path)?;
    let length = file.metadata()?.len();
    let mut torn = vec![0; usize::try_from(length - good).unwrap_or(0)];
    file.read_exact_at(&mut torn, good)?;
    let aside = segment.path.with_extension(format!("trimmed-{}", clock::now_ms()));
    let mut kept = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(aside)?;
    kept.write_all(&torn)?;
    kept.sync_all()?;
    file.set_len(good)?;
    file.sync_all()?;
    if let Some(folder) = segment.path.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(length - good)
}
