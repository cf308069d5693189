//! Triage: what a call is about, how fast it presses, which dates run, who and what was named, and
//! which published steps fit. Pure and bounded: no clock, no I/O after `load`, no panic on any text,
//! and every finding quotes the caller's own words.
mod cues;
mod deadlines;
mod entities;
mod entity_words;
mod issues;
mod knowledge;
mod language;
mod negation;
mod patterns;
mod recommend;
mod summary;
mod types;
mod urgency;
mod words;

use std::collections::{HashMap, HashSet};
use std::path::Path;

use jiff::civil::Date;

pub use self::knowledge::TriageError;
pub use self::types::{
    Alternative, Analysis, Anchor, Deadline, DeadlineKind, DraftState, EmbeddingScores, Entity, EntityKind, Input,
    Issue, IssueCode, ModelInfo, Recommendations, Source, Span, Step, SummarySentence, Urgency, UrgencyLevel,
    UrgencyReason,
};

use self::cues::Cues;
use self::deadlines::{DeadlineRules, Role};
use self::issues::IssueRules;
use self::knowledge::{DeadlineFile, Knowledge};
use self::patterns::Patterns;
use self::recommend::Steps;
use self::urgency::UrgencyRules;
use self::words::Words;

/// Compiled rules and knowledge. Build it once; it never changes.
pub struct Triage {
    issues: IssueRules,
    urgency: UrgencyRules,
    deadlines: DeadlineRules,
    steps: Steps,
    patterns: Patterns,
    sha256: String,
}

impl Triage {
    /// Reads and checks every file of the knowledge folder.
    pub fn load(knowledge_dir: &Path) -> Result<Triage, TriageError> {
        let Knowledge { issues, urgency, deadlines, steps, sha256 } = Knowledge::read(knowledge_dir)?;
        let issues = IssueRules::compile(issues)?;
        let urgency = UrgencyRules::compile(urgency)?;
        let codes = issues.issues.iter().map(|issue| issue.code.clone()).collect();
        let mut reasons: HashSet<String> = urgency.rules.iter().map(|rule| rule.code.clone()).collect();
        reasons.extend([urgency.near.code.clone(), urgency.near.passed_code.clone()]);
        Ok(Triage {
            steps: Steps::compile(steps, &codes, &reasons)?,
            deadlines: compile_deadlines(deadlines)?,
            issues,
            urgency,
            patterns: Patterns::compile(),
            sha256,
        })
    }

    /// The issues in the order embedding scores must have.
    pub fn issues(&self) -> Vec<IssueCode> {
        self.issues.issues.iter().map(|issue| IssueCode(issue.code.clone())).collect()
    }

    /// Sentences that describe each issue, for the embedding side.
    pub fn issue_prompts(&self) -> Vec<(IssueCode, Vec<String>)> {
        self.issues.issues.iter().map(|issue| (IssueCode(issue.code.clone()), issue.prompts.clone())).collect()
    }

    /// Pure. Texts beyond `TEXT_BYTES_MAX` are read up to there and marked.
    pub fn analyze(&self, input: &Input<'_>, embedding: Option<&EmbeddingScores>) -> Analysis {
        let read = input.text.floor_char_boundary(TEXT_BYTES_MAX);
        let text = &input.text[..read];
        let language = language::of(text, input.language);
        let words = Words::read(text, &language);
        let found = self.issues.find(&words, embedding);
        let (deadlines, dates) = deadlines::find(&words, &self.deadlines, input.called_on);
        let (urgency, urgent_hits) = self.urgency.find(&words, &deadlines, input.called_on);
        let mut entities = entities::find(&words, &self.patterns);
        entities.extend(dates);
        entities.sort_by_key(|entity| (entity.span.start, entity.kind));

        let mut weights: Vec<(Span, f32)> = Vec::new();
        weights.extend(found.hits.iter().map(|(hit, weight)| (words.span(hit.first, hit.past), weight.max(0.0))));
        weights.extend(urgent_hits.iter().map(|hit| (words.span(hit.first, hit.past), URGENT_WEIGHT)));
        weights.extend(deadlines.iter().map(|deadline| (deadline.span.clone(), DEADLINE_WEIGHT)));
        weights.truncate(WEIGHTS_MAX);

        Analysis {
            abstained: found.issues.is_empty(),
            summary: summary::extract(&words, &weights),
            issues: found.issues,
            urgency,
            deadlines,
            entities,
            language,
            truncated: read < input.text.len(),
            model: self.model(embedding),
        }
    }

    /// A draft for a person to read; `on` decides what is stale.
    pub fn recommend(&self, analysis: &Analysis, jurisdiction: &str, on: Date) -> Recommendations {
        self.steps.recommend(analysis, jurisdiction, on)
    }

    fn model(&self, embedding: Option<&EmbeddingScores>) -> ModelInfo {
        let name = match embedding.filter(|scores| self.issues.usable(Some(scores)).is_some()) {
            Some(scores) => format!("rules+{}", scores.model),
            None => "rules".to_owned(),
        };
        ModelInfo { name, version: env!("CARGO_PKG_VERSION").to_owned(), rules_sha256: self.sha256.clone() }
    }
}

fn compile_deadlines(file: DeadlineFile) -> Result<DeadlineRules, TriageError> {
    let (mut cues, mut roles, mut labels) = (Cues::default(), Vec::new(), HashMap::new());
    for rule in file.kind {
        let marked = rule.cues.iter().map(|cue| (cue, Role::Kind(rule.kind)));
        for (pattern, role) in marked.chain(rule.missed.iter().map(|cue| (cue, Role::Missed(rule.kind)))) {
            cues.add(pattern).map_err(|remedy| {
                TriageError::value("deadlines.toml", format!("kind {:?} cues", rule.kind), pattern, remedy)
            })?;
            roles.push(role);
        }
        if labels.insert(rule.kind, rule.label).is_some() {
            return Err(TriageError::value(
                "deadlines.toml",
                "kind",
                format!("{:?}", rule.kind),
                "list every kind once",
            ));
        }
    }
    Ok(DeadlineRules { cues, roles, labels })
}

/// About an hour of speech.
const TEXT_BYTES_MAX: usize = 64 * 1024;
const WEIGHTS_MAX: usize = 512;
const URGENT_WEIGHT: f32 = 2.0;
const DEADLINE_WEIGHT: f32 = 2.0;

#[cfg(test)]
mod tests;

#[cfg(test)]
mod entity_tests;
#[cfg(test)]
mod knowledge_tests;
#[cfg(test)]
mod urgency_tests;
