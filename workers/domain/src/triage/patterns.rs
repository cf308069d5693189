//! Entities with a written form of their own: case numbers and statutes. Fixed expressions, run over
//! the text as it stands; `regex` has no backtracking, so a long text costs time in proportion only.
use regex::Regex;

use super::types::{Entity, EntityKind, Span};

pub(super) struct Patterns {
    table: Vec<(EntityKind, Regex)>,
}

impl Patterns {
    pub(super) fn compile() -> Patterns {
        let table = TABLE
            .iter()
            .map(|(kind, pattern)| {
                let regex = Regex::new(pattern).expect("the table is constant and compiled by every test");
                (*kind, regex)
            })
            .collect();
        Patterns { table }
    }

    pub(super) fn find(&self, text: &str) -> Vec<Entity> {
        let mut found: Vec<Entity> = Vec::new();
        for (kind, regex) in &self.table {
            for captures in regex.captures_iter(text).take(MATCHES_MAX) {
                // Group 1 where the pattern has a lead-in word, else the whole.
                let Some(place) = captures.get(1).or_else(|| captures.get(0)) else { continue };
                let span = Span { start: place.start(), end: place.end(), text: place.as_str().to_owned() };
                let known = found.iter().any(|other| span.start < other.span.end && other.span.start < span.end);
                if !known {
                    found.push(Entity { kind: *kind, value: span.text.clone(), span });
                }
            }
        }
        found
    }
}

const MATCHES_MAX: usize = 32;

const TABLE: &[(EntityKind, &str)] = &[
    (EntityKind::CaseNumber, r"\b\d{1,4}-?[A-Z]{2,4}-?\d{3,8}(?:-\d{1,4})?\b"),
    (
        EntityKind::CaseNumber,
        r"(?i)\b(?:case|docket|index|file|petition|caso|expediente)\s+(?:number|no\.?|num\.?|n[uú]mero|#)\s*(?:is|es|:)?\s*([A-Z0-9][A-Z0-9/-]*\d[A-Z0-9/-]*)",
    ),
    (EntityKind::CaseNumber, r"\bA[- ]?\d{3}[- ]?\d{3}[- ]?\d{3}\b"),
    (EntityKind::Statute, r"\b\d{1,3}\s+U\.?\s?S\.?\s?C\.?\s*(?:§+\s*)?\d+[a-z]?(?:\(\w{1,3}\))*"),
    (EntityKind::Statute, r"\b\d{1,3}\s+C\.?F\.?R\.?\s*(?:§+\s*)?\d+(?:\.\d+)?"),
    (
        EntityKind::Statute,
        r"\b(?:Civil|Penal|Family|Labor|Housing|Vehicle|Business)\s+Code(?:\s+[Ss]ection|\s+§)?\s+\d+(?:\.\d+)?",
    ),
    // "Section 8" is a housing programme people name often, not a statute they cite.
    (EntityKind::Statute, r"(?:\b[Ss]ection|§)\s+\d{3,5}(?:\.\d+)?\b"),
];
