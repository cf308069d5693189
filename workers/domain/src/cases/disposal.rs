//! What has been kept as long as it must be: which archived cases may be disposed of, for those who keep records and do
//! not read them.
use hotline::audit::kept_until_ms;
use hotline::lifecycle::clock;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::list::{cursor, page_limit, position};
use super::{CaseError, CaseOrder, CaseState, Cases};
use crate::policy::{Action, Actor};
use crate::store::{self, CaseFilter};

/// An archived case that need not be kept any more.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Due {
    pub case_id: Uuid,
    pub case_number: String,
    /// RFC 3339
    pub archived_at: String,
    pub kept_until: String,
    /// A legal hold keeps it all the same.
    pub held: bool,
}

/// Some of them, the longest archived first.
#[derive(Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DuePage {
    pub cases: Vec<Due>,
    /// For the next page; none on the last.
    pub next_cursor: Option<String>,
}

/// Which of them.
#[derive(Clone, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DueQuery {
    /// 1 to 100; 50 unless told.
    pub limit: Option<u32>,
    /// `nextCursor` of the page before.
    pub cursor: Option<String>,
}

impl Cases {
    /// The cases whose time is over and that are not a wall's to keep from the actor.
    pub async fn due(&self, actor: &Actor, query: &DueQuery, years: u16, now_ms: i64) -> Result<DuePage, CaseError> {
        let limit = page_limit(query.limit)?;
        let filter = CaseFilter {
            state: Some(CaseState::Archived.name().to_owned()),
            // No calendar year is shorter; which of them are due is told by the calendar below.
            changed_to_ms: Some(now_ms - i64::from(years) * YEAR_MS_MIN),
            order: store::CaseOrder::LastChangedLast,
            ..CaseFilter::default()
        };
        let after = query.cursor.as_deref().map(|cursor| position(cursor, CaseOrder::Updated)).transpose()?;
        let rows = self.store.cases(filter.clone(), after, limit + 1).await?;
        let more = rows.len() > limit as usize;
        let mut page = DuePage { cases: Vec::new(), next_cursor: None };
        for row in rows.iter().take(limit as usize) {
            page.next_cursor = more.then(|| cursor(filter.order.position(row), CaseOrder::Updated));
            let until_ms = kept_until_ms(row.updated_at_ms, years).filter(|until_ms| *until_ms <= now_ms);
            let (Some(until_ms), None) = (until_ms, row.erased_at_ms) else { continue };
            let (case, matter) = self.with_matter(row)?;
            if self.access.allows(actor, Action::CaseDispose, &matter) {
                page.cases.push(Due {
                    case_id: case.id,
                    case_number: case.case_number,
                    archived_at: clock::rfc3339(row.updated_at_ms),
                    kept_until: clock::rfc3339(until_ms),
                    held: matter.held,
                });
            }
        }
        Ok(page)
    }
}

/// 365 days.
const YEAR_MS_MIN: i64 = 365 * 24 * 3_600 * 1_000;
