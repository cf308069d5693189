//! The gate: everything a request meets before its handler, in one hand-written service.
//!
//! In this order: size of the head, who is calling, what they may spend, where a browser comes from,
//! admission, then the handler under a deadline; and on the way out the headers, the metrics and the
//! access log. One function instead of a stack of layers, because each layer costs as much as a route.
//! Admission comes late because who goes first depends on who calls; what comes before it costs microseconds.
mod address;
mod admit;
mod budget;
mod guard;
pub(crate) mod headers;
mod identity;
mod origin;
mod request_id;
mod route;
mod token;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, ORIGIN};
use http::request::Parts;
use http::{HeaderValue, Method, Request, StatusCode, Version};
use tower::Service;

pub(crate) use address::{TrustedProxies, neighbourhood};
pub(crate) use budget::{Charge, Payer, charge};
pub(crate) use identity::{Caller, Credential, Principal, SESSION_COOKIE, lives, principal};
pub(crate) use origin::Origin;
pub(crate) use request_id::{RequestId, RequestIds};
pub(crate) use route::{FORM_OVERHEAD_BYTES, Route};
pub(crate) use token::{Claims, Purpose, Tokens};

use crate::admission::{self, Permit, Ticket};
use crate::app::Shared;
use crate::connection::Connection;
use crate::meters::Phase;
use crate::problem::{Problem, Reply};
use admit::{admit, is_ordinary};
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
    let identity = identity::resolve(app, &credential).await;
    visit.principal = identity.as_ref().ok().copied();
    *charged = settle(app, visit)?;
    // A live connection may bring a ticket instead; its handler decides.
    let needs_identity = visit.route.access() == Access::Private && visit.route != Route::Live;
    if needs_identity && !origin::is_preflight(&parts) {
        identity?;
    }
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

/// 431 with all our headers, where the protocol's own refusal would have none.
fn check_head(app: &Shared, parts: &Parts) -> Reply<()> {
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
fn settle(app: &Shared, visit: &Visit) -> Reply<Option<Charge>> {
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

/// A cookie is no proof that the user meant it: a change on its strength must come from our own page.
fn check_origin(parts: &Parts, visit: &Visit, credential: &Credential<'_>) -> Reply<()> {
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

fn preflight(visit: &Visit) -> Reply {
    let allowed = matches!(visit.origin, Origin::Own | Origin::Allowed);
    let mut response = Response::new(Body::empty());
    *response.status_mut() = if allowed { StatusCode::NO_CONTENT } else { StatusCode::FORBIDDEN };
    Ok(response)
}

/// A body that says it is too large is refused before a byte of it is read.
fn check_length(app: &Shared, parts: &Parts, route: Route) -> Reply<()> {
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

/// Gives refusals their body: ours as they are, others by their status alone.
fn render(app: &Shared, mut response: Response, visit: &Visit) -> Response {
    let status = response.status();
    let problem = match response.extensions_mut().remove::<Problem>() {
        Some(problem) => problem,
        // A handler that refuses with JSON of its own has said what there is to say: readiness does.
        None if !status.is_client_error() && !status.is_server_error() || is_json(&response) => return response,
        None => Problem::of_status(status, response.headers()),
    };
    let recorded = response.extensions().get::<Recorded>().copied();
    let allow = response.headers().get(ALLOW).cloned();
    let mut rendered = problem.render(visit.id.as_str(), app.now());
    if let Some(allow) = allow {
        rendered.headers_mut().insert(ALLOW, allow);
    }
    if let Some(recorded) = recorded {
        rendered.extensions_mut().insert(recorded);
    }
    rendered
}

fn is_json(response: &Response) -> bool {
    response.headers().get(CONTENT_TYPE).is_some_and(|value| value == "application/json")
}

fn finish(app: &Shared, response: &mut Response, visit: &Visit, method: &Method, started: Instant) {
    let status = response.status();
    let elapsed = started.elapsed();
    if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
        && response.extensions().get::<Recorded>().is_none()
    {
        crate::trail::denied(app, visit, method, status);
    }
    let headers = response.headers_mut();
    headers.insert(&headers::X_REQUEST_ID, visit.id.header_value());
    if let Ok(timing) = HeaderValue::try_from(format!("app;dur={:.2}", elapsed.as_secs_f64() * 1_000.0)) {
        headers.insert(&headers::SERVER_TIMING, timing);
    }
    headers::secure(headers, visit.route, app.controls_hold.load(Ordering::Relaxed));
    app.meters.answered(visit.route, status.as_u16(), elapsed.as_secs_f64());
    app.count_request();
    tracing::info!(
        target: "access",
        request = visit.id.as_str(),
        method = known_method(method),
        path = visit.route.template(),
        status = status.as_u16(),
        ms = elapsed.as_secs_f64() * 1_000.0,
        user = visit.principal.map(|principal| tracing::field::display(principal.user.as_hyphenated().to_string())),
        "answered"
    );
}

/// A method is free text to a caller; the log and the metrics know eight.
fn known_method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

/// Counts a change until it is carried through; a drain waits for it.
struct Unfinished {
    app: Shared,
}

impl Unfinished {
    fn begin(app: &Shared) -> Self {
        app.unfinished.fetch_add(1, Ordering::Relaxed);
        Self { app: Arc::clone(app) }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.app.unfinished.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts a request while it is being answered.
struct Flight<'a> {
    app: &'a Shared,
    connection: &'a Connection,
}

impl<'a> Flight<'a> {
    fn begin(app: &'a Shared, connection: &'a Connection) -> Self {
        app.meters.in_flight.increment(1.0);
        connection.begin(app.coarse_ms(), &app.config.limits);
        Self { app, connection }
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.app.meters.in_flight.decrement(1.0);
        self.connection.end(self.app.coarse_ms());
    }
}

#[cfg(test)]
mod tests;
