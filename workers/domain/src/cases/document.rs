//! The part of a case that must not be read from a disk: sealed as one document for each version.
use hotline::lifecycle::clock;
use hotline::vault::{Aad, KeyClass};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{Case, CaseState, Classification, Contact};
use crate::store::{CaseRow, StoreError};
use crate::subjects::{Keys, SubjectKeys};
use crate::triage::{Deadline, UrgencyLevel};

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    title: String,
    caller_name: Option<String>,
    contact: Option<Contact>,
    narrative: Option<String>,
    jurisdiction: String,
    language: Option<String>,
    deadlines: Vec<Deadline>,
}

/// The row of a case, sealed for its subject. Times are taken from `created_at_ms` and `updated_at_ms`, not from the texts.
pub(crate) fn to_row(keys: &Keys, case: &Case, created_at_ms: i64, updated_at_ms: i64) -> Result<CaseRow, StoreError> {
    let document = Document {
        title: case.title.clone(),
        caller_name: case.caller_name.clone(),
        contact: case.contact.clone(),
        narrative: case.narrative.clone(),
        jurisdiction: case.jurisdiction.clone(),
        language: case.language.clone(),
        deadlines: case.deadlines.clone(),
    };
    let plain = serde_json::to_vec(&document).map_err(|_| StoreError::Malformed { what: "a case" })?;
    let row = case.id.to_string();
    Ok(CaseRow {
        id: case.id,
        number: case.case_number.clone(),
        version: case.version,
        state: case.state.name().to_owned(),
        urgency: urgency_name(case.urgency).to_owned(),
        issues: case.issues.join(","),
        classification: case.classification.name().to_owned(),
        assigned_to: case.assigned_to,
        created_by: case.created_by,
        call: case.call_id,
        created_at_ms,
        updated_at_ms,
        updated_by: case.updated_by,
        document_sealed: keys.case.seal(&place(&row, case.version), &Zeroizing::new(plain))?,
        subject: keys.subject,
        erased_at_ms: None,
        subject_key: None,
        guards: Vec::new(),
    })
}

/// The case of a row, opened.
pub(crate) fn from_row(keys: &SubjectKeys, row: &CaseRow) -> Result<Case, StoreError> {
    if row.erased_at_ms.is_some() {
        return Err(StoreError::Erased);
    }
    let id = row.id.to_string();
    let opener = keys.opener(KeyClass::Case, row.subject, row.subject_key.as_deref())?;
    let plain = opener.open(&place(&id, row.version), &row.document_sealed)?;
    let document: Document = serde_json::from_slice(&plain).map_err(|_| StoreError::Malformed { what: "a case" })?;
    with_document(row, document, false)
}

/// As `from_row`; what was erased is there without its content.
pub(crate) fn for_list(keys: &SubjectKeys, row: &CaseRow) -> Result<Case, StoreError> {
    match from_row(keys, row) {
        Err(StoreError::Erased) => with_document(row, Document::default(), true),
        opened => opened,
    }
}

fn with_document(row: &CaseRow, document: Document, erased: bool) -> Result<Case, StoreError> {
    let malformed = |what| StoreError::Malformed { what };
    Ok(Case {
        id: row.id,
        case_number: row.number.clone(),
        version: row.version,
        state: CaseState::parse(&row.state).ok_or(malformed("a state"))?,
        classification: Classification::parse(&row.classification).ok_or(malformed("a classification"))?,
        title: document.title,
        caller_name: document.caller_name,
        contact: document.contact,
        narrative: document.narrative,
        jurisdiction: document.jurisdiction,
        language: document.language,
        urgency: urgency_of(&row.urgency).ok_or(malformed("an urgency"))?,
        issues: row.issues.split(',').filter(|code| !code.is_empty()).map(str::to_owned).collect(),
        deadlines: document.deadlines,
        assigned_to: row.assigned_to,
        call_id: row.call,
        created_by: row.created_by,
        created_at: clock::rfc3339(row.created_at_ms),
        updated_at: clock::rfc3339(row.updated_at_ms),
        updated_by: row.updated_by,
        masked: Vec::new(),
        erased,
    })
}

pub(crate) fn urgency_name(level: UrgencyLevel) -> &'static str {
    match level {
        UrgencyLevel::Emergency => "emergency",
        UrgencyLevel::Urgent => "urgent",
        UrgencyLevel::Soon => "soon",
        UrgencyLevel::Routine => "routine",
    }
}

fn urgency_of(name: &str) -> Option<UrgencyLevel> {
    use UrgencyLevel::{Emergency, Routine, Soon, Urgent};
    [Emergency, Urgent, Soon, Routine].into_iter().find(|level| urgency_name(*level) == name)
}

fn place(row: &str, version: u32) -> Aad<'_> {
    Aad { table: "cases", row, column: "document", version }
}

/// Names the board's generation of a case.
pub fn generation_key(id: Uuid) -> u64 {
    let (high, low) = id.as_u64_pair();
    high ^ low.rotate_left(1)
}
