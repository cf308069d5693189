//! Writers that are killed while they write: what was acknowledged is there, what was not is whole or not
//! there at all, and the lock never outlives its holder.
use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

use tempfile::TempDir;

use super::{all, case, open};
use crate::store::{Cases, Inserted};
use crate::testing::{block_on, config};

#[test]
fn what_was_acknowledged_outlives_the_writer_and_the_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = HashSet::new();
    for round in 0..3 {
        let mut doomed = Writer::start(&folder, round * 2);
        let mut other = Writer::start(&folder, round * 2 + 1);
        for _ in 0..30 {
            acknowledged.insert(doomed.next().unwrap());
            acknowledged.insert(other.next().unwrap());
        }
        acknowledged.extend(doomed.kill());
        // It waits for the lock that the dead one may have held.
        for _ in 0..30 {
            acknowledged.insert(other.next().unwrap());
        }
        acknowledged.extend(other.kill());
    }
    let store = open(&folder);
    let kept = all(&store);
    let numbers: HashSet<String> = kept.iter().map(|row| row.number.clone()).collect();
    let lost: Vec<&String> = acknowledged.difference(&numbers).collect();
    assert!(lost.is_empty(), "acknowledged, but not there: {lost:?}");
    for row in &kept {
        assert!(block_on(store.case_version(row.id, 1)).unwrap().is_some(), "half of a case");
    }
    let database = rusqlite::Connection::open(folder.path().join("hotline.db")).unwrap();
    let verdict: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
}

/// Not a test of its own: the writer that the test above starts, and kills.
#[test]
fn writes_until_it_is_killed() {
    let (Ok(folder), Ok(name)) = (std::env::var(FOLDER), std::env::var(NAME)) else { return };
    let folder = std::path::PathBuf::from(folder);
    let settings = config(&tempfile::tempdir().unwrap()).store;
    let store = super::Sqlite::open(&folder.join("hotline.db"), &settings).unwrap();
    std::thread::scope(|scope| {
        // Several at once, so that batches hold more than one write.
        for thread in 0..3 {
            let (store, name) = (&store, &name);
            scope.spawn(move || {
                for n in 0..100_000 {
                    let number = format!("{name}-{thread}-{n}");
                    assert_eq!(block_on(store.insert_case(case(&number), None, None)).unwrap(), Inserted::Done);
                    let mut out = std::io::stdout().lock();
                    if writeln!(out, "{MARK}{number}").and_then(|()| out.flush()).is_err() {
                        return; // the reader is gone
                    }
                }
            });
        }
    });
}

struct Writer {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Writer {
    #[allow(clippy::disallowed_methods, reason = "this very test program, with no descriptors to keep from it")]
    fn start(folder: &TempDir, name: u32) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "store::sqlite::tests::killed::writes_until_it_is_killed"])
            .env(FOLDER, folder.path())
            .env(NAME, name.to_string())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = child.unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// The next number that it was told is durable.
    fn next(&mut self) -> Option<String> {
        let mut line = String::new();
        while self.lines.read_line(&mut line).unwrap() > 0 {
            // The harness prints on the same line; a line that was cut off by the end acknowledges nothing.
            if let Some((_, number)) = line.split_once(MARK).filter(|_| line.ends_with('\n')) {
                return Some(number.trim_end().to_owned());
            }
            line.clear();
        }
        None
    }

    /// Kills it; what it had acknowledged until then.
    fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::iter::from_fn(|| self.next()).collect()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const FOLDER: &str = "HOTLINE_TEST_WRITER_FOLDER";
const NAME: &str = "HOTLINE_TEST_WRITER_NAME";
const MARK: &str = "durable: ";
