//! Reads policies and refuses what does not parse, what the schema does not know, what has no name,
//! and what breaks a promise of the house. All mistakes are told at once, each with its file and line.
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use cedar_policy::{Policy as CedarPolicy, PolicyId, PolicySet, Schema, ValidationMode, Validator};
use data_encoding::HEXLOWER;

/// Why the policies cannot be used: every mistake, one to a line.
#[derive(Debug, Default, thiserror::Error)]
pub struct PolicyError(Vec<String>);

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the policies cannot be used:")?;
        self.0.iter().try_for_each(|mistake| write!(f, "\n  {mistake}"))
    }
}

/// Policies by the name of their file.
pub type Files = BTreeMap<String, String>;

/// The policies of the files and of the program, checked.
pub(crate) struct Loaded {
    pub(crate) set: PolicySet,
    /// Hex of the SHA-256 of all files: names what was in force.
    pub(crate) digest: String,
}

pub(crate) fn load(files: &Files) -> Result<Loaded, PolicyError> {
    let mut mistakes = PolicyError::default();
    if files.is_empty() {
        mistakes.0.push("there is no file that ends in .cedar, so nobody could do anything".to_owned());
    }
    let mut all = String::new();
    let mut set = PolicySet::new();
    let built_in = (RAILS, include_str!("rails.cedar"));
    for (file, text) in files.iter().map(|(file, text)| (file.as_str(), text.as_str())).chain([built_in]) {
        let _ = writeln!(all, "{file}\n{text}");
        add(&mut set, file, text, &mut mistakes);
    }
    if mistakes.0.is_empty() {
        validate(&set, &mut mistakes);
    }
    match mistakes.0.is_empty() {
        true => Ok(Loaded { set, digest: HEXLOWER.encode(digest(&SHA256, all.as_bytes()).as_ref()) }),
        false => Err(mistakes),
    }
}

impl PolicyError {
    pub(crate) fn promises(broken: Vec<String>) -> Self {
        Self(broken)
    }
}

pub(crate) fn schema() -> Schema {
    let (schema, _) =
        Schema::from_cedarschema_str(include_str!("schema.cedarschema")).expect("the schema is part of the program");
    schema
}

fn add(set: &mut PolicySet, file: &str, text: &str, mistakes: &mut PolicyError) {
    let parsed = match PolicySet::from_str(text) {
        Ok(parsed) => parsed,
        Err(errors) => {
            for error in errors.iter() {
                let line = first_line(error, text);
                mistakes.0.push(format!("{file}:{line}: {error}"));
            }
            return;
        }
    };
    if parsed.templates().next().is_some() {
        mistakes.0.push(format!("{file}: a policy has a slot (?principal or ?resource); say whom it is about"));
    }
    for policy in parsed.policies() {
        let line = line_of(policy, text);
        let Some(name) = policy.annotation("id").filter(|name| !name.is_empty()) else {
            mistakes.0.push(format!("{file}:{line}: a policy has no name; put @id(\"…\") before it"));
            continue;
        };
        let named = policy.new_id(PolicyId::new(format!("{file}:{line} {name}")));
        let taken = set.policies().any(|other| other.annotation("id") == Some(name));
        if taken || set.add(named).is_err() {
            mistakes.0.push(format!("{file}:{line}: another policy is called {name:?}, too"));
        }
    }
}

fn validate(set: &PolicySet, mistakes: &mut PolicyError) {
    let result = Validator::new(schema()).validate(set, ValidationMode::Strict);
    mistakes.0.extend(result.validation_errors().map(|error| format!("{}: {error}", error.policy_id())));
    // What never applies is a mistake of somebody who thought that it would.
    mistakes.0.extend(result.validation_warnings().map(|warning| format!("{}: {warning}", warning.policy_id())));
}

fn line_of(policy: &CedarPolicy, text: &str) -> usize {
    let name = policy.annotation("id").unwrap_or_default();
    let at = text.find(&format!("@id(\"{name}\")")).unwrap_or(0);
    text[..at].matches('\n').count() + 1
}

fn first_line(error: &impl miette::Diagnostic, text: &str) -> usize {
    let at = error.labels().and_then(|mut labels| labels.next()).map_or(0, |label| label.offset());
    text.get(..at).unwrap_or_default().matches('\n').count() + 1
}

/// What is not in the folder and cannot be taken out of force.
pub(crate) const RAILS: &str = "rails.cedar (built in)";
