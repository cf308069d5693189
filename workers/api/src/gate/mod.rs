//! The gate: everything a request meets before its handler, in one hand-written service.
//!
//! In this order: size of the head, who is calling, what they may spend, where a browser comes from,
//! admission, then the handler under a deadline; and on the way out the headers, the metrics and the
//! access log. One function instead of a stack of layers, because each layer costs as much as a route.
//! Admission comes late because who goes first depends on who calls; what comes before it costs microseconds.
mod address;
mod admit;
mod answer;
mod budget;
mod checks;
mod flight;
mod guard;
pub(crate) mod headers;
mod identity;
mod origin;
mod request_id;
mod route;
mod token;
mod verdict;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONNECTION, ORIGIN};
use http::{HeaderValue, Method, Request, Version};
use tower::Service;

pub(crate) use address::{TrustedProxies, neighbourhood};
pub(crate) use budget::{Charge, Payer, charge};
pub(crate) use identity::{Caller, Credential, Owed, Principal, SESSION_COOKIE, lives, principal};
pub(crate) use origin::Origin;
pub(crate) use request_id::{RequestId, RequestIds};
pub(crate) use route::{FORM_OVERHEAD_BYTES, Route};
pub(crate) use token::{Claims, PublicKey, Purpose, Tokens};
pub(crate) use verdict::Violation;

use crate::admission::{self, Permit, Ticket};
use crate::app::Shared;
use crate::connection::Connection;
use crate::meters::Phase;
use crate::problem::Reply;
use admit::{admit, is_ordinary};
use answer::{finish, render};
use checks::{check_head, check_length, check_order, check_origin, preflight, settle};
use flight::{Flight, Unfinished};
use route::Access;

/// What the gate learned about a request; travels with it as an extension.
#[derive(Clone)]
pub(crate) struct Visit {
    pub(crate) id: RequestId,
    pub(crate) route: Route,
    pub(crate) address: IpAddr,
    pub(crate) origin: Origin,
    pub(crate) principal: Option<Principal>,
    pub(crate) connection: Arc<Connection>,
    /// The place at work, once admission gave one; probes have none.
    pub(crate) ticket: Option<Ticket>,
    /// Its phases are timed.
    pub(crate) timed: bool,
}

/// On an answer: the handler has written the audit record of its refusal itself.
#[derive(Clone, Copy)]
pub(crate) struct Recorded;

/// Answers one request. Whatever happens, there is an answer, and it carries our headers.
pub(crate) async fn handle(app: &Shared, connection: &Arc<Connection>, request: Request<Body>) -> Response {
    let started = Instant::now();
    let _flight = Flight::begin(app, connection);
    let mut visit = Visit {
        id: app.request_ids.next(),
        route: Route::of(request.uri().path()),
        address: connection.address(),
        origin: Origin::Unstated,
        principal: None,
        connection: Arc::clone(connection),
        ticket: None,
        timed: app.meters.times_this_one(),
    };
    let (method, version) = (request.method().clone(), request.version());
    let origin_header = request.headers().get(ORIGIN).cloned();
    let mut charged = None;
    let response = match pass(app, request, &mut visit, &mut charged, started).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    };
    let mut response = render(app, response, &visit);
    if let Some(charge) = charged {
        charge.write(response.headers_mut());
    }
    if let (Origin::Allowed, Some(value)) = (visit.origin, &origin_header) {
        origin::allow(response.headers_mut(), value, method == Method::OPTIONS);
    }
    if method == Method::HEAD {
        // HTTP/1 leaves a body out by itself; on an HTTP/2 stream it would be a protocol error.
        *response.body_mut() = Body::empty();
    }
    finish(app, &mut response, &visit, &method, started);
    // HTTP/2 says it with a GOAWAY, which is the connection's own business.
    if connection.is_leaving() && version <= Version::HTTP_11 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if visit.timed {
        connection.answered();
    }
    response
}

async fn pass(
    app: &Shared,
    request: Request<Body>,
    visit: &mut Visit,
    charged: &mut Option<Charge>,
    started: Instant,
) -> Reply {
    let (parts, body) = request.into_parts();
    check_head(app, &parts)?;
    visit.address = app.trusted_proxies.caller(visit.address, &parts.headers);
    visit.origin = origin::origin(&parts, &app.config.server.allowed_origins);

    let credential = Credential::find(&parts.headers);
    let purpose = identity::purpose(&parts.headers)?;
    let identity = identity::resolve(app, &credential, purpose, visit.route).await;
    visit.principal = identity.as_ref().ok().copied();
    *charged = settle(app, visit)?;
    // A live connection may bring a ticket instead; its handler decides.
    let needs_identity = visit.route.access() == Access::Private && visit.route != Route::Live;
    if needs_identity && !origin::is_preflight(&parts) {
        identity?;
    }
    check_order(&parts, visit)?;
    check_origin(&parts, visit, &credential)?;
    if origin::is_preflight(&parts) {
        return preflight(visit);
    }
    check_length(app, &parts, visit.route)?;

    let asked = Instant::now();
    let permit = admit(app, &parts, visit, asked).await?;
    let began = visit.timed.then(Instant::now);
    visit.ticket = permit.as_ref().map(Permit::ticket);
    let body = match visit.ticket {
        Some(ticket) => admission::patient(body, &app.admission, ticket),
        None => body,
    };

    let limits = &app.config.limits;
    let deadline = Duration::from_millis(visit.route.deadline_ms(limits, app.config.speech.synchronous_wait_ms));
    let mut request = Request::from_parts(parts, body);
    request.extensions_mut().insert(visit.clone());
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let answered = match changes {
        true => guard::guarded(to_its_end(app, request, permit), deadline).await.and_then(|ended| ended),
        false => {
            let answered = guard::guarded(routed(app, request), deadline).await;
            match &answered {
                Ok(response) => admit::finish(permit, is_ordinary(response)),
                Err(unanswered) => admit::finish(permit, *unanswered == guard::Unanswered::Late),
            }
            answered
        }
    };
    if let Some(began) = began {
        app.meters.phase(Phase::Gate, asked - started);
        app.meters.phase(Phase::Queue, began - asked);
        app.meters.phase(Phase::Handler, began.elapsed());
    }
    match answered {
        Ok(response) => Ok(response),
        Err(unanswered) => {
            app.meters.refused("unanswered");
            tracing::error!(request = visit.id.as_str(), route = visit.route.template(), ?unanswered, "no answer");
            Err(unanswered.into())
        }
    }
}

async fn routed(app: &Shared, request: Request<Body>) -> Response {
    match app.router().clone().call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// A change that has begun is carried through, recorded and announced although the caller hangs up or
/// the deadline passes: dropping it half-way would leave an effect without what belongs to it.
async fn to_its_end(
    app: &Shared,
    request: Request<Body>,
    permit: Option<Permit>,
) -> Result<Response, guard::Unanswered> {
    let unfinished = Unfinished::begin(app);
    let app = Arc::clone(app);
    let handler = tokio::spawn(async move {
        let _unfinished = unfinished;
        let response = routed(&app, request).await;
        admit::finish(permit, is_ordinary(&response));
        response
    });
    handler.await.map_err(|_| guard::Unanswered::Panicked)
}

#[cfg(test)]
mod tests;
