//! The case that a call becomes: what triage found, as a first version for a person to look at.
use hotline::lifecycle::clock;
use uuid::Uuid;

use super::{Call, CallResult};
use crate::cases::{Case, CaseState, Classification, Contact};
use crate::triage::{Analysis, EntityKind};

pub(super) fn case_of(id: Uuid, call: &Call, result: &CallResult, now_ms: i64) -> Case {
    let analysis = &result.analysis;
    let text = &result.transcript.text;
    let said = |kind: EntityKind| analysis.entities.iter().find(|entity| entity.kind == kind);
    let phone = call.caller.phone.clone().or_else(|| said(EntityKind::Phone).map(|entity| entity.value.clone()));
    Case {
        id,
        case_number: String::new(),
        version: 1,
        state: CaseState::New,
        classification: Classification::Confidential,
        title: title(analysis),
        caller_name: call.caller.name.clone().or_else(|| own_name(analysis, text)),
        contact: phone.map(|phone| Contact { phone: Some(phone), ..Contact::default() }),
        narrative: Some(text.clone()),
        jurisdiction: call.jurisdiction.clone(),
        language: Some(result.transcript.language.clone()),
        urgency: analysis.urgency.level,
        issues: analysis.issues.iter().map(|issue| issue.code.0.clone()).collect(),
        deadlines: analysis.deadlines.clone(),
        assigned_to: None,
        call_id: Some(call.call_id),
        created_by: None,
        created_at: clock::rfc3339(now_ms),
        updated_at: clock::rfc3339(now_ms),
        updated_by: None,
        masked: Vec::new(),
        erased: false,
    }
}

fn title(analysis: &Analysis) -> String {
    let labels: Vec<&str> = analysis.issues.iter().filter(|issue| !issue.secondary).map(|i| i.label.as_str()).collect();
    match labels[..] {
        [] => "Call that needs a person to sort it".to_owned(),
        [one] => one.to_owned(),
        [first, second, ..] => format!("{first}; {second}"),
    }
}

/// The person whom the words before the name make the caller.
fn own_name(analysis: &Analysis, text: &str) -> Option<String> {
    let introduced = |start: usize| {
        let before = text.get(..start).unwrap_or_default().trim_end().to_lowercase();
        INTRODUCTIONS.iter().any(|words| before.ends_with(words))
    };
    let person = |kind: &EntityKind| *kind == EntityKind::Person;
    analysis.entities.iter().find(|e| person(&e.kind) && introduced(e.span.start)).map(|entity| entity.value.clone())
}

const INTRODUCTIONS: &[&str] =
    &["my name is", "my name's", "this is", "i am", "i'm", "me llamo", "mi nombre es", "soy"];
