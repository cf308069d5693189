//! How far the log had come, kept outside the log: with it, a tail that was cut off is missed.
//!
//! The code over it needs the audit key, so whoever can only write files cannot move it back. It also
//! remembers how far each source had come, and how the log stands with its keeping, so that a scribe that starts again
//! need not read it all.
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use super::chain::Head;
use super::keys::AuditKeys;
use super::standing::Standing;
use crate::vault::write_private;

/// A point that the log has passed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Checkpoint {
    /// When the writer last looked at a clock that it believed, milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_ms: Option<i64>,
    pub format: u32,
    pub hash: String,
    /// False for good once something has contradicted the chain.
    pub intact: bool,
    pub key_version: u16,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mac: String,
    pub seq: u64,
    /// Highest number of each source seen of late.
    pub sources: BTreeMap<String, u64>,
    /// Holds and dispositions, as the records up to here tell.
    #[serde(default, skip_serializing_if = "Standing::is_plain")]
    pub standing: Standing,
}

/// Why a checkpoint could not be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("could not read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is not a checkpoint", path.display())]
    Malformed { path: PathBuf },
}

impl Checkpoint {
    /// A point of the log that nobody has vouched for yet.
    pub(super) fn at(head: &Head) -> Self {
        Self {
            clock_ms: None,
            format: 1,
            hash: head.hash.clone(),
            intact: true,
            key_version: 0,
            mac: String::new(),
            seq: head.seq,
            sources: BTreeMap::new(),
            standing: Standing::default(),
        }
    }

    /// Vouches for all that it says.
    pub(super) fn vouched(mut self, keys: &AuditKeys) -> Self {
        self.key_version = keys.newest_version();
        self.mac = HEXLOWER.encode(&keys.mac(&self.content()));
        self
    }

    /// Whether the code over it was made with the audit key.
    pub fn is_ours(&self, keys: &AuditKeys) -> bool {
        let code = HEXLOWER.decode(self.mac.as_bytes()).unwrap_or_default();
        keys.is_our_mac(self.key_version, &self.content(), &code)
    }

    /// Replaces the folder's checkpoint and makes the new one last.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        let mut text = serde_json::to_vec(self).expect("strings and integers are always JSON");
        text.push(b'\n');
        write_private(&folder.join(FILE), &text)
    }

    /// The folder's checkpoint; `None` where there is none.
    pub fn read(folder: &Path) -> Result<Option<Self>, CheckpointError> {
        read(&folder.join(FILE))
    }

    /// All checkpoints of the folder with their file names: the current one, and those set aside.
    pub fn read_all(folder: &Path) -> Result<Vec<(String, Self)>, CheckpointError> {
        let failed = |source| CheckpointError::Read { path: folder.to_owned(), source };
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
            let is_set_aside = name.starts_with(SET_ASIDE) && !name.ends_with(".part");
            if (name == FILE || is_set_aside)
                && let Some(checkpoint) = read(&folder.join(&name))?
            {
                found.push((name, checkpoint));
            }
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(found)
    }

    /// Keeps a checkpoint that the log contradicts, as evidence, out of the way of the next one.
    pub fn set_aside(folder: &Path, now_ms: u64) -> io::Result<PathBuf> {
        let kept = folder.join(format!("{SET_ASIDE}{now_ms}"));
        fs::rename(folder.join(FILE), &kept)?;
        Ok(kept)
    }

    fn content(&self) -> Vec<u8> {
        let bare = Self { mac: String::new(), ..self.clone() };
        let mut content = b"hotline-audit-checkpoint-v1\0".to_vec();
        serde_json::to_writer(&mut content, &bare).expect("strings and integers are always JSON");
        content
    }
}

fn read(path: &Path) -> Result<Option<Checkpoint>, CheckpointError> {
    match fs::read(path) {
        Ok(text) => match serde_json::from_slice::<Checkpoint>(&text) {
            Ok(checkpoint) if checkpoint.format == 1 => Ok(Some(checkpoint)),
            _ => Err(CheckpointError::Malformed { path: path.to_owned() }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(CheckpointError::Read { path: path.to_owned(), source }),
    }
}

pub(super) const FILE: &str = "checkpoint";
const SET_ASIDE: &str = "checkpoint.contradicted-";
