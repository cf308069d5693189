//! Where the chain stands, and whether a line continues it.
use super::record::{FORMAT, NO_HASH, Record};

/// The end of the chain so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Number of the last record; 0 before the first.
    pub seq: u64,
    /// Its hash.
    pub hash: String,
}

/// What is wrong with a line. Never repeats the line: it may hold anything.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Break {
    #[error("not a record of this log")]
    NoRecord,
    #[error("a record of format {format}; this program knows {FORMAT}")]
    Format { format: u32 },
    #[error("not in canonical form")]
    NotCanonical,
    #[error("the record was changed: its hash does not fit it")]
    Changed,
    #[error("record {found} stands where record {expected} should: records are missing, repeated or in another order")]
    Order { expected: u64, found: u64 },
    #[error("the record does not follow the one before: prevHash is not its hash")]
    Detached,
}

impl Head {
    /// Before the first record.
    pub fn start() -> Self {
        Self { seq: 0, hash: NO_HASH.to_owned() }
    }

    /// Reads a line (without its line feed) as the next record and moves behind it.
    pub fn follow(&mut self, line: &[u8]) -> Result<Record, Break> {
        let record: Record = serde_json::from_slice(line).map_err(|_| Break::NoRecord)?;
        if record.format != FORMAT {
            return Err(Break::Format { format: record.format });
        }
        if record.canonical().as_bytes() != line {
            return Err(Break::NotCanonical);
        }
        if record.hash != record.computed_hash() || !record.has_its_details() {
            return Err(Break::Changed);
        }
        if record.seq != self.seq + 1 {
            return Err(Break::Order { expected: self.seq + 1, found: record.seq });
        }
        if record.prev_hash != self.hash {
            return Err(Break::Detached);
        }
        self.moved_to(&record);
        Ok(record)
    }

    /// Stands behind a record.
    pub fn moved_to(&mut self, record: &Record) {
        self.seq = record.seq;
        self.hash.clone_from(&record.hash);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Origin;
    use super::super::testing::{SOURCE, event, keys};
    use super::*;
    use proptest::prelude::*;

    fn first() -> Record {
        let origin = Origin { source: SOURCE, number: 1 };
        Record::link(&event("case.read"), origin, 1, NO_HASH, &keys().sealer().unwrap(), true)
    }

    #[test]
    fn only_the_canonical_line_is_the_record() {
        let line = first().canonical();
        let same_meaning = [line.replace(':', ": "), line.replace("case.read", "case\\u002eread"), format!("{line} ")];
        for other in same_meaning {
            assert_eq!(Head::start().follow(other.as_bytes()).err(), Some(Break::NotCanonical), "{other}");
        }
        let unknown = line.replacen('{', "{\"a\":1,", 1);
        assert_eq!(Head::start().follow(unknown.as_bytes()).err(), Some(Break::NoRecord));
        assert_eq!(Head::start().follow(line.as_bytes()).map(|record| record.seq), Ok(1));
    }

    #[test]
    fn a_record_of_a_later_format_is_not_guessed_at() {
        let later = Record { format: 3, ..first() }.canonical();
        assert_eq!(Head::start().follow(later.as_bytes()).err(), Some(Break::Format { format: 3 }));
    }

    proptest! {
        #[test]
        fn no_bytes_make_following_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Head::start().follow(&bytes).is_err());
        }
    }
}
