//! Every version a case ever had: who made it, when, and what was different from the one before.
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::list::page_limit;
use super::{Case, CaseError, CaseState, Cases, Invalid, from_row};
use crate::policy::{Actor, Matter};
use crate::store::StoreError;

/// One step of a case's life.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CaseVersion {
    pub version: u32,
    pub state: CaseState,
    /// RFC 3339
    pub at: String,
    /// None: the product itself made it from a call.
    pub by: Option<Uuid>,
    /// Names of the members that differ from the version before; empty for the first.
    pub changed: Vec<&'static str>,
}

/// Some versions, newest first.
#[derive(Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct VersionPage {
    pub versions: Vec<CaseVersion>,
    /// For the next page; none on the last.
    pub next_cursor: Option<String>,
}

/// Which of the versions.
#[derive(Clone, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct VersionQuery {
    /// 1 to 100; 50 unless told.
    pub limit: Option<u32>,
    /// `nextCursor` of the page before.
    pub cursor: Option<String>,
}

impl Cases {
    /// The versions of a case. Whoever asks has been found to be one of its readers.
    pub async fn history(&self, case: Uuid, query: &VersionQuery) -> Result<VersionPage, CaseError> {
        let limit = page_limit(query.limit)?;
        let before = match query.cursor.as_deref().map(str::parse) {
            None => u32::MAX,
            Some(Ok(version)) => version,
            Some(Err(_)) => {
                return Err(Invalid { pointer: "/cursor", reason: "is not a cursor of ours".to_owned() }.into());
            }
        };
        // One more than asked for: the oldest of a page differs from one that is not on it.
        let rows = self.store.case_versions(case, before, limit + 1).await?;
        let made = rows.iter().map(|row| from_row(&self.keys, row)).collect::<Result<Vec<_>, _>>()?;
        let page = made.iter().enumerate().take(limit as usize);
        let versions: Vec<CaseVersion> = page.map(|(at, one)| step(one, made.get(at + 1))).collect();
        let more = rows.len() > versions.len();
        let next_cursor = versions.last().filter(|_| more).map(|last| last.version.to_string());
        Ok(VersionPage { versions, next_cursor })
    }

    /// The case as it was in that version, as far as the actor sees it now. `matter` is that of the present one.
    pub async fn as_it_was(
        &self,
        actor: &Actor,
        case: Uuid,
        matter: &Matter,
        version: u32,
    ) -> Result<Option<Case>, StoreError> {
        let Some(row) = self.store.case_version(case, version).await? else { return Ok(None) };
        Ok(Some(self.shown(actor, from_row(&self.keys, &row)?, matter)))
    }
}

fn step(case: &Case, before: Option<&Case>) -> CaseVersion {
    CaseVersion {
        version: case.version,
        state: case.state,
        at: case.updated_at.clone(),
        by: case.updated_by,
        changed: before.map(|before| changed(before, case)).unwrap_or_default(),
    }
}

fn changed(before: &Case, after: &Case) -> Vec<&'static str> {
    let differs = [
        ("state", before.state != after.state),
        ("classification", before.classification != after.classification),
        ("title", before.title != after.title),
        ("callerName", before.caller_name != after.caller_name),
        ("contact", before.contact != after.contact),
        ("narrative", before.narrative != after.narrative),
        ("jurisdiction", before.jurisdiction != after.jurisdiction),
        ("language", before.language != after.language),
        ("urgency", before.urgency != after.urgency),
        ("issues", before.issues != after.issues),
        ("assignedTo", before.assigned_to != after.assigned_to),
    ];
    differs.into_iter().filter_map(|(name, differs)| differs.then_some(name)).collect()
}
