//! Disposing of records that need not be kept any more: which they are, and removing them.
//!
//! What goes is a run of whole segments at the beginning of the log, closed, with every record in them past its time, and
//! the bundles of the published log that hold the same records. Tiles of hashes and heads stay, so the tree stays what it
//! was. The order is the promise: the disposition is on record, then vouched for by a checkpoint, then told beside the
//! published log, and only then the first file goes. A crash anywhere leaves either the record and some of the files,
//! which the next start removes, or no record and all of them.
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use data_encoding::BASE64;

use super::chain::Head;
use super::published::Published;
use super::record::{Record, at_ms_of};
use super::retention::kept_until_ms;
use super::segment::{LineError, Segment, segments};
use super::standing::{Disposed, Disposition};
use super::verify::PublishedLog;
use crate::tlog::{Pruned, StoreError, TILE_WIDTH};

/// What to look for.
pub struct Search<'a> {
    pub folder: &'a Path,
    pub published: PublishedLog<'a>,
    /// The last disposition.
    pub disposed: Option<&'a Disposed>,
    pub retention_years: u16,
    pub now_ms: i64,
    /// Records that are under a signed head and read by whoever publishes them.
    pub published_seq: u64,
}

/// What need not be kept any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    pub what: Disposition,
    /// There may be more; this is as much as one act disposes of.
    pub is_bounded: bool,
}

/// Why nothing is disposed of.
#[derive(Debug, thiserror::Error)]
pub enum DisposalError {
    #[error("could not read or remove {}", path.display())]
    Files { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is not in order is evidence.
    #[error("{file} is not in order, so nothing is disposed of: {reason}; see `hotline audit verify`")]
    Damaged { file: String, reason: String },
}

/// Reads the oldest segments and tells what of them is due; `None` if nothing is, or `is_over` says to stop. Each record is
/// held against the chain and against what was published before it may go.
pub fn due(search: &Search<'_>, is_over: &dyn Fn() -> bool) -> Result<Option<Due>, DisposalError> {
    let files = kept_segments(search)?;
    let [oldest, _, ..] = &files[..] else { return Ok(None) };
    if !begins_with_due(search, oldest)? {
        return Ok(None);
    }
    let Some(mut run) = Run::begin(search)? else { return Ok(None) };
    let mut due: Option<Disposition> = None;
    for (index, pair) in files.windows(2).enumerate() {
        if index >= SEGMENTS_MAX && due.is_some() {
            return Ok(due.map(|what| Due { what, is_bounded: true }));
        }
        if !run.segment(search, &pair[0], is_over)? || run.head.seq >= search.published_seq {
            break;
        }
        if pair[1].first_seq != run.head.seq + 1 {
            return Err(damaged(&pair[1], "it does not begin where the one before ends".to_owned()));
        }
        // A segment of an older build may end within a bundle; it goes with the next one that does not.
        if run.head.seq.is_multiple_of(TILE_WIDTH as u64) {
            due = Some(run.disposition(search));
        }
    }
    Ok(due.map(|what| Due { what, is_bounded: false }))
}

/// Removes what a disposition on record speaks of. Done again, it goes on where it was.
pub fn dispose(folder: &Path, published: &crate::tlog::Store, disposed: &Disposed) -> Result<(), DisposalError> {
    let (first_seq, last_seq) = (disposed.what.first_seq, disposed.what.last_seq);
    let pruned = Pruned { minimum_index: last_seq, since: disposed.at.clone() };
    if published.pruned()?.as_ref() != Some(&pruned) {
        published.prune(&pruned)?;
    }
    published.remove_bundles((first_seq - 1) / TILE_WIDTH as u64..last_seq / TILE_WIDTH as u64)?;
    for path in doomed(folder, last_seq)? {
        remove(folder, &path).map_err(|source| DisposalError::Files { path, source })?;
    }
    Ok(())
}

/// The files of disposed segments, oldest first, each after what a crash once cut off it.
fn doomed(folder: &Path, last_seq: u64) -> Result<Vec<PathBuf>, DisposalError> {
    let failed = |source| DisposalError::Files { path: folder.to_owned(), source };
    let files = segments(folder).map_err(failed)?;
    let gone: Vec<_> = files.iter().filter(|segment| segment.first_seq <= last_seq).collect();
    if let Some(last) = gone.last()
        && !files.iter().any(|segment| segment.first_seq == last_seq + 1)
    {
        return Err(damaged(last, format!("no segment begins with record {}", last_seq + 1)));
    }
    let mut paths = Vec::new();
    for segment in gone {
        let prefix = format!("{}.trimmed-", segment.path.file_stem().unwrap_or_default().to_string_lossy());
        for entry in fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            paths.extend(name.starts_with(&prefix).then_some(path));
        }
        paths.push(segment.path.clone());
    }
    Ok(paths)
}

fn remove(folder: &Path, path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        // One by one, so that what is left is always the end of the log.
        _ => File::open(folder)?.sync_all(),
    }
}

/// Segments that are not disposed of yet, oldest first.
fn kept_segments(search: &Search<'_>) -> Result<Vec<Segment>, DisposalError> {
    let failed = |source| DisposalError::Files { path: search.folder.to_owned(), source };
    let mut files = segments(search.folder).map_err(failed)?;
    let disposed = search.disposed.map_or(0, |disposed| disposed.what.last_seq);
    files.retain(|segment| segment.first_seq > disposed);
    Ok(files)
}

/// On most days the first record tells that nothing is due.
fn begins_with_due(search: &Search<'_>, segment: &Segment) -> Result<bool, DisposalError> {
    let failed = |source| DisposalError::Files { path: segment.path.clone(), source };
    let mut lines = segment.lines(0).map_err(failed)?;
    let first = lines.next().map_err(|error| unreadable(segment, error))?;
    let record = first.and_then(|line| serde_json::from_slice::<Record>(line).ok());
    let record = record.ok_or_else(|| damaged(segment, "its first line is not a record".to_owned()))?;
    Ok(search.is_due(&record).is_some())
}

impl Search<'_> {
    /// When it happened, if that is long enough ago.
    fn is_due(&self, record: &Record) -> Option<i64> {
        let at_ms = at_ms_of(&record.timestamp)?;
        kept_until_ms(at_ms, self.retention_years).filter(|until| *until <= self.now_ms).map(|_| at_ms)
    }
}

/// The records read so far, every one of them due.
struct Run<'a> {
    head: Head,
    published: Published<'a>,
    records: u64,
    /// The earliest and the latest, with their times.
    first: (i64, String),
    last: (i64, String),
}

impl<'a> Run<'a> {
    /// Behind the last disposition; `None` where nothing is published.
    fn begin(search: &Search<'a>) -> Result<Option<Self>, DisposalError> {
        let refused = |reason| DisposalError::Damaged { file: "the published log".to_owned(), reason };
        let disposed = search.disposed.map(|disposed| &disposed.what);
        let head = disposed.map_or_else(Head::start, |what| Head { seq: what.last_seq, hash: what.last_hash.clone() });
        let PublishedLog { store, keys } = search.published;
        let Some(published) = Published::open(store, keys, head.seq).map_err(refused)? else { return Ok(None) };
        if disposed.is_some_and(|what| what.root != BASE64.encode(&published.root())) {
            return Err(refused("its tree over what is disposed of is another".to_owned()));
        }
        let (first, last) = ((i64::MAX, String::new()), (i64::MIN, String::new()));
        Ok(Some(Self { head, published, records: 0, first, last }))
    }

    /// Reads a segment; tells whether all of it is due.
    fn segment(
        &mut self,
        search: &Search<'_>,
        segment: &Segment,
        is_over: &dyn Fn() -> bool,
    ) -> Result<bool, DisposalError> {
        let failed = |source| DisposalError::Files { path: segment.path.clone(), source };
        let mut lines = segment.lines(0).map_err(failed)?;
        while let Some(line) = lines.next().map_err(|error| unreadable(segment, error))? {
            let record = self.head.follow(line).map_err(|reason| damaged(segment, reason.to_string()))?;
            self.published.take(&record).map_err(|reason| damaged(segment, reason))?;
            let Some(at_ms) = search.is_due(&record).filter(|_| !is_over()) else { return Ok(false) };
            self.records += 1;
            if at_ms < self.first.0 {
                self.first = (at_ms, record.timestamp.clone());
            }
            if at_ms >= self.last.0 {
                self.last = (at_ms, record.timestamp);
            }
        }
        Ok(true)
    }

    fn disposition(&self, search: &Search<'_>) -> Disposition {
        Disposition {
            first_seq: self.head.seq + 1 - self.records,
            last_seq: self.head.seq,
            records: self.records,
            first_at: self.first.1.clone(),
            last_at: self.last.1.clone(),
            last_hash: self.head.hash.clone(),
            root: BASE64.encode(&self.published.root()),
            retention_years: search.retention_years,
        }
    }
}

fn unreadable(segment: &Segment, error: LineError) -> DisposalError {
    match error {
        LineError::Io(source) => DisposalError::Files { path: segment.path.clone(), source },
        reason => damaged(segment, reason.to_string()),
    }
}

fn damaged(segment: &Segment, reason: String) -> DisposalError {
    DisposalError::Damaged { file: segment.name(), reason }
}

/// One act reads and removes at most this many segments, a gigabyte as they are by default; what is left comes next.
pub const SEGMENTS_MAX: usize = 16;

#[cfg(test)]
#[path = "disposal_tests.rs"]
mod tests;
