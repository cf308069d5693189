//! Evidence: taken in whole, read with every reading in its chain of custody, verified, handed over, sealed.
//!
//! Each act is on record before it is done, and a link of the chain with the record's request id before it is answered.
mod download;
mod upload;

use axum::extract::{Path, State};
use hotline::audit::{EventType, Severity};
use hotline_domain::cases::{Case, check_reason};
use hotline_domain::evidence::{CustodyEvent, CustodyKind, EvidenceItem, Hand, Verdict};
use hotline_domain::policy::Action;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;
use utoipa::ToSchema;

use super::{ProblemBody, json};
use crate::app::{App, Shared};
use crate::gate::Caller;
use crate::gate::headers::set_classification;
use crate::json::Json;
use crate::problem::{Problem, Reply};
use crate::trail::{self, Act};

pub(crate) use download::*;
pub(crate) use upload::*;

#[derive(Serialize, ToSchema)]
pub(crate) struct EvidenceList {
    evidence: Vec<EvidenceItem>,
}

/// A piece of evidence and who had it in hand.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EvidenceWithCustody {
    #[serde(flatten)]
    item: EvidenceItem,
    chain_of_custody: Vec<CustodyEvent>,
}

/// To whom it is given, and why.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Transfer {
    to: String,
    /// Ten characters or more.
    reason: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sealing {
    /// Ten characters or more.
    reason: String,
}

/// What a case has, in the order in which it came.
#[utoipa::path(get, path = "/api/v1/cases/{caseId}/evidence", tag = "evidence", params(("caseId" = String, Path)),
    responses((status = 200, body = EvidenceList), (status = 404, body = ProblemBody)))]
pub(crate) async fn of_case(State(app): State<Shared>, caller: Caller, Path(id): Path<String>) -> Reply {
    let case = app.case_with_evidence(&caller, Action::CaseAccess, &id).await?;
    let evidence = app.domain.evidence.of_case(case.id).await.map_err(|error| app.broken(error))?;
    let act = Act::new(EventType::DataAccess, "evidence.list", case.id).details(json!({ "items": evidence.len() }));
    trail::reading(&app, &caller.visit, act).await?;
    let mut response = json(StatusCode::OK, &EvidenceList { evidence });
    set_classification(response.headers_mut(), case.classification.name());
    Ok(response)
}

/// What it is, and its chain of custody.
#[utoipa::path(get, path = "/api/v1/evidence/{evidenceId}", tag = "evidence", params(("evidenceId" = String, Path)),
    responses((status = 200, body = EvidenceWithCustody), (status = 404, body = ProblemBody)))]
pub(crate) async fn read(State(app): State<Shared>, caller: Caller, Path(id): Path<String>) -> Reply {
    let (case, item) = app.evidence_for(&caller, Action::CaseAccess, &id).await?;
    trail::reading(&app, &caller.visit, evidence_act(EventType::DataAccess, "evidence.read", &case, &item)).await?;
    app.told(StatusCode::OK, &case, item).await
}

/// Reads all of it again and tells whether it is what it was. Itself a link of the chain.
#[utoipa::path(get, path = "/api/v1/evidence/{evidenceId}/verify", tag = "evidence", params(("evidenceId" = String, Path)),
    responses((status = 200, body = Verdict), (status = 404, body = ProblemBody)))]
pub(crate) async fn verify(State(app): State<Shared>, caller: Caller, Path(id): Path<String>) -> Reply {
    let (case, item) = app.evidence_for(&caller, Action::CaseAccess, &id).await?;
    let _stream = app.evidence_stream()?;
    let _rest = app.admission.rest(caller.visit.ticket);
    let verdict = app.domain.evidence.verify(item.evidence_id).await.map_err(|error| app.broken(error))?;
    let failed: Vec<&str> = verdict.checks.iter().filter(|check| !check.ok).map(|check| check.check).collect();
    let act = evidence_act(EventType::DataAccess, "evidence.verify", &case, &item)
        .severity(if verdict.ok { Severity::Low } else { Severity::Critical })
        .details(json!({ "case": case.id, "ok": verdict.ok, "failed": failed }));
    trail::change(&app, &caller.visit, act).await?;
    let found =
        if failed.is_empty() { "every check passed".to_owned() } else { format!("failed: {}", failed.join(", ")) };
    app.note(&caller, &item, CustodyKind::Verified, Some(found)).await?;
    let mut response = json(StatusCode::OK, &verdict);
    set_classification(response.headers_mut(), case.classification.name());
    Ok(response)
}

/// Notes that it was given to somebody.
#[utoipa::path(post, path = "/api/v1/evidence/{evidenceId}/transfer", tag = "evidence", request_body = Transfer,
    params(("evidenceId" = String, Path)),
    responses((status = 200, body = EvidenceWithCustody), (status = 400, body = ProblemBody),
        (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
pub(crate) async fn transfer(
    State(app): State<Shared>,
    caller: Caller,
    Path(id): Path<String>,
    Json { value: Transfer { to, reason }, .. }: Json<Transfer>,
) -> Reply {
    let (case, item) = app.evidence_for(&caller, Action::CaseWrite, &id).await?;
    if to.trim().is_empty() || to.chars().count() > 200 {
        return Err(Problem::invalid("/to", "says who has it now, in 1 to 200 characters"));
    }
    check_reason(&reason).map_err(|invalid| Problem::invalid(invalid.pointer, invalid.reason))?;
    let note = format!("to {}: {}", to.trim(), reason.trim());
    app.change_hands(&caller, &case, item, CustodyKind::Transferred, note).await
}

/// From here on it stays where it is: it can be read and verified, and nothing else.
#[utoipa::path(post, path = "/api/v1/evidence/{evidenceId}/seal", tag = "evidence", request_body = Sealing,
    params(("evidenceId" = String, Path)),
    responses((status = 200, body = EvidenceWithCustody), (status = 400, body = ProblemBody),
        (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
pub(crate) async fn seal(
    State(app): State<Shared>,
    caller: Caller,
    Path(id): Path<String>,
    Json { value: Sealing { reason }, .. }: Json<Sealing>,
) -> Reply {
    let (case, item) = app.evidence_for(&caller, Action::CaseWrite, &id).await?;
    check_reason(&reason).map_err(|invalid| Problem::invalid(invalid.pointer, invalid.reason))?;
    app.change_hands(&caller, &case, item, CustodyKind::Sealed, reason.trim().to_owned()).await
}

impl App {
    async fn change_hands(
        self: &Shared,
        caller: &Caller,
        case: &Case,
        item: EvidenceItem,
        kind: CustodyKind,
        note: String,
    ) -> Reply {
        let action = if kind == CustodyKind::Sealed { "evidence.seal" } else { "evidence.transfer" };
        let act = || evidence_act(EventType::SystemChange, action, case, &item).severity(Severity::High);
        trail::change(self, &caller.visit, act()).await?;
        if !self.note(caller, &item, kind, Some(note)).await? {
            trail::not_done(self, &caller.visit, act());
            return Err(Problem::new(StatusCode::CONFLICT, "evidence-sealed", "Conflict")
                .detail("It is sealed: it can be read and verified, and nothing else."));
        }
        let item = self.domain.evidence.find(item.evidence_id).await.map_err(|error| self.broken(error))?;
        self.told(StatusCode::OK, case, item.ok_or_else(Problem::not_found)?).await
    }

    async fn note(&self, caller: &Caller, item: &EvidenceItem, kind: CustodyKind, note: Option<String>) -> Reply<bool> {
        let noted = self.domain.evidence.note(item.evidence_id, kind, hand(caller), note).await;
        noted.map_err(|error| self.broken(error))
    }

    async fn told(&self, status: StatusCode, case: &Case, item: EvidenceItem) -> Reply {
        let chain = self.domain.evidence.custody(item.evidence_id).await.map_err(|error| self.broken(error))?;
        let mut response = json(status, &EvidenceWithCustody { item, chain_of_custody: chain });
        set_classification(response.headers_mut(), case.classification.name());
        Ok(response)
    }

    /// A file on its way, which takes a thread for as long.
    fn evidence_stream(&self) -> Reply<OwnedSemaphorePermit> {
        std::sync::Arc::clone(&self.evidence_streams).try_acquire_owned().map_err(|_| {
            self.meters.refused("evidence");
            Problem::unavailable("too-many-files", "Too many files are on their way at this moment.")
        })
    }
}

fn hand(caller: &Caller) -> Hand<'_> {
    Hand { user: caller.principal.user, request_id: caller.visit.id.as_str() }
}

fn evidence_act(event: EventType, action: &'static str, case: &Case, item: &EvidenceItem) -> Act {
    Act::new(event, action, item.evidence_id).details(json!({ "case": case.id }))
}
