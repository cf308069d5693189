//! What a caller sees when something is refused or broken: one type, rendered in one place.
//!
//! A handler returns a [`Problem`]; it travels as an extension of an empty response and the gate
//! renders it, because only the gate knows the request id. The body is RFC 9457 problem+json and a
//! superset of `{error, requestId, timestamp}`. What went wrong inside never reaches a body.
use std::borrow::Cow;
use std::ops::{Deref, DerefMut};

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Serialize;

/// A refusal, fit to be shown. Boxed: it travels in every `Result`, and almost never exists.
#[derive(Clone)]
pub(crate) struct Problem(Box<Details>);

#[derive(Clone)]
pub(crate) struct Details {
    pub(crate) status: StatusCode,
    /// For programs: `lost-update`, `rate-limited`.
    pub(crate) code: &'static str,
    /// For people; the member that existing clients read.
    pub(crate) error: &'static str,
    pub(crate) detail: Cow<'static, str>,
    /// JSON pointer to what is wrong in the request's body.
    pub(crate) pointer: Option<String>,
    pub(crate) headers: HeaderMap,
    /// Members of the body that only this kind of problem has.
    pub(crate) members: serde_json::Map<String, serde_json::Value>,
}

pub(crate) type Reply<T = Response> = Result<T, Problem>;

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &'static str, error: &'static str) -> Self {
        Self(Box::new(Details {
            status,
            code,
            error,
            detail: Cow::Borrowed(""),
            pointer: None,
            headers: HeaderMap::new(),
            members: serde_json::Map::new(),
        }))
    }

    pub(crate) fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = detail.into();
        self
    }

    pub(crate) fn header(mut self, name: HeaderName, value: impl Into<HeaderValue>) -> Self {
        self.headers.insert(name, value.into());
        self
    }

    pub(crate) fn member(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    pub(crate) fn at(mut self, pointer: impl Into<String>) -> Self {
        self.pointer = Some(pointer.into());
        self
    }

    pub(crate) fn bad_request(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, "Bad request").detail(detail)
    }

    pub(crate) fn invalid(pointer: impl Into<String>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::bad_request("invalid-field", detail).at(pointer)
    }

    /// No identity, or none that holds.
    pub(crate) fn unauthorized(challenge: &'static str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "Unauthorized")
            .detail("A valid bearer token or session cookie is needed.")
            .header(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    }

    pub(crate) fn forbidden() -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "Insufficient permissions")
    }

    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "Not found")
    }

    /// It was there; the person it was about is forgotten.
    pub(crate) fn erased() -> Self {
        Self::new(StatusCode::GONE, "erased", "Gone")
            .detail("The person this was about was erased; nothing that was said of them is left.")
    }

    /// It was there, for as long as it had to be.
    pub(crate) fn disposed(since: &str) -> Self {
        Self::new(StatusCode::GONE, "disposed", "Gone")
            .detail(format!("This was disposed of at {since}, being past its retention."))
            .member("disposedAt", since)
    }

    pub(crate) fn too_large(bytes_max: u64) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "Payload too large")
            .detail(format!("At most {bytes_max} bytes are taken here."))
            .member("bytesMax", bytes_max)
    }

    pub(crate) fn unavailable(code: &'static str, detail: &'static str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, "Service unavailable")
            .detail(detail)
            .header(RETRY_AFTER, HeaderValue::from_static("1"))
    }

    /// Everything that is our own fault. The detail belongs into the log, not here.
    pub(crate) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal server error")
    }

    /// For statuses that came from below without a problem of ours.
    pub(crate) fn of_status(status: StatusCode, headers: &HeaderMap) -> Self {
        let problem = match status {
            StatusCode::NOT_FOUND => Self::not_found(),
            StatusCode::METHOD_NOT_ALLOWED => Self::new(status, "method-not-allowed", "Method not allowed"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::new(status, "media-type", "Unsupported media type"),
            StatusCode::PAYLOAD_TOO_LARGE => Self::new(status, "too-large", "Payload too large"),
            StatusCode::GATEWAY_TIMEOUT => Self::new(status, "timeout", "Request timeout"),
            status if status.is_client_error() => Self::new(status, "bad-request", "Bad request"),
            _ => Self::internal(),
        };
        match headers.get(ALLOW) {
            Some(allowed) => problem.header(ALLOW, allowed.clone()),
            None => problem,
        }
    }

    /// The answer itself. HEAD gets no body from hyper anyway.
    pub(crate) fn render(self, request_id: &str, now: jiff::Timestamp) -> Response {
        let body = Rendered {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            code: self.code,
            error: self.error,
            pointer: self.pointer.as_deref(),
            request_id,
            timestamp: format!("{now:.3}"),
            members: &self.members,
        };
        let body = serde_json::to_vec(&body).expect("strings and numbers always serialise");
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.0.headers;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response
    }
}

impl Deref for Problem {
    type Target = Details;

    fn deref(&self) -> &Details {
        &self.0
    }
}

impl DerefMut for Problem {
    fn deref_mut(&mut self) -> &mut Details {
        &mut self.0
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status;
        response.extensions_mut().insert(self);
        response
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rendered<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    #[serde(skip_serializing_if = "str::is_empty")]
    detail: &'a str,
    code: &'static str,
    error: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<&'a str>,
    request_id: &'a str,
    timestamp: String,
    #[serde(flatten)]
    members: &'a serde_json::Map<String, serde_json::Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_is_a_superset_of_the_old_one() {
        let problem = Problem::invalid("/contact/phone", "not a phone number").member("fieldMax", 3);
        let response = problem.render("r-1", jiff::Timestamp::from_millisecond(1_700_000_000_123).unwrap());
        assert_eq!(response.status(), 400);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let body = runtime.block_on(axum::body::to_bytes(response.into_body(), 10_000)).unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["error"], "Bad request");
        assert_eq!(body["requestId"], "r-1");
        assert_eq!(body["timestamp"], "2023-11-14T22:13:20.123Z");
        assert_eq!(body["status"], 400);
        assert_eq!(body["pointer"], "/contact/phone");
        assert_eq!(body["fieldMax"], 3);
    }
}
