//! How fast a person must look at a call. Rules first and in favour of recall: each reason quotes the
//! words that gave it, a denial lowers a reason but never drops it, and a near deadline is a reason.
use std::cmp::Reverse;
use std::collections::HashMap;

use jiff::civil::Date;

use super::cues::{Cues, Hit};
use super::deadlines::calendar::days_between;
use super::issues::short_code;
use super::knowledge::{Near, TriageError, UrgencyFile, UrgencyRule};
use super::negation::denied;
use super::types::{Deadline, Urgency, UrgencyLevel, UrgencyReason};
use super::words::Words;

pub(super) struct UrgencyRules {
    pub(super) rules: Vec<UrgencyRule>,
    pub(super) near: Near,
    cues: Cues,
    owners: Vec<usize>,
}

impl UrgencyRules {
    pub(super) fn compile(file: UrgencyFile) -> Result<UrgencyRules, TriageError> {
        let UrgencyFile { near, rule: rules } = file;
        if near.urgent_within_days < 0 || near.soon_within_days < near.urgent_within_days {
            return Err(TriageError::value(
                FILE,
                "near.soon_within_days",
                near.soon_within_days,
                "make it no less than urgent_within_days, and that no less than 0",
            ));
        }
        let mut cues = Cues::default();
        let mut owners = Vec::new();
        for (index, rule) in rules.iter().enumerate() {
            if !short_code(&rule.code) || rules[..index].iter().any(|other| other.code == rule.code) {
                return Err(TriageError::value(FILE, "rule code", &rule.code, "write a code of its own such as UR-01"));
            }
            if rule.negated > rule.level {
                return Err(TriageError::value(
                    FILE,
                    format!("rule {} negated", rule.code),
                    format!("{:?}", rule.negated),
                    "use a level no higher than `level`",
                ));
            }
            for pattern in &rule.cues {
                cues.add(pattern)
                    .map_err(|remedy| TriageError::value(FILE, format!("rule {} cues", rule.code), pattern, remedy))?;
                owners.push(index);
            }
        }
        Ok(UrgencyRules { rules, near, cues, owners })
    }

    /// The level, its reasons gravest first, and the hits for the summary.
    pub(super) fn find(&self, words: &Words<'_>, deadlines: &[Deadline], today: Date) -> (Urgency, Vec<Hit>) {
        let hits = self.cues.scan(words);
        // One reason a rule: the gravest hit, then the first.
        let mut by_rule: HashMap<usize, UrgencyReason> = HashMap::new();
        for hit in &hits {
            let index = self.owners[hit.cue];
            let reason = self.reason(index, words, *hit);
            let better = by_rule.get(&index).is_none_or(|known| reason.level > known.level);
            if better {
                by_rule.insert(index, reason);
            }
        }
        let mut reasons: Vec<UrgencyReason> = by_rule.into_values().collect();
        reasons.extend(deadlines.iter().filter_map(|deadline| self.nearness(deadline, today)));
        reasons.sort_by_key(|reason| (Reverse(reason.level), reason.code.clone(), reason.span.start));
        reasons.truncate(REASONS_MAX);
        let level = reasons.first().map_or(UrgencyLevel::Routine, |reason| reason.level);
        (Urgency { level, reasons }, hits)
    }

    fn reason(&self, index: usize, words: &Words<'_>, hit: Hit) -> UrgencyReason {
        let rule = &self.rules[index];
        let negated = denied(words, hit);
        UrgencyReason {
            code: rule.code.clone(),
            label: rule.label.clone(),
            level: if negated { rule.negated } else { rule.level },
            negated,
            span: words.span(hit.first, hit.past),
        }
    }

    fn nearness(&self, deadline: &Deadline, today: Date) -> Option<UrgencyReason> {
        let days = days_between(today, deadline.safe_date);
        let near = &self.near;
        let (code, label, level) = match days {
            ..0 => (&near.passed_code, &near.passed_label, UrgencyLevel::Urgent),
            _ if days <= near.urgent_within_days => (&near.code, &near.label, UrgencyLevel::Urgent),
            _ if days <= near.soon_within_days => (&near.code, &near.label, UrgencyLevel::Soon),
            _ => return None,
        };
        Some(UrgencyReason {
            code: code.clone(),
            label: label.clone(),
            level,
            negated: false,
            span: deadline.span.clone(),
        })
    }
}

const FILE: &str = "urgency.toml";
const REASONS_MAX: usize = 16;
