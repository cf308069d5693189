//! What a case looks like to people, what they may send, and what is refused in it.
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{CaseState, Classification};
use crate::triage::{Deadline, UrgencyLevel};

/// A case as its readers see it.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Case {
    pub id: Uuid,
    /// `482-109-375-614`
    pub case_number: String,
    pub version: u32,
    pub state: CaseState,
    pub classification: Classification,
    pub title: String,
    pub caller_name: Option<String>,
    pub contact: Option<Contact>,
    pub narrative: Option<String>,
    pub jurisdiction: String,
    pub language: Option<String>,
    pub urgency: UrgencyLevel,
    /// Issue codes such as `HO-01`.
    pub issues: Vec<String>,
    pub deadlines: Vec<Deadline>,
    pub assigned_to: Option<Uuid>,
    pub call_id: Option<Uuid>,
    /// A user; none when the product itself made it from a call.
    pub created_by: Option<Uuid>,
    /// RFC 3339
    pub created_at: String,
    pub updated_at: String,
    pub updated_by: Option<Uuid>,
    /// What is there and not shown to this reader, by JSON pointers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub masked: Vec<String>,
    /// All that was said of the caller is gone for good; only in lists.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub erased: bool,
}

/// How to reach the caller, and whether it is safe.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Contact {
    pub phone: Option<String>,
    pub email: Option<String>,
    pub address: Option<String>,
    /// Whether this number may be called at all; unknown means: ask first.
    pub safe_to_call: Option<bool>,
}

/// A case to be opened.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewCase {
    pub title: String,
    pub caller_name: Option<String>,
    pub contact: Option<Contact>,
    pub narrative: Option<String>,
    pub jurisdiction: Option<String>,
    pub language: Option<String>,
    pub urgency: Option<UrgencyLevel>,
    #[serde(default)]
    pub issues: Vec<String>,
    pub classification: Option<Classification>,
    pub assigned_to: Option<Uuid>,
}

/// What is to be different. What is not named stays.
#[derive(Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct CaseChange {
    pub state: Option<CaseState>,
    pub title: Option<String>,
    pub caller_name: Option<String>,
    pub contact: Option<Contact>,
    pub narrative: Option<String>,
    pub jurisdiction: Option<String>,
    pub language: Option<String>,
    pub urgency: Option<UrgencyLevel>,
    pub issues: Option<Vec<String>>,
    pub classification: Option<Classification>,
    pub assigned_to: Option<Uuid>,
}

/// In which order to list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CaseOrder {
    /// The newest first.
    #[default]
    Created,
    /// The one changed last first. What changes while somebody turns the pages moves to the front.
    Updated,
    /// The most urgent first, and of these the one that waits longest.
    Urgency,
}

/// What to list. Only these filters exist.
#[derive(Clone, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    pub state: Option<CaseState>,
    pub urgency: Option<UrgencyLevel>,
    pub assigned_to: Option<Uuid>,
    pub created_by: Option<Uuid>,
    /// Opened at or after, RFC 3339.
    pub from: Option<String>,
    /// Opened before, RFC 3339.
    pub to: Option<String>,
    /// `created` (the newest first) unless told.
    pub sort: Option<CaseOrder>,
    /// 1 to 100; 50 unless told.
    pub limit: Option<u32>,
    /// `nextCursor` of the page before, in the same order.
    pub cursor: Option<String>,
}

/// One page.
#[derive(Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CasePage {
    pub cases: Vec<Case>,
    /// For the next page; none on the last.
    pub next_cursor: Option<String>,
}

/// A field that cannot be taken, by its JSON pointer, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{pointer}: {reason}")]
pub struct Invalid {
    pub pointer: &'static str,
    pub reason: String,
}

impl From<CaseOrder> for crate::store::CaseOrder {
    fn from(order: CaseOrder) -> Self {
        match order {
            CaseOrder::Created => Self::NewestFirst,
            CaseOrder::Updated => Self::LastChangedFirst,
            CaseOrder::Urgency => Self::MostUrgentFirst,
        }
    }
}

impl NewCase {
    pub fn check(&self) -> Result<(), Invalid> {
        check_texts(Some(&self.title), self.caller_name.as_ref(), self.narrative.as_ref(), self.contact.as_ref())?;
        check_codes(self.jurisdiction.as_ref(), self.language.as_ref(), &self.issues)
    }
}

impl CaseChange {
    pub fn check(&self) -> Result<(), Invalid> {
        check_texts(self.title.as_ref(), self.caller_name.as_ref(), self.narrative.as_ref(), self.contact.as_ref())?;
        check_codes(self.jurisdiction.as_ref(), self.language.as_ref(), self.issues.as_deref().unwrap_or_default())
    }
}

fn check_texts(
    title: Option<&String>,
    caller_name: Option<&String>,
    narrative: Option<&String>,
    contact: Option<&Contact>,
) -> Result<(), Invalid> {
    if title.is_some_and(|title| title.trim().is_empty()) {
        return Err(Invalid { pointer: "/title", reason: "must not be empty".to_owned() });
    }
    let no_contact = Contact::default();
    let contact = contact.unwrap_or(&no_contact);
    for (pointer, text, chars_max) in [
        ("/title", title, 200),
        ("/callerName", caller_name, 200),
        ("/narrative", narrative, 100_000),
        ("/contact/phone", contact.phone.as_ref(), 40),
        ("/contact/email", contact.email.as_ref(), 254),
        ("/contact/address", contact.address.as_ref(), 500),
    ] {
        check_text(pointer, text, chars_max)?;
    }
    Ok(())
}

pub(crate) fn check_text(pointer: &'static str, text: Option<&String>, chars_max: usize) -> Result<(), Invalid> {
    let chars = text.map_or(0, |text| text.chars().count());
    if chars > chars_max {
        let reason = format!("has {chars} characters; at most {chars_max} are taken");
        return Err(Invalid { pointer, reason });
    }
    if text.is_some_and(|text| text.contains('\0')) {
        return Err(Invalid { pointer, reason: "must not contain NUL".to_owned() });
    }
    Ok(())
}

/// What is kept in clear is a code, so that nobody's name gets there by accident.
pub(crate) fn check_codes(
    jurisdiction: Option<&String>,
    language: Option<&String>,
    issues: &[String],
) -> Result<(), Invalid> {
    let code = |text: &str, bytes_max: usize| {
        (1..=bytes_max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if jurisdiction.is_some_and(|text| !code(text, 8)) {
        return Err(Invalid { pointer: "/jurisdiction", reason: "must be a code such as \"US-CA\"".to_owned() });
    }
    if language.is_some_and(|text| !code(text, 35)) {
        return Err(Invalid { pointer: "/language", reason: "must be a language tag such as \"es\"".to_owned() });
    }
    if issues.len() > 20 || !issues.iter().all(|issue| is_issue_code(issue)) {
        return Err(Invalid { pointer: "/issues", reason: "must be at most 20 codes such as \"HO-01\"".to_owned() });
    }
    Ok(())
}

/// Two letters, a hyphen, two digits.
fn is_issue_code(text: &str) -> bool {
    let [area @ .., b'-', tens, ones] = text.as_bytes() else { return false };
    area.len() == 2 && area.iter().all(u8::is_ascii_uppercase) && tens.is_ascii_digit() && ones.is_ascii_digit()
}
