//! Cases page by page, in the order that is asked for: only those that the actor may read, and of each what they see.
use data_encoding::BASE64URL_NOPAD;
use jiff::Timestamp;
use uuid::Uuid;

use super::document::urgency_name;
use super::{Case, CaseError, CaseOrder, CasePage, Cases, Invalid, ListQuery};
use crate::policy::{Action, Actor};
use crate::store::{self, CaseFilter, CasePosition, CaseRow, StoreError};

impl Cases {
    pub async fn list(&self, actor: &Actor, query: ListQuery) -> Result<CasePage, CaseError> {
        let limit = page_limit(query.limit)?;
        let order = query.sort.unwrap_or_default();
        let mut after = query.cursor.as_deref().map(|cursor| position(cursor, order)).transpose()?;
        let filter = CaseFilter {
            state: query.state.map(|state| state.name().to_owned()),
            urgency: query.urgency.map(|level| urgency_name(level).to_owned()),
            assigned_to: query.assigned_to,
            created_by: query.created_by,
            from_ms: moment("/from", query.from.as_deref())?,
            to_ms: moment("/to", query.to.as_deref())?,
            changed_from_ms: None,
            changed_to_ms: None,
            order: order.into(),
        };
        let mut cases = Vec::new();
        // What the actor may not read is passed over; a page may end early, and its cursor goes on from there.
        for _ in 0..READS_MAX {
            // One more than asked for tells whether there is more.
            let rows = self.store.cases(filter.clone(), after, limit + 1).await?;
            for (at, row) in rows.iter().enumerate().take(limit as usize) {
                after = Some(filter.order.position(row));
                cases.extend(self.readable(actor, row)?);
                if cases.len() == limit as usize {
                    let more = at + 1 < rows.len();
                    return Ok(CasePage { cases, next_cursor: after.filter(|_| more).map(|at| cursor(at, order)) });
                }
            }
            if rows.len() <= limit as usize {
                return Ok(CasePage { cases, next_cursor: None });
            }
        }
        Ok(CasePage { cases, next_cursor: after.map(|at| cursor(at, order)) })
    }

    /// The cases that have changed since that moment and that the actor may read, in the order of their changes. None
    /// if more than `limit` have, whoever may read them.
    pub async fn changed_since(
        &self,
        actor: &Actor,
        since_ms: i64,
        limit: u32,
    ) -> Result<Option<Vec<Case>>, StoreError> {
        let order = store::CaseOrder::LastChangedLast;
        let filter = CaseFilter { changed_from_ms: Some(since_ms), order, ..CaseFilter::default() };
        let rows = self.store.cases(filter, None, limit + 1).await?;
        if rows.len() > limit as usize {
            return Ok(None);
        }
        let readable = rows.iter().map(|row| self.readable(actor, row));
        Ok(Some(readable.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect()))
    }

    /// Those of the rows that the actor may read.
    fn readable(&self, actor: &Actor, row: &CaseRow) -> Result<Option<Case>, StoreError> {
        let (case, matter) = self.with_matter(row)?;
        let may_read = self.access.allows(actor, Action::CaseAccess, &matter);
        Ok(may_read.then(|| self.shown(actor, case, &matter)))
    }
}

pub(super) fn page_limit(asked: Option<u32>) -> Result<u32, Invalid> {
    let limit = asked.unwrap_or(PAGE_DEFAULT);
    let reason = || format!("must be from 1 to {PAGE_MAX}");
    (1..=PAGE_MAX).contains(&limit).then_some(limit).ok_or_else(|| Invalid { pointer: "/limit", reason: reason() })
}

pub(super) fn moment(pointer: &'static str, text: Option<&str>) -> Result<Option<i64>, Invalid> {
    let parse = |text: &str| text.parse::<Timestamp>().map(Timestamp::as_millisecond);
    let reason = || "must be a moment such as \"2026-01-31T09:00:00Z\"".to_owned();
    text.map(parse).transpose().map_err(|_| Invalid { pointer, reason: reason() })
}

/// Good in its own order only.
pub(super) fn cursor(position: CasePosition, order: CaseOrder) -> String {
    let CasePosition { rank, at_ms, id } = position;
    BASE64URL_NOPAD.encode(&[&[order as u8, rank][..], &at_ms.to_be_bytes(), id.as_bytes()].concat())
}

pub(super) fn position(cursor: &str, order: CaseOrder) -> Result<CasePosition, Invalid> {
    let parse = |bytes: Vec<u8>| {
        let ([of, rank], rest) = bytes.split_first_chunk::<2>()?;
        let (at_ms, id) = rest.split_first_chunk::<8>()?;
        let id = Uuid::from_slice(id).ok()?;
        (*of == order as u8).then_some(CasePosition { rank: *rank, at_ms: i64::from_be_bytes(*at_ms), id })
    };
    let reason = || "is not a cursor of ours in this order".to_owned();
    let bytes = BASE64URL_NOPAD.decode(cursor.as_bytes()).ok();
    bytes.and_then(parse).ok_or_else(|| Invalid { pointer: "/cursor", reason: reason() })
}

const PAGE_DEFAULT: u32 = 50;
const PAGE_MAX: u32 = 100;
/// Of the store for one page, where most of what it has is not for the reader.
const READS_MAX: u32 = 10;
