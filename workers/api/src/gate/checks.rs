//! What a request must be before anything is done for it: small enough, within its budget, meant by its caller.
use axum::body::Body;
use axum::response::Response;
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http::{Method, StatusCode};

use super::route::Access;
use super::{Charge, Credential, Origin, Payer, Route, Visit, neighbourhood, origin};
use crate::app::Shared;
use crate::problem::{Problem, Reply};

/// 431 with all our headers, where the protocol's own refusal would have none.
pub(super) fn check_head(app: &Shared, parts: &Parts) -> Reply<()> {
    let limits = &app.config.limits;
    let fields: usize = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    let target = parts.uri.path_and_query().map_or(1, |target| target.as_str().len());
    let too_many = parts.headers.len() > limits.header_count_max as usize;
    if too_many || fields + target > limits.header_bytes_max as usize {
        app.meters.refused("header");
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        return Err(Problem::new(status, "header-too-large", "Request header fields too large"));
    }
    Ok(())
}

/// Takes the request from the caller's own budget, or from its address's if nobody vouches for it.
pub(super) fn settle(app: &Shared, visit: &Visit) -> Reply<Option<Charge>> {
    if visit.route.access() == Access::Probe {
        return Ok(None);
    }
    let rate = &app.config.rate;
    let (payer, budget) = match &visit.principal {
        Some(principal) => (Payer::User(principal.user.as_u128()), rate.authenticated),
        None => (Payer::Address(neighbourhood(visit.address)), rate.anonymous),
    };
    let charge = app.charge(payer, budget);
    match charge.refusal() {
        None => Ok(Some(charge)),
        Some(mut refusal) => {
            app.meters.rate_limited(charge.name());
            charge.write(&mut refusal.headers);
            Err(refusal)
        }
    }
}

/// Whose account is not in order does nothing before it is.
pub(super) fn check_order(parts: &Parts, visit: &Visit) -> Reply<()> {
    let owes = visit.principal.and_then(|principal| principal.owes);
    let is_open = visit.route.access() != Access::Private || visit.route.sets_in_order();
    match owes.filter(|_| !is_open && !origin::is_preflight(parts)) {
        Some(owed) => Err(owed.refusal()),
        None => Ok(()),
    }
}

/// A cookie is no proof that the user meant it: a change on its strength must come from our own page.
pub(super) fn check_origin(parts: &Parts, visit: &Visit, credential: &Credential<'_>) -> Reply<()> {
    let changes = !matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
    let by_cookie = matches!(credential, Credential::Cookie(_));
    let refused = match visit.origin {
        Origin::Own | Origin::Allowed => false,
        Origin::Unstated => by_cookie && (changes || visit.route == Route::Live),
        Origin::Foreign => changes || visit.route == Route::Live,
    };
    match refused {
        true => Err(Problem::new(StatusCode::FORBIDDEN, "foreign-origin", "Insufficient permissions")
            .detail("This cannot be asked from another site.")),
        false => Ok(()),
    }
}

pub(super) fn preflight(visit: &Visit) -> Reply {
    let allowed = matches!(visit.origin, Origin::Own | Origin::Allowed);
    let mut response = Response::new(Body::empty());
    *response.status_mut() = if allowed { StatusCode::NO_CONTENT } else { StatusCode::FORBIDDEN };
    Ok(response)
}

/// A body that says it is too large is refused before a byte of it is read.
pub(super) fn check_length(app: &Shared, parts: &Parts, route: Route) -> Reply<()> {
    let bytes_max = route.body_bytes_max(&app.config.limits);
    let stated = parts.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    match stated.and_then(|value| value.parse::<u64>().ok()) {
        Some(length) if length > bytes_max => {
            app.meters.refused("body");
            Err(Problem::too_large(bytes_max))
        }
        _ => Ok(()),
    }
}
