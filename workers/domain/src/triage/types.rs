//! What triage says about a call: plain data, in the JSON shape the API serves.
//! Types that hold a caller's words print offsets and counts under `{:?}`, never the words.
use std::fmt;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What triage reads. Times come from outside: the same input always gives the same analysis.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    pub text: &'a str,
    /// BCP-47 tag from the speech engine; guessed from the text when absent.
    pub language: Option<&'a str>,
    pub called_on: Date,
    /// ISO 3166-2 style, such as `US` or `US-CA`.
    pub jurisdiction: &'a str,
}

/// Similarity of the text to each issue's prompts, in the order of `Triage::issues`.
#[derive(Clone, Debug)]
pub struct EmbeddingScores {
    pub model: String,
    pub scores: Vec<f32>,
}

/// A short code without plain words, such as `HO-01`; its label lives in the knowledge files.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, example = "HO-01")]
pub struct IssueCode(pub String);

/// A piece of the caller's own words. Offsets are UTF-8 bytes into the analysed text.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Span {
    pub start: usize,
    pub end: usize,
    pub text: String,
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Span({}..{})", self.start, self.end)
    }
}

#[derive(Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Analysis {
    /// Most probable first. Empty when triage abstained.
    pub issues: Vec<Issue>,
    pub urgency: Urgency,
    /// Earliest safe date first.
    pub deadlines: Vec<Deadline>,
    pub entities: Vec<Entity>,
    /// Sentences of the caller, verbatim, in the order they were said.
    pub summary: Vec<SummarySentence>,
    /// `en` or `es`, or whatever tag the speech engine gave.
    pub language: String,
    /// No issue was sure enough: a person must read the call.
    pub abstained: bool,
    /// The text was longer than triage reads; the rest was not looked at.
    pub truncated: bool,
    pub model: ModelInfo,
}

impl fmt::Debug for Analysis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Analysis")
            .field("issues", &self.issues.len())
            .field("urgency", &self.urgency.level)
            .field("deadlines", &self.deadlines.len())
            .field("entities", &self.entities.len())
            .field("abstained", &self.abstained)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Issue {
    pub code: IssueCode,
    pub label: String,
    pub probability: f32,
    /// The probability had the strongest cue not been heard.
    pub lower: f32,
    /// The probability had the strongest cue been heard twice.
    pub upper: f32,
    /// A tag beside the main issue (courts, torts), weak on its own.
    pub secondary: bool,
    pub spans: Vec<Span>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum UrgencyLevel {
    /// Nothing presses.
    Routine,
    /// Within weeks.
    Soon,
    /// Within days, or a right may be lost.
    Urgent,
    /// Safety, liberty or shelter, now.
    Emergency,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Urgency {
    pub level: UrgencyLevel,
    /// Gravest first.
    pub reasons: Vec<UrgencyReason>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UrgencyReason {
    pub code: String,
    pub label: String,
    pub level: UrgencyLevel,
    /// The caller seemed to deny it; kept at a lower level because denial is often a sign.
    pub negated: bool,
    pub span: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DeadlineKind {
    Hearing,
    NoticePeriod,
    Answer,
    LockOut,
    ShutOff,
    MoveOut,
    Payment,
    CheckIn,
    Expiry,
    Other,
}

#[derive(Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Deadline {
    pub label: String,
    pub kind: DeadlineKind,
    /// The most likely reading.
    #[schema(value_type = String, example = "2026-12-03")]
    pub date: Date,
    /// The earliest of all readings: act by this one.
    #[schema(value_type = String, example = "2026-12-03")]
    pub safe_date: Date,
    /// How `date` was read from the words.
    pub reading: String,
    pub alternatives: Vec<Alternative>,
    /// What was assumed and nobody said.
    pub assumption: String,
    /// The day a period is counted from, when the caller named it.
    pub anchor: Option<Anchor>,
    pub span: Span,
}

impl fmt::Debug for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deadline").field("kind", &self.kind).field("span", &self.span).finish_non_exhaustive()
    }
}

#[derive(Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Alternative {
    #[schema(value_type = String, example = "2026-12-03")]
    pub date: Date,
    pub reading: String,
}

#[derive(Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Anchor {
    #[schema(value_type = String, example = "2026-11-17")]
    pub date: Date,
    pub span: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EntityKind {
    Person,
    Organisation,
    Address,
    Money,
    Date,
    Phone,
    CaseNumber,
    Statute,
}

#[derive(Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Entity {
    pub kind: EntityKind,
    /// Normalised where that helps: `2026-12-03`, `USD 2400`, digits of a phone number.
    pub value: String,
    pub span: Span,
}

impl fmt::Debug for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entity({:?}, {:?})", self.kind, self.span)
    }
}

#[derive(Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SummarySentence {
    pub text: String,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelInfo {
    /// `rules`, or `rules+<embedding model>` when its scores were used.
    pub name: String,
    pub version: String,
    /// Over every knowledge file: the same digest means the same rules.
    pub rules_sha256: String,
}

/// Steps a person may release to the caller. Always a draft here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Recommendations {
    pub notice: String,
    pub state: DraftState,
    pub jurisdiction: String,
    pub steps: Vec<Step>,
    pub referral: Vec<Step>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DraftState {
    /// Nobody has read it; it must not reach the caller.
    Draft,
    /// A named person let it go out.
    Released,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    pub id: String,
    pub text: String,
    pub why: String,
    pub source: Source,
    pub jurisdiction: String,
    #[schema(value_type = String, example = "2026-11-01")]
    pub as_of: Date,
    #[schema(value_type = String, example = "2027-05-01")]
    pub expires_on: Date,
    /// Past its review date: check the source before use.
    pub stale: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Source {
    pub title: String,
    pub url: String,
}
