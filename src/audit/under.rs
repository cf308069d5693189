//! Which versions of the audit key the log still needs. Its records never change, so neither does what opens them.
use std::io;
use std::path::Path;

use super::keys::version_of;
use super::record::Record;
use super::segment::{LineError, segments};

/// How many records have details that only this version opens.
pub fn records_under(folder: &Path, version: u16) -> io::Result<u64> {
    let mut count = 0;
    for segment in segments(folder)? {
        let mut lines = match segment.lines(0) {
            // Disposed of a moment ago.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            lines => lines?,
        };
        loop {
            match lines.next() {
                Ok(Some(line)) => {
                    let record = serde_json::from_slice::<Record>(line);
                    // What is no record has no details; `verify` tells about it.
                    count += u64::from(record.is_ok_and(|record| version_of(&record) == Some(version)));
                }
                // A line that is being written is sealed with the newest.
                Ok(None) | Err(LineError::Torn { .. }) => break,
                Err(error) => return Err(io::Error::other(error)),
            }
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::testing::{SOURCE, batch, open};
    use crate::audit::{AuditKeys, LogWriter};
    use crate::wire::KeyBytes;

    #[test]
    fn records_are_counted_by_what_opens_them() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(records_under(folder.path(), 1).unwrap(), 0);
        open(folder.path()).append(&[batch(SOURCE, 1, 3)]).unwrap();
        let both = [2, 1].map(|version| KeyBytes { version, bytes: [version as u8 + 6; 32] });
        let mut log = LogWriter::open(folder.path(), AuditKeys::new(both.to_vec()).unwrap(), 1 << 20).unwrap().0;
        log.append(&[batch(SOURCE, 4, 2)]).unwrap();
        assert_eq!([1, 2, 3].map(|version| records_under(folder.path(), version).unwrap()), [3, 2, 0]);
    }
}
