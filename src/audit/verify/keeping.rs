//! Whether what is missing at the beginning of a log is what its records of disposition say, and nothing more.
//!
//! The checkpoint tells where the log begins now; a record behind it must tell the same. Records of earlier dispositions
//! may be gone with what they stood among, so the first that is left may begin anywhere; each later one begins where the
//! one before ended.
use data_encoding::BASE64;

use super::super::chain::Head;
use super::super::checkpoint::Checkpoint;
use super::super::keys::AuditKeys;
use super::super::record::Record;
use super::super::standing::{Disposition, Standing, is_about_keeping};
use crate::tlog::Hash;

/// How the log stands with its keeping, as the checkpoint says and as the records say.
pub(super) struct Keeping<'a> {
    told: Standing,
    /// The checkpoint tells of records up to here.
    told_seq: u64,
    /// Holds and releases of the records so far.
    found: Standing,
    /// Where the last disposition on record ended.
    last_seq: Option<u64>,
    /// The one that the checkpoint tells of is on record.
    is_on_record: bool,
    keys: Option<&'a AuditKeys>,
}

impl<'a> Keeping<'a> {
    pub(super) fn new(checkpoint: Option<&Checkpoint>, keys: Option<&'a AuditKeys>) -> Self {
        let told = checkpoint.map(|checkpoint| checkpoint.standing.clone()).unwrap_or_default();
        Self {
            told_seq: checkpoint.map_or(0, |checkpoint| checkpoint.seq),
            is_on_record: told.disposed.is_none(),
            told,
            found: Standing::default(),
            last_seq: None,
            keys,
        }
    }

    pub(super) fn disposed_seq(&self) -> u64 {
        self.told.disposed_seq()
    }

    /// Where the walk begins.
    pub(super) fn start(&self) -> Head {
        let what = self.told.disposed.as_ref().map(|disposed| &disposed.what);
        what.map_or_else(Head::start, |what| Head { seq: what.last_seq, hash: what.last_hash.clone() })
    }

    /// The published tree over what is disposed of is the one it was.
    pub(super) fn check_root(&self, root: &Hash) -> Result<(), String> {
        match &self.told.disposed {
            Some(disposed) if disposed.what.root != BASE64.encode(root) => {
                Err(format!("the published tree over the {} disposed records is another", disposed.what.last_seq))
            }
            _ => Ok(()),
        }
    }

    /// The next record. What is wrong, if anything is.
    pub(super) fn note(&mut self, record: &Record) -> Result<(), String> {
        if is_about_keeping(&record.action) {
            self.note_act(record)?;
        }
        if record.seq == self.told_seq && self.keys.is_some() && self.found.holds != self.told.holds {
            return Err("the checkpoint tells of other legal holds than the records".to_owned());
        }
        Ok(())
    }

    fn note_act(&mut self, record: &Record) -> Result<(), String> {
        let opened = self.keys.map(|keys| keys.open(record));
        let details = opened.as_ref().and_then(|opened| opened.as_ref().ok());
        if let Some((first_seq, last_seq)) = Disposition::range_of(record) {
            let what = details.and_then(|details| serde_json::from_slice::<Disposition>(details).ok());
            let is_the_same = |what: &Disposition| (what.first_seq, what.last_seq) == (first_seq, last_seq);
            if self.keys.is_some() && !what.as_ref().is_some_and(is_the_same) {
                return Err("the record of a disposition was not made with the audit key".to_owned());
            }
            if self.last_seq.is_some_and(|last| first_seq != last + 1) {
                return Err("the record of a disposition does not go on where the one before ended".to_owned());
            }
            self.last_seq = Some(last_seq);
            if let Some(disposed) = self.told.disposed.as_ref().filter(|disposed| disposed.record == record.seq) {
                if !is_the_same(&disposed.what) || what.is_some_and(|what| what != disposed.what) {
                    return Err("the record of a disposition does not say what the checkpoint says".to_owned());
                }
                self.is_on_record = true;
            }
        }
        self.found.note(record, details.map(|details| &details[..]));
        Ok(())
    }

    /// Behind the last record: the disposition that explains what is missing has been met.
    pub(super) fn end(&self) -> Result<(), String> {
        if self.is_on_record {
            return Ok(());
        }
        Err(format!("records 1 to {} are missing, and no record of a disposition speaks of them", self.disposed_seq()))
    }

    /// As far as the key shows.
    pub(super) fn holds(&self) -> u64 {
        self.found.holds.len() as u64
    }
}
