//! Steps a person may release to the caller. Every step names its public source, the day it was
//! checked and the day it must be checked again; past that day it is shown as stale, not hidden,
//! because hiding it would look like there is nothing to do.
use std::collections::HashSet;

use jiff::civil::Date;

use super::knowledge::{StepFile, StepRule, TriageError};
use super::types::{Analysis, DraftState, Recommendations, Step};

pub(super) struct Steps {
    rules: Vec<StepRule>,
}

impl Steps {
    pub(super) fn compile(
        files: Vec<(String, StepFile)>,
        issues: &HashSet<String>,
        reasons: &HashSet<String>,
    ) -> Result<Steps, TriageError> {
        let mut rules: Vec<StepRule> = Vec::new();
        for (file, steps) in files {
            for step in steps.step {
                check(&file, &step, issues, reasons)?;
                if rules.iter().any(|known| known.id == step.id) {
                    return Err(TriageError::value(
                        &file,
                        "id",
                        &step.id,
                        "give every step an id of its own across all files",
                    ));
                }
                rules.push(step);
            }
        }
        if rules.len() > STEPS_KNOWN_MAX {
            return Err(TriageError::value(
                "steps-*.toml",
                "step",
                rules.len(),
                format!("keep at most {STEPS_KNOWN_MAX} steps"),
            ));
        }
        Ok(Steps { rules })
    }

    pub(super) fn recommend(&self, analysis: &Analysis, jurisdiction: &str, on: Date) -> Recommendations {
        let spanish = analysis.language.starts_with("es");
        let jurisdiction = known_form(jurisdiction);
        let mut fitting: Vec<&StepRule> =
            self.rules.iter().filter(|rule| fits(rule, analysis, &jurisdiction)).collect();
        let replaced: HashSet<&str> =
            fitting.iter().flat_map(|rule| rule.replaces.iter().map(String::as_str)).collect();
        fitting.retain(|rule| !replaced.contains(rule.id.as_str()));
        // Gravest first, then the local rule before the general one, then as the issue is sure.
        fitting.sort_by_key(|rule| {
            (
                std::cmp::Reverse(rule.urgency_min),
                rank(rule, analysis),
                std::cmp::Reverse(rule.jurisdiction.len()),
                rule.id.clone(),
            )
        });
        let (referral, steps): (Vec<&StepRule>, Vec<&StepRule>) = fitting.into_iter().partition(|rule| rule.referral);
        let render = |rules: Vec<&StepRule>, most: usize| {
            rules.into_iter().take(most).map(|rule| render(rule, spanish, on)).collect()
        };
        Recommendations {
            notice: if spanish { NOTICE_ES } else { NOTICE_EN }.to_owned(),
            state: DraftState::Draft,
            jurisdiction,
            steps: render(steps, STEPS_MAX),
            referral: render(referral, REFERRALS_MAX),
        }
    }
}

fn fits(rule: &StepRule, analysis: &Analysis, jurisdiction: &str) -> bool {
    let here = jurisdiction == rule.jurisdiction || jurisdiction.starts_with(&format!("{}-", rule.jurisdiction));
    let issue = rule.issues.is_empty() || analysis.issues.iter().any(|issue| rule.issues.contains(&issue.code.0));
    let reason =
        rule.reasons.is_empty() || analysis.urgency.reasons.iter().any(|reason| rule.reasons.contains(&reason.code));
    here && issue && reason && analysis.urgency.level >= rule.urgency_min
}

/// The place of the first issue the step belongs to; steps for every issue come last.
fn rank(rule: &StepRule, analysis: &Analysis) -> usize {
    analysis
        .issues
        .iter()
        .position(|issue| rule.issues.contains(&issue.code.0))
        .unwrap_or(usize::MAX - usize::from(!rule.reasons.is_empty()))
}

fn render(rule: &StepRule, spanish: bool, on: Date) -> Step {
    let pick =
        |plain: &String, translated: &Option<String>| translated.as_ref().filter(|_| spanish).unwrap_or(plain).clone();
    Step {
        id: rule.id.clone(),
        text: pick(&rule.text, &rule.text_es),
        why: pick(&rule.why, &rule.why_es),
        source: rule.source.clone(),
        jurisdiction: rule.jurisdiction.clone(),
        as_of: rule.as_of,
        expires_on: rule.review_by,
        stale: on > rule.review_by,
    }
}

/// `us-ca` and `US_CA` are `US-CA`; nothing or anything odd is the general `US`.
fn known_form(jurisdiction: &str) -> String {
    let upper = jurisdiction.trim().to_ascii_uppercase().replace('_', "-");
    let plain = !upper.is_empty()
        && upper.len() <= JURISDICTION_BYTES_MAX
        && upper.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if plain { upper } else { "US".to_owned() }
}

fn check(file: &str, step: &StepRule, issues: &HashSet<String>, reasons: &HashSet<String>) -> Result<(), TriageError> {
    let key = |name: &str| format!("step {} {name}", step.id);
    if let Some(code) = step.issues.iter().find(|code| !issues.contains(*code)) {
        return Err(TriageError::value(file, key("issues"), code, "use a code that issues.toml defines"));
    }
    if let Some(code) = step.reasons.iter().find(|code| !reasons.contains(*code)) {
        return Err(TriageError::value(file, key("reasons"), code, "use a code that urgency.toml defines"));
    }
    if known_form(&step.jurisdiction) != step.jurisdiction {
        return Err(TriageError::value(file, key("jurisdiction"), &step.jurisdiction, "write it as US or US-CA"));
    }
    if !step.source.url.starts_with("https://") {
        return Err(TriageError::value(
            file,
            key("source.url"),
            &step.source.url,
            "name a public page that starts with https://",
        ));
    }
    if step.review_by <= step.as_of {
        return Err(TriageError::value(file, key("review_by"), step.review_by, "choose a day after as_of"));
    }
    if step.text.trim().is_empty()
        || step.text.len() > TEXT_BYTES_MAX
        || step.why.trim().is_empty()
        || step.why.len() > TEXT_BYTES_MAX
    {
        return Err(TriageError::value(
            file,
            key("text"),
            step.text.len(),
            format!("write text and why, each under {TEXT_BYTES_MAX} bytes"),
        ));
    }
    Ok(())
}

const NOTICE_EN: &str = "This is information, not legal advice.";
const NOTICE_ES: &str = "Esto es información, no asesoría legal.";
const STEPS_MAX: usize = 12;
const REFERRALS_MAX: usize = 6;
const STEPS_KNOWN_MAX: usize = 1000;
const TEXT_BYTES_MAX: usize = 1000;
const JURISDICTION_BYTES_MAX: usize = 12;
