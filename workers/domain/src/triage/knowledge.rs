//! The rules and steps people write: `config/knowledge/*.toml`, read once and checked whole. A file
//! that is wrong stops the load with its name, the key, the value and what to write instead.
use std::path::{Path, PathBuf};
use std::{fs, io};

use aws_lc_rs::digest::{Context, SHA256};
use data_encoding::HEXLOWER;
use jiff::civil::Date;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::types::{DeadlineKind, Source, UrgencyLevel};

/// Why the knowledge could not be used.
#[derive(Debug, thiserror::Error)]
pub enum TriageError {
    #[error(
        "could not read knowledge {path}: {source}; `knowledge` must be a folder with issues.toml, urgency.toml, deadlines.toml and steps-*.toml"
    )]
    Read { path: PathBuf, source: io::Error },
    #[error("could not parse knowledge {path}: {detail}; correct or remove the key that is named")]
    Parse { path: PathBuf, detail: String },
    #[error("could not use knowledge {file}: {key} = {value:?}; {remedy}")]
    Value { file: String, key: String, value: String, remedy: String },
}

impl TriageError {
    pub(super) fn value(file: &str, key: impl Into<String>, value: impl ToString, remedy: impl Into<String>) -> Self {
        TriageError::Value { file: file.to_owned(), key: key.into(), value: value.to_string(), remedy: remedy.into() }
    }
}

/// Every file of the folder, as written.
pub(super) struct Knowledge {
    pub(super) issues: IssueFile,
    pub(super) urgency: UrgencyFile,
    pub(super) deadlines: DeadlineFile,
    /// With the name of the file each set comes from.
    pub(super) steps: Vec<(String, StepFile)>,
    pub(super) sha256: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IssueFile {
    pub(super) weights: Weights,
    pub(super) embedding: EmbeddingWeights,
    pub(super) issue: Vec<IssueRule>,
}

/// What a cue of each class adds to the log-odds of its issue.
#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Weights {
    pub(super) strong: f32,
    pub(super) medium: f32,
    pub(super) weak: f32,
    pub(super) against: f32,
    /// Share of a cue's weight that is left when the caller denies it.
    pub(super) negated_share: f32,
}

/// How a z-score over the issues of one text moves the log-odds.
#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EmbeddingWeights {
    pub(super) scale: f32,
    pub(super) neutral_z: f32,
    pub(super) most: f32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IssueRule {
    pub(super) code: String,
    pub(super) label: String,
    /// Log-odds with no cue at all.
    pub(super) bias: f32,
    /// Probability from which the issue is reported.
    pub(super) cut: f32,
    #[serde(default)]
    pub(super) secondary: bool,
    pub(super) prompts: Vec<String>,
    #[serde(default)]
    pub(super) strong: Vec<String>,
    #[serde(default)]
    pub(super) medium: Vec<String>,
    #[serde(default)]
    pub(super) weak: Vec<String>,
    #[serde(default)]
    pub(super) against: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UrgencyFile {
    pub(super) near: Near,
    pub(super) rule: Vec<UrgencyRule>,
}

/// When a deadline alone makes a call urgent.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Near {
    pub(super) code: String,
    pub(super) label: String,
    pub(super) passed_code: String,
    pub(super) passed_label: String,
    pub(super) urgent_within_days: i64,
    pub(super) soon_within_days: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UrgencyRule {
    pub(super) code: String,
    pub(super) label: String,
    pub(super) level: UrgencyLevel,
    /// The level that is left when the caller denies it.
    pub(super) negated: UrgencyLevel,
    pub(super) cues: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeadlineFile {
    pub(super) kind: Vec<DeadlineKindRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeadlineKindRule {
    pub(super) kind: DeadlineKind,
    pub(super) label: String,
    #[serde(default)]
    pub(super) cues: Vec<String>,
    #[serde(default)]
    pub(super) missed: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StepFile {
    pub(super) step: Vec<StepRule>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StepRule {
    pub(super) id: String,
    /// Given when any of these issues is reported. Empty: whatever the issue.
    #[serde(default)]
    pub(super) issues: Vec<String>,
    /// Given when any of these urgency reasons was found. Empty: whatever the reason.
    #[serde(default)]
    pub(super) reasons: Vec<String>,
    pub(super) urgency_min: UrgencyLevel,
    pub(super) jurisdiction: String,
    /// Ids of steps this one stands in for.
    #[serde(default)]
    pub(super) replaces: Vec<String>,
    /// Where to send the caller, rather than what to do.
    #[serde(default)]
    pub(super) referral: bool,
    pub(super) text: String,
    pub(super) why: String,
    #[serde(default)]
    pub(super) text_es: Option<String>,
    #[serde(default)]
    pub(super) why_es: Option<String>,
    pub(super) source: Source,
    pub(super) as_of: Date,
    pub(super) review_by: Date,
}

impl Knowledge {
    pub(super) fn read(folder: &Path) -> Result<Knowledge, TriageError> {
        let mut digest = Context::new(&SHA256);
        let issues = parse(&folder.join("issues.toml"), &mut digest)?;
        let urgency = parse(&folder.join("urgency.toml"), &mut digest)?;
        let deadlines = parse(&folder.join("deadlines.toml"), &mut digest)?;
        let mut steps = Vec::new();
        for path in step_files(folder)? {
            let file = parse(&path, &mut digest)?;
            steps.push((file_name(&path), file));
        }
        let sha256 = HEXLOWER.encode(digest.finish().as_ref());
        Ok(Knowledge { issues, urgency, deadlines, steps, sha256 })
    }
}

fn step_files(folder: &Path) -> Result<Vec<PathBuf>, TriageError> {
    let refuse = |source| TriageError::Read { path: folder.to_owned(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(refuse)? {
        let path = entry.map_err(refuse)?.path();
        let name = file_name(&path);
        if name.starts_with("steps-") && name.ends_with(".toml") {
            found.push(path);
        }
    }
    if found.is_empty() || found.len() > STEP_FILES_MAX {
        let remedy = format!("put between 1 and {STEP_FILES_MAX} files named steps-*.toml there");
        return Err(TriageError::value(&folder.display().to_string(), "steps-*.toml", found.len(), remedy));
    }
    found.sort();
    Ok(found)
}

fn parse<T: DeserializeOwned>(path: &Path, digest: &mut Context) -> Result<T, TriageError> {
    let bytes = fs::read(path).map_err(|source| TriageError::Read { path: path.to_owned(), source })?;
    if bytes.len() > FILE_BYTES_MAX {
        let remedy = format!("keep each file under {FILE_BYTES_MAX} bytes");
        return Err(TriageError::value(&file_name(path), "size", bytes.len(), remedy));
    }
    // Name and length frame the bytes, so moving a line between files changes the digest.
    let name = file_name(path);
    digest.update(format!("{name}\n{}\n", bytes.len()).as_bytes());
    digest.update(&bytes);
    let refuse = |detail: String| TriageError::Parse { path: path.to_owned(), detail };
    let text = std::str::from_utf8(&bytes).map_err(|error| refuse(error.to_string()))?;
    toml::from_str(text).map_err(|error| refuse(error.to_string()))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

const FILE_BYTES_MAX: usize = 1 << 20;
const STEP_FILES_MAX: usize = 64;
