//! What has come and is not on disk yet, and when to try again after a write that failed.
//!
//! Nothing that came is ever thrown away: while the log cannot be written it waits here, even when
//! the worker that sent it is gone. What does not fit stays in the sockets, and so with the workers,
//! which then refuse what they cannot record.
use std::time::{Duration, Instant};

use hotline::audit::{Batch, Event, LogWriter};

#[derive(Default)]
pub(crate) struct Pending {
    batches: Vec<Batch>,
    records: usize,
    bytes: usize,
    trouble: Option<Trouble>,
}

/// The log cannot be written.
struct Trouble {
    since: Instant,
    retry_at: Instant,
    delay: Duration,
}

/// What one try to write came to.
pub(crate) enum Written {
    /// There was nothing to write, or it is not time to try again.
    Nothing,
    /// All of it is on disk; after that long without the log.
    All { after_trouble: Option<Duration> },
    /// None of it is; what to tell those who wait, and whether this is news.
    Failed { reason: String, is_news: bool },
}

impl Pending {
    pub(crate) fn push(&mut self, source: &str, first_number: u64, events: Vec<Event>) {
        self.records += events.len();
        self.bytes += events.iter().map(Event::bytes).sum::<usize>();
        self.batches.push(Batch { source: source.to_owned(), first_number, events });
    }

    /// Room for what the sockets hold.
    pub(crate) fn has_room(&self) -> bool {
        self.records < PENDING_RECORDS_MAX && self.bytes < PENDING_BYTES_MAX
    }

    pub(crate) fn records(&self) -> usize {
        self.records
    }

    pub(crate) fn is_in_trouble(&self) -> bool {
        self.trouble.is_some()
    }

    /// Time until the next try, if there is one to come.
    pub(crate) fn retry_in(&self, now: Instant) -> Option<Duration> {
        self.trouble.as_ref().map(|trouble| trouble.retry_at.saturating_duration_since(now))
    }

    /// Writes everything in one batch, unless the last failure is too fresh.
    pub(crate) fn write(&mut self, writer: &mut LogWriter, now: Instant) -> Written {
        let is_too_early = self.trouble.as_ref().is_some_and(|trouble| now < trouble.retry_at);
        if self.batches.is_empty() || is_too_early {
            return Written::Nothing;
        }
        match writer.append(&self.batches) {
            Ok(_) => {
                self.batches.clear();
                (self.records, self.bytes) = (0, 0);
                Written::All { after_trouble: self.trouble.take().map(|trouble| now - trouble.since) }
            }
            Err(error) => {
                let first = Trouble { since: now, retry_at: now, delay: RETRY_FIRST };
                let is_news = self.trouble.is_none();
                let trouble = self.trouble.get_or_insert(first);
                trouble.retry_at = now + trouble.delay;
                trouble.delay = (trouble.delay * 2).min(RETRY_MAX);
                Written::Failed { reason: error.to_string(), is_news }
            }
        }
    }
}

/// A record takes about a kilobyte while it is written.
const PENDING_RECORDS_MAX: usize = 32_768;
/// Long details are bounded by their length.
const PENDING_BYTES_MAX: usize = 16 << 20;
const RETRY_FIRST: Duration = Duration::from_millis(50);
/// A full disk is noticed to have room again within this time.
const RETRY_MAX: Duration = Duration::from_secs(1);
