//! The log's files: `<first number as 20 digits>.log`, one record a line.
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// One file of the log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Segment {
    /// Number of its first record.
    pub first_seq: u64,
    pub path: PathBuf,
}

impl Segment {
    /// The file in `folder` whose first record is `first_seq`.
    pub fn new(folder: &Path, first_seq: u64) -> Self {
        Self { first_seq, path: folder.join(format!("{first_seq:020}.log")) }
    }

    /// Its name without the folder.
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Its lines, from a byte that begins one.
    pub fn lines(&self, from: u64) -> io::Result<Lines<BufReader<File>>> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(from))?;
        Ok(Lines { reader: BufReader::with_capacity(READ_BYTES, file), line: 0, offset: from, buffer: Vec::new() })
    }
}

/// The segments of a folder, oldest first. Other files are left out.
pub fn segments(folder: &Path) -> io::Result<Vec<Segment>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some(digits) = name.strip_suffix(".log") else { continue };
        if digits.len() == NAME_DIGITS
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && let Ok(first_seq) = digits.parse()
        {
            found.push(Segment { first_seq, path });
        }
    }
    found.sort();
    Ok(found)
}

/// Reads lines without ever holding more than one.
pub struct Lines<R> {
    reader: R,
    line: u64,
    offset: u64,
    buffer: Vec<u8>,
}

/// Why there is no next line.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    #[error("could not read the log")]
    Io(#[from] io::Error),
    #[error("a line of more than {LINE_BYTES_MAX} bytes")]
    TooLong,
    /// The file ends inside a line.
    #[error("the last record is not complete: {bytes} bytes without an end of line")]
    Torn { bytes: u64 },
}

impl<R: BufRead> Lines<R> {
    /// The next line without its line feed; `None` at the end of the file.
    #[allow(clippy::should_implement_trait)] // lends its buffer
    pub fn next(&mut self) -> Result<Option<&[u8]>, LineError> {
        self.buffer.clear();
        let limit = LINE_BYTES_MAX as u64 + 1;
        let bytes = (&mut self.reader).take(limit).read_until(b'\n', &mut self.buffer)? as u64;
        if bytes == 0 {
            return Ok(None);
        }
        self.line += 1;
        match self.buffer.strip_suffix(b"\n") {
            Some(line) => {
                self.offset += bytes;
                Ok(Some(line))
            }
            None if bytes == limit => Err(LineError::TooLong),
            None => Err(LineError::Torn { bytes }),
        }
    }

    /// Number of the line last read, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Where the next line begins.
    pub fn offset(&self) -> u64 {
        self.offset
    }
}

/// Longest line: a frame's worth of details in base64, with room for escapes.
pub const LINE_BYTES_MAX: usize = 4 << 20;

/// Whoever writes the log holds a lock on this file.
pub const LOCK_FILE: &str = "lock";

const NAME_DIGITS: usize = 20;
const READ_BYTES: usize = 256 << 10;
