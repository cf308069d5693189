//! Reads the policies along with the settings. What they say is checked by those who decide by them.
use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

use super::reader::Reader;
use super::sections::Policy;

pub(super) fn policies(read: &mut Reader, folder: &Path) -> Policy {
    match policy_files(folder) {
        Ok(files) => {
            let bytes: usize = files.values().map(String::len).sum();
            if bytes > BYTES_MAX {
                read.mistake(
                    "paths.policy_dir",
                    format!("holds {bytes} bytes of policies; at most {BYTES_MAX} are taken"),
                );
            }
            Policy { files }
        }
        // A command that only talks to the service needs none; a service without any does not start.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Policy::default(),
        Err(error) => {
            read.mistake("paths.policy_dir", format!("could not be read: {error}"));
            Policy::default()
        }
    }
}

/// The files of a folder that end in `.cedar`, by name.
pub fn policy_files(folder: &Path) -> io::Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "cedar") {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.insert(name, fs::read_to_string(&path)?);
        }
    }
    Ok(files)
}

/// They travel to every worker.
const BYTES_MAX: usize = 256 << 10;
