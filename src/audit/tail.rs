//! The last records, for people: read from the end, with details opened where the key is at hand.
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::keys::AuditKeys;
use super::record::Record;
use super::segment::{LINE_BYTES_MAX, Segment, segments};

/// Why the log could not be shown.
#[derive(Debug, thiserror::Error)]
#[error("could not read {}", path.display())]
pub struct TailError {
    path: PathBuf,
    source: io::Error,
}

/// The last `count` records, oldest first. `details` is an object where it could be opened and the
/// sealed text otherwise. What is not a record is shown as `{"unreadable": true}`: `verify` tells why.
pub fn tail(folder: &Path, count: usize, keys: Option<&AuditKeys>) -> Result<Vec<Value>, TailError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| TailError { path, source }
    };
    let mut newest_first = Vec::new();
    for segment in segments(folder).map_err(failed(folder))?.iter().rev() {
        if newest_first.len() >= count {
            break;
        }
        let wanted = count - newest_first.len();
        newest_first.extend(last_lines(segment, wanted).map_err(failed(&segment.path))?);
    }
    Ok(newest_first.iter().rev().map(|line| shown(line, keys)).collect())
}

/// The last lines of a file, newest first. A line that is not finished is not there yet.
fn last_lines(segment: &Segment, wanted: usize) -> io::Result<Vec<Vec<u8>>> {
    let file = File::open(&segment.path)?;
    let mut from = file.metadata()?.len();
    let mut bytes: Vec<u8> = Vec::new();
    let mut line_feeds = 0;
    while from > 0 && line_feeds <= wanted {
        let block = from.min(BLOCK_BYTES);
        from -= block;
        let mut read = vec![0; block as usize];
        file.read_exact_at(&mut read, from)?;
        line_feeds += read.iter().filter(|byte| **byte == b'\n').count();
        read.append(&mut bytes);
        bytes = read;
        if bytes.len() > wanted.saturating_mul(LINE_BYTES_MAX) {
            break;
        }
    }
    let finished = bytes.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
    let mut lines: Vec<_> = bytes[..finished].split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    if from > 0 {
        // The first one begins before what was read.
        lines.remove(0);
    }
    Ok(lines.into_iter().rev().filter(|line| !line.is_empty()).take(wanted).collect())
}

fn shown(line: &[u8], keys: Option<&AuditKeys>) -> Value {
    let Ok(record) = serde_json::from_slice::<Record>(line) else {
        return Value::Object(Map::from_iter([("unreadable".to_owned(), Value::Bool(true))]));
    };
    let details = keys.and_then(|keys| keys.open(&record).ok()).and_then(|plain| serde_json::from_slice(&plain).ok());
    let mut value = serde_json::to_value(&record).expect("strings and integers are always JSON");
    if let Some(details) = details {
        value["details"] = details;
    }
    value
}

const BLOCK_BYTES: u64 = 64 << 10;
