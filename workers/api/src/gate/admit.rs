//! What the gate tells admission about a request: its class, its kind, and how it ended.
use std::time::Instant;

use axum::response::Response;
use http::Method;
use http::request::Parts;

use super::route::Access;
use super::{Payer, Route, Visit};
use crate::admission::{Class, Permit, X_EMERGENCY};
use crate::app::Shared;
use crate::problem::Reply;

/// A place at work, now or after a bounded wait; probes need none.
pub(super) async fn admit(app: &Shared, parts: &Parts, visit: &Visit, now: Instant) -> Reply<Option<Permit>> {
    if visit.route.access() == Access::Probe {
        return Ok(None);
    }
    let class = match is_emergency(app, parts, visit) {
        true => Class::Emergency,
        false => Class::of(visit.route, &parts.method, visit.principal.as_ref()),
    };
    // Reading and changing under one path take differently long.
    let changes = !matches!(parts.method, Method::GET | Method::HEAD);
    let kind = visit.route as u8 * 2 + u8::from(changes);
    app.admission.admit(class, kind, now).await.map(Some).inspect_err(|_| app.meters.refused("overload"))
}

/// What our own triage found, or somebody says whose work it is to take calls. Nobody else is asked.
fn is_emergency(app: &Shared, parts: &Parts, visit: &Visit) -> bool {
    let marked = parts.headers.get(&X_EMERGENCY).is_some_and(|value| value == "true");
    let believed = visit.principal.as_ref().filter(|principal| Class::believes(principal));
    let Some(principal) = believed else {
        if marked {
            app.meters.marked_emergency("stranger");
        }
        return false;
    };
    if matches!(visit.route, Route::Case | Route::VoiceStatus) && app.emergencies.concern(parts.uri.path()) {
        return true;
    }
    if !marked {
        return false;
    }
    let allowed = app.charge(Payer::Emergency(principal.user.as_u128()), app.config.rate.emergency).allowed();
    app.meters.marked_emergency(if allowed { "believed" } else { "over-budget" });
    allowed
}

/// Gives the place back; `counts` if how long it took tells something about load.
pub(super) fn finish(permit: Option<Permit>, counts: bool) {
    if let Some(permit) = permit.filter(|_| counts) {
        permit.finish();
    }
}

/// A refusal is quicker than an answer and says nothing about load.
pub(super) fn is_ordinary(response: &Response) -> bool {
    response.status().is_success() || response.status().is_redirection()
}
