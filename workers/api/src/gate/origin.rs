//! Where a browser's request comes from: our own pages, a page that was allowed by name, or elsewhere.
//!
//! A cookie travels with every request a browser makes to us, also one that a stranger's page
//! started. So a request that changes something on the strength of a cookie must prove its origin.
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
    HOST, ORIGIN, VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method};

/// What the request says of its origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// No browser said anything: a program, or a plain navigation.
    Unstated,
    /// A page of ours.
    Own,
    /// A page that the configuration names.
    Allowed,
    /// Any other page, `null` included.
    Foreign,
}

pub(crate) fn origin(parts: &Parts, allowed: &[String]) -> Origin {
    if let Some(origin) = parts.headers.get(ORIGIN) {
        let Ok(origin) = origin.to_str() else { return Origin::Foreign };
        let own = host(parts).is_some_and(|host| {
            origin.strip_prefix("https://").is_some_and(|origin_host| origin_host.eq_ignore_ascii_case(host))
        });
        return match own {
            true => Origin::Own,
            false if allowed.iter().any(|allowed| allowed == origin) => Origin::Allowed,
            false => Origin::Foreign,
        };
    }
    match parts.headers.get("sec-fetch-site").map(HeaderValue::as_bytes) {
        None => Origin::Unstated,
        Some(b"same-origin") => Origin::Own,
        // `none` is the user's own doing: a bookmark, the address bar.
        Some(b"none") => Origin::Unstated,
        Some(_) => Origin::Foreign,
    }
}

pub(crate) fn is_preflight(parts: &Parts) -> bool {
    parts.method == Method::OPTIONS && parts.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// Tells a browser that a page named in the configuration may read the answer.
pub(crate) fn allow(headers: &mut HeaderMap, origin: &HeaderValue, preflight: bool) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    if preflight {
        headers
            .insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE, OPTIONS"));
        headers.insert(
            ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static(
                "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, X-Emergency, X-Purpose, X-Requested-With",
            ),
        );
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    } else {
        headers.insert(
            ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static(
                "ETag, Location, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, Retry-After, X-Request-Id",
            ),
        );
    }
    // Resource policy of our own pages would keep the answer from the page that may have it.
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("cross-origin"));
    headers.append(VARY, HeaderValue::from_static("Origin"));
}

fn host(parts: &Parts) -> Option<&str> {
    match parts.uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => parts.headers.get(HOST)?.to_str().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(headers: &[(&str, &str)]) -> Origin {
        let mut request = http::Request::builder().uri("/x").header("host", "hotline.example:7000");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        origin(&parts, &["https://console.example".to_owned()])
    }

    #[test]
    fn only_named_origins_and_our_own_are_believed() {
        assert_eq!(seen(&[]), Origin::Unstated);
        assert_eq!(seen(&[("origin", "https://hotline.example:7000")]), Origin::Own);
        assert_eq!(seen(&[("origin", "https://console.example")]), Origin::Allowed);
        for foreign in
            ["null", "http://hotline.example:7000", "https://hotline.example", "https://console.example.evil", ""]
        {
            assert_eq!(seen(&[("origin", foreign)]), Origin::Foreign, "{foreign}");
        }
        assert_eq!(seen(&[("sec-fetch-site", "same-origin")]), Origin::Own);
        assert_eq!(seen(&[("sec-fetch-site", "cross-site")]), Origin::Foreign);
        assert_eq!(seen(&[("sec-fetch-site", "same-site")]), Origin::Foreign);
        let both = [("origin", "https://evil.example"), ("sec-fetch-site", "same-origin")];
        assert_eq!(seen(&both), Origin::Foreign, "Origin counts more");
    }
}
