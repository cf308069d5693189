//! `hotline subject`: whoever a case is about is forgotten. The record is on disk before anything is done, and the
//! answer comes when no worker shows anything of them any more.
use hotline::audit::{EventType, Outcome, Severity};
use hotline::telemetry::names;
use hotline::wire::{AdminReply, SubjectAct};
use hotline_domain::cases;
use hotline_domain::store::{Erased, StoreError};
use serde_json::json;
use uuid::Uuid;

use crate::app::Shared;
use crate::trail::{self, Act};

pub(crate) async fn act_on_subjects(app: &Shared, act: SubjectAct, uid: u32) -> AdminReply {
    let SubjectAct::Erase { case_number, reason } = act;
    match erase(app, uid, &case_number, &reason).await {
        Ok(what) => AdminReply::Done { what },
        Err(reason) => AdminReply::Refused { reason },
    }
}

async fn erase(app: &Shared, uid: u32, number: &str, reason: &str) -> Result<String, String> {
    let reason = reason.trim();
    if reason.is_empty() || reason.len() > REASON_BYTES_MAX {
        return Err(format!("--reason has 1 to {REASON_BYTES_MAX} bytes"));
    }
    let subject = app.domain.subjects.of_case(number).await.map_err(broken)?;
    let subject = subject.ok_or_else(|| format!("there is no case {number:?}"))?;
    let record = |outcome| {
        Act::new(EventType::SystemChange, "subject.erase", subject)
            .severity(Severity::Critical)
            .outcome(outcome)
            .details(json!({ "case": number, "reason": reason }))
    };
    let unrecorded = |_| "the request could not be recorded; nothing was done".to_owned();
    trail::operator(app, uid, record(Outcome::Allowed)).await.map_err(unrecorded)?;
    let erased = app.domain.subjects.erase(subject, &format!("uid:{uid}")).await;
    let (outcome, told) = match erased {
        Ok(Erased::Done { cases, calls }) => {
            take_to_everybody(app, &cases);
            let (cases, calls) = (cases.len(), calls.len());
            ("done", Ok(format!("the subject of case {number} is erased: {cases} cases, {calls} calls")))
        }
        Ok(Erased::Held { reason }) => ("held", Err(reason)),
        Err(error) => ("failed", Err(broken(error))),
    };
    metrics::counter!(names::SUBJECTS_ERASED, "outcome" => outcome).increment(1);
    if told.is_err() && trail::operator(app, uid, record(Outcome::Failed)).await.is_err() {
        tracing::error!("could not record that an erasure failed");
    }
    told
}

/// Copies of answers are not believed from here on, and go from the disk within a moment.
pub(super) fn take_to_everybody(app: &Shared, cases: &[Uuid]) {
    for case in cases {
        app.board.bump(cases::generation_key(*case));
        let erased = json!({ "event": "case.erased", "caseId": case });
        app.announce(format!("case:{case}"), &erased);
        app.announce("cases".to_owned(), &erased);
    }
    app.cache.trim();
    app.cache.remove_unused();
}

fn broken(error: StoreError) -> String {
    tracing::error!(%error, "could not erase a subject");
    "the store could not do it now; what is on the list of erasures is erased at the next start".to_owned()
}

const REASON_BYTES_MAX: usize = 500;
