//! Conditional requests: strong ETags that are version numbers, `If-Match`, `If-None-Match`.
use http::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::problem::{Problem, Reply};

/// What a change says it was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// `If-Match: *`: any version, as long as there is one.
    Any,
    Version(u64),
}

/// Of a version, as somebody sees it: 0 is all of it.
pub(crate) fn etag(version: u64, view: u8) -> String {
    match view {
        0 => format!("\"{version}\""),
        view => format!("\"{version}.{view}\""),
    }
}

pub(crate) fn set_etag(headers: &mut HeaderMap, etag: &str) {
    if let Ok(value) = HeaderValue::try_from(etag) {
        headers.insert(ETAG, value);
    }
}

/// A change must say what it was made from: who has not seen the newest version would undo it.
pub(crate) fn if_match(headers: &HeaderMap) -> Reply<Expected> {
    let Some(value) = headers.get(IF_MATCH) else {
        return Err(Problem::new(StatusCode::PRECONDITION_REQUIRED, "if-match-required", "Precondition required")
            .detail("Send the ETag of the version that you changed as If-Match."));
    };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(Expected::Any);
    }
    // A weak or foreign tag can match no version of ours; that is a failed comparison, not bad syntax.
    let inner = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    // However little of a version somebody saw, it is the version.
    let version = inner.and_then(|inner| match inner.split_once('.') {
        Some((version, "1" | "2" | "3")) => version.parse().ok(),
        Some(_) => None,
        None => inner.parse().ok(),
    });
    version.map(Expected::Version).ok_or_else(stale)
}

pub(crate) fn stale() -> Problem {
    Problem::new(StatusCode::PRECONDITION_FAILED, "lost-update", "Precondition failed")
        .detail("Somebody changed this since you read it. Read it again.")
}

/// The caller has it already. Compared weakly, as RFC 9110 asks for `If-None-Match`.
pub(crate) fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    headers.get_all(IF_NONE_MATCH).iter().filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(',')).any(
        |tag| {
            let tag = tag.trim();
            tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(http::HeaderName::from_static(name), value.parse().unwrap())])
    }

    #[test]
    fn a_change_names_its_version() {
        assert_eq!(if_match(&HeaderMap::new()).unwrap_err().status, 428);
        assert_eq!(if_match(&headers("if-match", "\"7\"")).unwrap_or(Expected::Any), Expected::Version(7));
        assert_eq!(if_match(&headers("if-match", "*")).unwrap_or(Expected::Version(0)), Expected::Any);
        assert_eq!(if_match(&headers("if-match", "\"7.2\"")).unwrap_or(Expected::Any), Expected::Version(7));
        for never in ["7", "W/\"7\"", "\"seven\"", "\"\"", "\"7.4\"", "\"7.\"", "\"7\", \"8\""] {
            assert_eq!(if_match(&headers("if-match", never)).unwrap_err().status, 412, "{never}");
        }
    }

    #[test]
    fn what_is_known_is_not_sent_again() {
        for (value, known) in
            [("\"7\"", true), ("W/\"7\"", true), ("\"6\", \"7\"", true), ("*", true), ("\"77\"", false), ("", false)]
        {
            assert_eq!(is_known(&headers("if-none-match", value), &etag(7, 0)), known, "{value}");
        }
    }
}
