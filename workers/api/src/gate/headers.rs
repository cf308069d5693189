//! The headers that every answer carries, whatever its status, built once.
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS, X_XSS_PROTECTION,
};

use super::Route;

/// Adds what is missing; a handler that set one of these on purpose keeps it.
pub(crate) fn secure(headers: &mut HeaderMap, route: Route, controls_hold: bool) {
    headers.reserve(EVERYWHERE.len() + 8);
    for (name, value) in &EVERYWHERE {
        headers.entry(name).or_insert_with(|| value.clone());
    }
    let classification = if route.is_confidential() { CONFIDENTIAL } else { PUBLIC };
    headers.entry(&X_DATA_CLASSIFICATION).or_insert_with(|| HeaderValue::from_static(classification));
    if controls_hold {
        headers.insert(&X_LEGAL_COMPLIANCE, HeaderValue::from_static("SIMTRON-2024"));
    }
}

/// How sensitive the thing in the answer is, where it is more exact than its route.
pub(crate) fn set_classification(headers: &mut HeaderMap, classification: &str) {
    if let Ok(value) = HeaderValue::try_from(format!("{classification}; label=legal-privileged")) {
        headers.insert(&X_DATA_CLASSIFICATION, value);
    }
}

pub(crate) static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(crate) static X_PURPOSE: HeaderName = HeaderName::from_static("x-purpose");
pub(crate) static X_DATA_CLASSIFICATION: HeaderName = HeaderName::from_static("x-data-classification");
pub(crate) static X_CACHE: HeaderName = HeaderName::from_static("x-cache");
pub(crate) static X_CACHE_TIME: HeaderName = HeaderName::from_static("x-cache-time");
pub(crate) static SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
pub(crate) static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
pub(crate) static IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

static X_LEGAL_COMPLIANCE: HeaderName = HeaderName::from_static("x-legal-compliance");

/// The label tells privilege apart from mere secrecy; the enumeration has no word for it.
const CONFIDENTIAL: &str = "CONFIDENTIAL; label=legal-privileged";
const PUBLIC: &str = "PUBLIC";

static EVERYWHERE: [(HeaderName, HeaderValue); 12] = [
    // No `preload`: it binds every subdomain for good, and that is the owner's decision.
    (STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000; includeSubDomains")),
    (
        CONTENT_SECURITY_POLICY,
        // Nothing here is a page: nothing may be loaded, framed or sent on.
        HeaderValue::from_static("default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    ),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    // The auditor of old browsers could be turned against the page it protected.
    (X_XSS_PROTECTION, HeaderValue::from_static("0")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static("camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("x-permitted-cross-domain-policies"), HeaderValue::from_static("none")),
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (HeaderName::from_static("x-audit-required"), HeaderValue::from_static("true")),
];
