//! What this worker reports to the audit log, and when an answer waits for it.
//!
//! A change is acknowledged only after its record is on disk. Where the change can still be refused,
//! the record goes first; where only the change itself tells what to record (the id of a new case),
//! it follows, and without it the answer is 503. Details may name things but never hold secrets.
use std::time::Instant;

use hotline::audit::{Event, EventType, Outcome, Severity, Ticket};
use hotline::config::Acknowledge;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use hotline_domain::policy::{Action, Decision};
use uuid::Uuid;

use crate::app::{App, Shared};
use crate::gate::{Violation, Visit};
use crate::meters::Phase;
use crate::problem::{Problem, Reply};

/// One act, before it is known who did it and when.
pub(crate) struct Act {
    pub(crate) event_type: EventType,
    pub(crate) severity: Severity,
    pub(crate) outcome: Outcome,
    pub(crate) action: &'static str,
    pub(crate) subject: String,
    /// Set where the act itself tells who it was: a log-in.
    pub(crate) actor: Option<String>,
    pub(crate) details: Value,
}

impl Act {
    pub(crate) fn new(event_type: EventType, action: &'static str, subject: impl ToString) -> Self {
        Self {
            event_type,
            severity: Severity::Low,
            outcome: Outcome::Allowed,
            action,
            subject: subject.to_string(),
            actor: None,
            details: Value::Null,
        }
    }

    pub(crate) fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    pub(crate) fn outcome(mut self, outcome: Outcome) -> Self {
        self.outcome = outcome;
        self
    }

    pub(crate) fn actor(mut self, actor: impl ToString) -> Self {
        self.actor = Some(actor.to_string());
        self
    }

    pub(crate) fn details(mut self, details: Value) -> Self {
        self.details = details;
        self
    }
}

/// Records a change and waits until the record is on disk.
pub(crate) async fn change(app: &Shared, visit: &Visit, act: Act) -> Reply<()> {
    let ticket = app.audit.record(event(app, visit, act)).map_err(|_| closed(app))?;
    durable(app, visit, ticket).await
}

/// Takes a recorded change back: it was not made after all (refused, or made by an earlier request).
pub(crate) fn not_done(app: &Shared, visit: &Visit, act: Act) {
    if app.audit.record(event(app, visit, act.outcome(Outcome::Failed))).is_err() {
        app.meters.refused("audit");
    }
}

/// Records a reading; waits if the operator wants reads on disk first, too.
pub(crate) async fn reading(app: &Shared, visit: &Visit, act: Act) -> Reply<()> {
    let ticket = app.audit.record(event(app, visit, act)).map_err(|_| closed(app))?;
    match app.config.audit.acknowledge {
        Acknowledge::Writes => Ok(()),
        Acknowledge::All => durable(app, visit, ticket).await,
    }
}

async fn durable(app: &Shared, visit: &Visit, ticket: Ticket) -> Reply<()> {
    let begun = visit.timed.then(Instant::now);
    let on_disk = app.audit.durable(ticket).await;
    if let Some(begun) = begun {
        app.meters.phase(Phase::Audit, begun.elapsed());
    }
    on_disk.map_err(|_| closed(app))
}

/// Records a refusal. Nobody waits: nothing was given away.
pub(crate) fn denied(app: &Shared, visit: &Visit, method: &Method, status: StatusCode) {
    let suspicious = matches!(status, StatusCode::FORBIDDEN);
    let act = Act::new(EventType::Access, "access.denied", "")
        .severity(if suspicious { Severity::Medium } else { Severity::Low })
        .outcome(Outcome::Denied)
        .details(json!({
            "method": method.as_str(), "path": visit.route.template(), "status": status.as_u16(),
            "security": Violation::of(status).map(Violation::verdict),
        }));
    if app.audit.record(event(app, visit, act)).is_err() {
        app.meters.refused("audit");
    }
}

/// Records that a matter was kept from somebody by a policy, and by which. Nobody waits: nothing was given away.
pub(crate) fn withheld(app: &App, visit: &Visit, action: Action, subject: Uuid, decision: &Decision) {
    let act = Act::new(EventType::Access, "access.withheld", subject)
        .severity(Severity::Medium)
        .outcome(Outcome::Denied)
        .details(json!({ "action": action.name(), "decision": crate::matters::reasons(decision) }));
    if app.audit.record(event(app, visit, act)).is_err() {
        app.meters.refused("audit");
    }
}

/// Records which policies this worker decides by from now on: the digest names them, and `hotline policy matrix` tells
/// the one in force.
pub(crate) fn decides_by(app: &App) {
    let policy = app.domain.access.policy();
    let files: Vec<&String> = app.config.policy.files.keys().collect();
    let act = Act::new(EventType::SystemChange, "policy.load", policy.digest())
        .actor("system")
        .details(json!({ "files": files, "policies": policy.count(), "slot": app.slot.to_string() }));
    let id = app.request_ids.next();
    if app.audit.record(build(app, act, id.as_str())).is_err() {
        app.meters.refused("audit");
    }
}

/// Records what an operator asked for over the admin socket, and waits.
pub(crate) async fn operator(app: &Shared, uid: u32, act: Act) -> Reply<()> {
    let id = app.request_ids.next();
    let event = build(app, act.actor(format!("uid:{uid}")), id.as_str());
    let ticket = app.audit.record(event).map_err(|_| closed(app))?;
    app.audit.durable(ticket).await.map_err(|_| closed(app))
}

fn event(app: &App, visit: &Visit, mut act: Act) -> Event {
    let principal = visit.principal.map(|principal| principal.user.as_hyphenated().to_string());
    act.actor = act.actor.or(principal);
    let mut details = match act.details {
        Value::Object(details) => details,
        _ => serde_json::Map::new(),
    };
    details.insert("address".to_owned(), visit.address.to_string().into());
    act.details = Value::Object(details);
    build(app, act, visit.id.as_str())
}

fn build(app: &App, act: Act, request_id: &str) -> Event {
    Event {
        event_type: act.event_type,
        severity: act.severity,
        outcome: act.outcome,
        at_ms: app.now().as_millisecond(),
        action: act.action.to_owned(),
        actor: act.actor.unwrap_or_else(|| "anonymous".to_owned()),
        subject: act.subject,
        request_id: request_id.to_owned(),
        details: if act.details.is_null() { String::new() } else { act.details.to_string() },
        contains_phi: false,
        affects_financials: false,
    }
}

/// Without a record there is no answer.
fn closed(app: &Shared) -> Problem {
    app.meters.refused("audit");
    Problem::unavailable("audit-unavailable", "The request could not be recorded; nothing was answered.")
}
