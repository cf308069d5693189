//! Who was erased, in a file beside the database: what keeps an older copy of the database from bringing them back.
//!
//! One line for each, `SUBJECT MILLISECONDS BY`, added and on disk before anything is erased, and never taken away. A
//! line without an end was not finished: whoever wrote it has erased nothing yet.
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::store::{Erasure, StoreError};

/// The file. Only who holds the lock of the store's writers adds to it.
#[derive(Clone, Debug)]
pub struct ErasedList {
    file: PathBuf,
}

impl ErasedList {
    pub(crate) fn in_folder(store: &Path) -> Self {
        Self { file: store.join(NAME) }
    }

    /// What is on it; nothing that is not whole.
    pub(crate) fn read(&self) -> Result<Vec<Erasure>, StoreError> {
        let text = match fs::read_to_string(&self.file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            text => text?,
        };
        let malformed = StoreError::Malformed { what: "a list of erased subjects" };
        whole(&text).lines().map(parse).collect::<Option<_>>().ok_or(malformed)
    }

    /// On disk when it returns.
    pub(crate) fn add(&self, erasure: &Erasure) -> io::Result<()> {
        let mut file = File::options().create(true).append(true).read(true).mode(0o600).open(&self.file)?;
        let text = fs::read_to_string(&self.file)?;
        let is_new = text.is_empty();
        file.set_len(whole(&text).len() as u64)?;
        let Erasure { subject, at_ms, by } = erasure;
        file.write_all(format!("{subject} {at_ms} {by}\n").as_bytes())?;
        file.sync_all()?;
        if is_new && let Some(folder) = self.file.parent() {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    }
}

/// Without what a crash left of a line.
fn whole(text: &str) -> &str {
    text.rfind('\n').map_or("", |end| &text[..=end])
}

fn parse(line: &str) -> Option<Erasure> {
    let (subject, rest) = line.split_once(' ')?;
    let (at_ms, by) = rest.split_once(' ')?;
    Some(Erasure { subject: Uuid::parse_str(subject).ok()?, at_ms: at_ms.parse().ok()?, by: by.to_owned() })
}

const NAME: &str = "erased";

#[cfg(test)]
mod tests {
    use super::*;

    fn erasure(by: &str) -> Erasure {
        Erasure { subject: Uuid::now_v7(), at_ms: 7, by: by.to_owned() }
    }

    #[test]
    fn what_was_added_is_there_in_order_and_a_torn_line_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let list = ErasedList::in_folder(folder.path());
        assert!(list.read().unwrap().is_empty());
        let (first, second) = (erasure("uid:0"), erasure("uid:1000"));
        list.add(&first).unwrap();
        let whole = fs::read(folder.path().join(NAME)).unwrap();
        list.add(&second).unwrap();
        assert_eq!(list.read().unwrap(), [first.clone(), second.clone()]);
        let both = fs::read(folder.path().join(NAME)).unwrap();
        for cut in whole.len()..both.len() {
            fs::write(folder.path().join(NAME), &both[..cut]).unwrap();
            assert_eq!(list.read().unwrap(), std::slice::from_ref(&first), "cut at {cut}");
            list.add(&second).unwrap();
            assert_eq!(list.read().unwrap(), [first.clone(), second.clone()], "cut at {cut}");
        }
    }

    #[test]
    fn a_list_that_somebody_wrote_into_is_not_guessed_at() {
        let folder = tempfile::tempdir().unwrap();
        let list = ErasedList::in_folder(folder.path());
        list.add(&erasure("uid:0")).unwrap();
        for line in ["nonsense\n", "0190 7 uid:0\n", "\n"] {
            let text = format!("{line}{}", fs::read_to_string(folder.path().join(NAME)).unwrap());
            fs::write(folder.path().join(NAME), text).unwrap();
            assert!(list.read().is_err(), "{line:?}");
        }
    }
}
