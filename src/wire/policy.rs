//! What an operator asks about policies, and what an API worker tells.
use serde::{Deserialize, Serialize};

/// `hotline policy …`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum PolicyAsk {
    /// Which role may do what.
    Matrix,
    /// Whether somebody may do that, and which policies say so.
    Explain(PolicyQuestion),
}

/// As if that user asked now, having shown so many factors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicyQuestion {
    pub user: String,
    pub action: String,
    /// Id or number; none asks about the house.
    pub case: Option<String>,
    pub purpose: Option<String>,
    pub factors: u8,
}

/// The answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyTold {
    Explained(Explained),
    /// A table, in Markdown.
    Matrix {
        /// Names the policies in force.
        digest: String,
        matrix: String,
    },
}

/// A decision with what it was made of.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Explained {
    pub allowed: bool,
    /// Each with its `why`, where it has one. None: nothing permits it.
    pub reasons: Vec<(String, Option<String>)>,
    pub errors: Vec<String>,
    /// The standing of the user and what stands around the matter, in words.
    pub facts: Vec<(String, String)>,
    /// Names the policies in force.
    pub digest: String,
}
