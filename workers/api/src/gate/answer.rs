//! The way out: refusals get their body, every answer its headers, its place in the metrics and its line in the log.
use std::sync::atomic::Ordering;
use std::time::Instant;

use axum::response::Response;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, StatusCode};

use super::{Recorded, Violation, Visit, headers};
use crate::app::Shared;
use crate::problem::Problem;

/// Gives refusals their body: ours as they are, others by their status alone.
pub(super) fn render(app: &Shared, mut response: Response, visit: &Visit) -> Response {
    let status = response.status();
    let problem = match response.extensions_mut().remove::<Problem>() {
        Some(problem) => problem,
        // A handler that refuses with JSON of its own has said what there is to say: readiness does.
        None if !status.is_client_error() && !status.is_server_error() || is_json(&response) => return response,
        None => Problem::of_status(status, response.headers()),
    };
    let problem = match Violation::of(status) {
        Some(violation) => problem.member("security", violation.verdict()),
        None => problem,
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

pub(super) fn finish(app: &Shared, response: &mut Response, visit: &Visit, method: &Method, started: Instant) {
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
