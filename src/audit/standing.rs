//! How the log stands with its own keeping: which holds are on it, and which of its records are disposed of.
//!
//! Both follow from records of the log and from nothing else. They are carried along in the checkpoint, under its code,
//! so that a start need not read all records and the records that made them may go in their turn: reading goes on
//! from the checkpoint, as it does for the numbers of sources. A log whose checkpoint is lost is read from its beginning.
//!
//! Only what the scribe itself wrote counts: it takes such records from nobody. To end a hold, or to dispose of
//! anything, a record must also open with the audit key; a hold is believed without.
use serde::{Deserialize, Serialize};

use super::record::Record;

/// The holds on the log, and how far it is disposed of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Standing {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disposed: Option<Disposed>,
    /// While there is one, nothing is disposed of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holds: Vec<Hold>,
}

/// A legal hold; its name is the number of the record that placed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Hold {
    pub seq: u64,
    pub since: String,
    pub by: String,
}

/// The last disposition, as it is on record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Disposed {
    /// When, and in which record it is said.
    pub at: String,
    pub record: u64,
    pub what: Disposition,
}

/// What is disposed of by one act: the details of its record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Disposition {
    pub first_seq: u64,
    /// Also the number of entries of the tree that `root` is of: the tree up to here.
    pub last_seq: u64,
    pub records: u64,
    /// The earliest and the latest time among them.
    pub first_at: String,
    pub last_at: String,
    /// Of the last of them: what the first record that is left must follow.
    pub last_hash: String,
    /// In base64, as in a signed head.
    pub root: String,
    pub retention_years: u16,
}

impl Standing {
    /// No hold, nothing disposed of.
    pub(super) fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// Records before this one, and this one, are disposed of; 0: none.
    pub fn disposed_seq(&self) -> u64 {
        self.disposed.as_ref().map_or(0, |disposed| disposed.what.last_seq)
    }

    /// The next record. `details` are those that opened with the audit key.
    pub(super) fn note(&mut self, record: &Record, details: Option<&[u8]>) {
        if !is_own(record) {
            return;
        }
        match (record.action.as_str(), details) {
            (HOLD, _) => {
                let hold = Hold { seq: record.seq, since: record.timestamp.clone(), by: record.actor.clone() };
                self.holds.push(hold);
            }
            (RELEASE, Some(_)) => self.holds.retain(|hold| Some(hold.seq) != released(&record.subject)),
            (DISPOSE, Some(details)) => {
                let what = serde_json::from_slice::<Disposition>(details).ok();
                if let Some(what) = what.filter(|what| what.first_seq == self.disposed_seq() + 1) {
                    self.disposed = Some(Disposed { at: record.timestamp.clone(), record: record.seq, what });
                }
            }
            _ => {}
        }
    }
}

impl Disposition {
    /// What the record is about: readable without a key.
    pub fn subject(&self) -> String {
        format!("records/{}-{}", self.first_seq, self.last_seq)
    }

    /// The first and the last number of what a record of disposition is about; `None` if it is none.
    pub(super) fn range_of(record: &Record) -> Option<(u64, u64)> {
        let (first, last) = record.subject.strip_prefix("records/")?.split_once('-')?;
        let range = (first.parse().ok()?, last.parse().ok()?);
        (record.action == DISPOSE && is_own(record) && range.0 <= range.1).then_some(range)
    }
}

impl Hold {
    /// What a release is about.
    pub fn subject(&self) -> String {
        format!("hold/{}", self.seq)
    }
}

fn released(subject: &str) -> Option<u64> {
    subject.strip_prefix("hold/")?.parse().ok()
}

fn is_own(record: &Record) -> bool {
    is_scribe(&record.source)
}

/// Whether a source is a life of the scribe: a name that it leaves to nobody.
pub fn is_scribe(source: &str) -> bool {
    source.starts_with("scribe-")
}

/// Whether records with this action change how the log stands.
pub(super) fn is_about_keeping(action: &str) -> bool {
    [HOLD, RELEASE, DISPOSE].contains(&action)
}

/// Actions of records about the log's keeping.
pub const HOLD: &str = "audit.hold";
pub const RELEASE: &str = "audit.release";
pub const DISPOSE: &str = "audit.dispose";
/// An operator says that the clock is right after a standstill.
pub const TRUST_CLOCK: &str = "audit.trust-clock";

#[cfg(test)]
mod tests {
    use super::super::Origin;
    use super::super::record::NO_HASH;
    use super::super::testing::{event, keys};
    use super::*;

    const SCRIBE: &str = "scribe-0@00000000000000aa.1";

    fn record(source: &str, seq: u64, action: &str, subject: &str) -> Record {
        let event = super::super::Event { subject: subject.to_owned(), ..event(action) };
        Record::link(&event, Origin { source, number: seq }, seq, NO_HASH, &keys().sealer().unwrap(), true)
    }

    fn disposition(first_seq: u64, last_seq: u64) -> Disposition {
        Disposition {
            first_seq,
            last_seq,
            records: last_seq + 1 - first_seq,
            first_at: "2019-01-01T00:00:00.000Z".to_owned(),
            last_at: "2019-02-01T00:00:00.000Z".to_owned(),
            last_hash: NO_HASH.to_owned(),
            root: String::new(),
            retention_years: 7,
        }
    }

    fn held(standing: &Standing) -> Vec<u64> {
        standing.holds.iter().map(|hold| hold.seq).collect()
    }

    #[test]
    fn each_hold_is_ended_by_its_own_release() {
        let mut standing = Standing::default();
        standing.note(&record(SCRIBE, 7, HOLD, "audit"), Some(b"{}"));
        standing.note(&record(SCRIBE, 9, HOLD, "audit"), Some(b"{}"));
        for other in ["hold/8", "hold/", "hold/7x", "7", "audit"] {
            standing.note(&record(SCRIBE, 10, RELEASE, other), Some(b"{}"));
        }
        assert_eq!(held(&standing), [7, 9]);
        standing.note(&record(SCRIBE, 11, RELEASE, "hold/7"), Some(b"{}"));
        assert_eq!(held(&standing), [9]);
    }

    #[test]
    fn what_does_not_open_can_hold_and_neither_release_nor_dispose() {
        let mut standing = Standing::default();
        standing.note(&record(SCRIBE, 7, HOLD, "audit"), None);
        standing.note(&record(SCRIBE, 8, RELEASE, "hold/7"), None);
        standing.note(&record(SCRIBE, 9, DISPOSE, "records/1-256"), None);
        assert_eq!((held(&standing), standing.disposed_seq()), (vec![7], 0));
    }

    #[test]
    fn what_others_wrote_changes_nothing() {
        let details = serde_json::to_vec(&disposition(1, 256)).unwrap();
        let mut standing = Standing::default();
        for action in [HOLD, RELEASE, DISPOSE] {
            standing.note(&record("api-0@00000000000000aa.1", 300, action, "records/1-256"), Some(&details));
        }
        assert_eq!(standing, Standing::default());
        assert_eq!(Disposition::range_of(&record("api-0@00aa.1", 300, DISPOSE, "records/1-256")), None);
    }

    #[test]
    fn dispositions_follow_each_other_without_a_gap() {
        let mut standing = Standing::default();
        let mut dispose = |seq, first, last| {
            let what = disposition(first, last);
            let record = record(SCRIBE, seq, DISPOSE, &what.subject());
            assert_eq!(Disposition::range_of(&record), Some((first, last)));
            standing.note(&record, Some(&serde_json::to_vec(&what).unwrap()));
            standing.disposed_seq()
        };
        assert_eq!(dispose(900, 257, 512), 0, "nothing says what became of the records before");
        assert_eq!(dispose(901, 1, 256), 256);
        assert_eq!(dispose(902, 1, 512), 256);
        assert_eq!(dispose(903, 257, 512), 512);
        assert_eq!(Disposition::range_of(&record(SCRIBE, 9, DISPOSE, "records/2-1")), None);
        assert_eq!(Disposition::range_of(&record(SCRIBE, 9, HOLD, "records/1-2")), None);
    }
}
