//! Which legal issues a text speaks of. Each issue sums the weights of the cues that were heard,
//! adds what the sentence vectors say when there are any, and turns that into a probability; it is
//! reported from its own cut on, with the words that carried it.
use std::collections::HashSet;

use super::cues::{Cues, Hit};
use super::knowledge::{EmbeddingWeights, IssueFile, IssueRule, TriageError, Weights};
use super::negation::denied;
use super::types::{EmbeddingScores, Issue, IssueCode};
use super::words::Words;

pub(super) struct IssueRules {
    pub(super) issues: Vec<IssueRule>,
    cues: Cues,
    /// By cue number: which issue, how much.
    owners: Vec<(usize, f32)>,
    negated_share: f32,
    embedding: EmbeddingWeights,
}

/// The issues found and every cue hit, which the summary uses too.
pub(super) struct Found {
    pub(super) issues: Vec<Issue>,
    pub(super) hits: Vec<(Hit, f32)>,
}

impl IssueRules {
    pub(super) fn compile(file: IssueFile) -> Result<IssueRules, TriageError> {
        let IssueFile { weights, embedding, issue: issues } = file;
        check(&issues, weights)?;
        let mut cues = Cues::default();
        let mut owners = Vec::new();
        for (index, issue) in issues.iter().enumerate() {
            let classes = [
                ("strong", &issue.strong, weights.strong),
                ("medium", &issue.medium, weights.medium),
                ("weak", &issue.weak, weights.weak),
                ("against", &issue.against, weights.against),
            ];
            for (class, patterns, weight) in classes {
                for pattern in patterns {
                    cues.add(pattern).map_err(|remedy| {
                        TriageError::value(FILE, format!("issue {} {class}", issue.code), pattern, remedy)
                    })?;
                    owners.push((index, weight));
                }
            }
        }
        Ok(IssueRules { issues, cues, owners, negated_share: weights.negated_share, embedding })
    }

    pub(super) fn find(&self, words: &Words<'_>, embedding: Option<&EmbeddingScores>) -> Found {
        let hits = self.weighed(words);
        let shifts = self.shifts(embedding);
        let mut issues: Vec<Issue> = (0..self.issues.len())
            .filter_map(|index| self.judge(index, words, &hits, shifts.get(index).copied().unwrap_or(0.0)))
            .collect();
        issues.sort_by(|a, b| {
            (a.secondary, b.probability).partial_cmp(&(b.secondary, a.probability)).unwrap_or(std::cmp::Ordering::Equal)
        });
        issues.truncate(ISSUES_MAX);
        Found { issues, hits }
    }

    /// Each hit with the weight that is left of it: less when denied, a quarter when said again.
    fn weighed(&self, words: &Words<'_>) -> Vec<(Hit, f32)> {
        let mut heard = HashSet::new();
        self.cues
            .scan(words)
            .into_iter()
            .map(|hit| {
                let (_, weight) = self.owners[hit.cue];
                let again = !heard.insert(hit.cue);
                let kept = if weight > 0.0 && denied(words, hit) { self.negated_share } else { 1.0 };
                (hit, weight * kept * if again { REPEAT_SHARE } else { 1.0 })
            })
            .collect()
    }

    fn judge(&self, index: usize, words: &Words<'_>, hits: &[(Hit, f32)], shift: f32) -> Option<Issue> {
        let rule = &self.issues[index];
        let mine: Vec<(Hit, f32)> =
            without_overlaps(hits.iter().copied().filter(|(hit, _)| self.owners[hit.cue].0 == index).collect());
        let strongest = mine.iter().map(|(_, weight)| *weight).fold(0.0, f32::max);
        let sum: f32 = mine.iter().map(|(_, weight)| weight).sum::<f32>().clamp(-SUM_MAX, SUM_MAX);
        let odds = rule.bias + sum + shift;
        let probability = logistic(odds);
        if probability < rule.cut {
            return None;
        }
        let mut best = mine;
        best.retain(|(_, weight)| *weight > 0.0);
        best.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.first.cmp(&b.0.first)));
        best.truncate(SPANS_MAX);
        best.sort_by_key(|(hit, _)| hit.first);
        Some(Issue {
            code: IssueCode(rule.code.clone()),
            label: rule.label.clone(),
            probability,
            lower: logistic(odds - strongest),
            upper: logistic(odds + strongest),
            secondary: rule.secondary,
            spans: best.iter().map(|(hit, _)| words.span(hit.first, hit.past)).collect(),
        })
    }

    /// What the vectors add to each issue's log-odds; nothing unless there is a finite score for each.
    fn shifts(&self, embedding: Option<&EmbeddingScores>) -> Vec<f32> {
        let Some(scores) = self.usable(embedding) else { return Vec::new() };
        let count = scores.len() as f32;
        let mean = scores.iter().sum::<f32>() / count;
        let deviation = (scores.iter().map(|score| (score - mean).powi(2)).sum::<f32>() / count).sqrt();
        if deviation < DEVIATION_MIN {
            return Vec::new();
        }
        let EmbeddingWeights { scale, neutral_z, most } = self.embedding;
        scores.iter().map(|score| (((score - mean) / deviation - neutral_z) * scale).clamp(-most, most)).collect()
    }

    pub(super) fn usable<'e>(&self, embedding: Option<&'e EmbeddingScores>) -> Option<&'e [f32]> {
        let scores = embedding?.scores.as_slice();
        (scores.len() == self.issues.len() && scores.iter().all(|score| score.is_finite())).then_some(scores)
    }
}

/// Of overlapping hits of one issue only the heaviest counts: "eviction notice" is one cue, not three.
fn without_overlaps(mut hits: Vec<(Hit, f32)>) -> Vec<(Hit, f32)> {
    hits.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()).then((b.0.past - b.0.first).cmp(&(a.0.past - a.0.first))));
    hits.truncate(HITS_PER_ISSUE_MAX);
    let mut kept: Vec<(Hit, f32)> = Vec::new();
    for (hit, weight) in hits {
        if kept.iter().all(|(other, _)| hit.past <= other.first || other.past <= hit.first) {
            kept.push((hit, weight));
        }
    }
    kept
}

fn logistic(odds: f32) -> f32 {
    1.0 / (1.0 + (-odds).exp())
}

fn check(issues: &[IssueRule], weights: Weights) -> Result<(), TriageError> {
    if issues.is_empty() || issues.len() > RULES_MAX {
        return Err(TriageError::value(FILE, "issue", issues.len(), format!("list between 1 and {RULES_MAX} issues")));
    }
    let mut seen = HashSet::new();
    for issue in issues {
        let key = |name: &str| format!("issue {} {name}", issue.code);
        if !seen.insert(issue.code.as_str()) {
            return Err(TriageError::value(FILE, "code", &issue.code, "give every issue a code of its own"));
        }
        if !short_code(&issue.code) {
            return Err(TriageError::value(
                FILE,
                "code",
                &issue.code,
                "write two capitals, a hyphen and two digits, such as HO-01",
            ));
        }
        if !(0.0..=1.0).contains(&issue.cut) {
            return Err(TriageError::value(FILE, key("cut"), issue.cut, "use a probability between 0 and 1"));
        }
        if !issue.bias.is_finite() || issue.bias.abs() > SUM_MAX {
            return Err(TriageError::value(FILE, key("bias"), issue.bias, "use log-odds between -12 and 12"));
        }
        if issue.prompts.is_empty() || issue.prompts.len() > PROMPTS_MAX {
            return Err(TriageError::value(
                FILE,
                key("prompts"),
                issue.prompts.len(),
                "write between 1 and 16 sentences",
            ));
        }
    }
    if !(0.0..=1.0).contains(&weights.negated_share) {
        return Err(TriageError::value(
            FILE,
            "weights.negated_share",
            weights.negated_share,
            "use a share between 0 and 1",
        ));
    }
    Ok(())
}

pub(super) fn short_code(code: &str) -> bool {
    let bytes = code.as_bytes();
    bytes.len() == 5
        && bytes[..2].iter().all(u8::is_ascii_uppercase)
        && bytes[2] == b'-'
        && bytes[3..].iter().all(u8::is_ascii_digit)
}

const FILE: &str = "issues.toml";
const RULES_MAX: usize = 64;
const PROMPTS_MAX: usize = 16;
const ISSUES_MAX: usize = 6;
const SPANS_MAX: usize = 6;
const HITS_PER_ISSUE_MAX: usize = 256;
const REPEAT_SHARE: f32 = 0.25;
const SUM_MAX: f32 = 12.0;
const DEVIATION_MIN: f32 = 1e-4;
