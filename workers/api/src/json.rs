//! JSON bodies, read strictly: typed, capped, flat enough, and every mistake named by its pointer.
use axum::body::Body;
use axum::extract::{FromRequest, Request};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde::de::DeserializeOwned;

use crate::app::Shared;
use crate::problem::Problem;

/// A JSON body of type `T`.
pub(crate) struct Json<T> {
    pub(crate) value: T,
    /// As it was sent; what a retried request is compared by.
    pub(crate) bytes: axum::body::Bytes,
}

impl<T: DeserializeOwned> FromRequest<Shared> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Shared) -> Result<Self, Problem> {
        if !is_json(request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok())) {
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type", "Unsupported media type")
                .detail("This takes application/json."));
        }
        let limits = &app.config.limits;
        let bytes = read_all(request.into_body(), limits.json_bytes_max).await?;
        let value = parse(&bytes, limits.json_depth_max)?;
        Ok(Self { value, bytes })
    }
}

/// The whole body, or why not. The gate's own limits stand behind this one.
pub(crate) async fn read_all(body: Body, bytes_max: u64) -> Result<axum::body::Bytes, Problem> {
    let limit = usize::try_from(bytes_max).unwrap_or(usize::MAX);
    axum::body::to_bytes(body, limit).await.map_err(|error| broken_body(&error, bytes_max))
}

/// Why a body ended early: too long, too slow, or the caller left.
pub(crate) fn broken_body(error: &(dyn std::error::Error + 'static), bytes_max: u64) -> Problem {
    let mut cause = Some(error);
    while let Some(current) = cause {
        if current.is::<http_body_util::LengthLimitError>() {
            return Problem::too_large(bytes_max);
        }
        if let Some(broken) = current.downcast_ref::<crate::connection::IntakeError>() {
            return broken.problem();
        }
        cause = current.source();
    }
    Problem::bad_request("broken-body", "The body ended before it was complete.")
}

/// Bytes to a value of ours; refuses what is too deep before anything is built from it.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8], depth_max: u32) -> Result<T, Problem> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| Problem::bad_request("invalid-utf8", format!("Byte {} is not UTF-8.", error.valid_up_to())))?;
    if text.trim_ascii().is_empty() {
        return Err(Problem::bad_request("empty-body", "A JSON body is needed."));
    }
    if depth(bytes) > depth_max {
        return Err(Problem::bad_request("too-deep", format!("At most {depth_max} levels are taken.")));
    }
    serde_json::from_str(text).map_err(|error| {
        let at = offset(text, error.line(), error.column());
        let (message, field) = explain(&error);
        let found = pointer(text, at);
        let pointer = match field {
            // Reported at the end of the object that lacks it, where the last key is still remembered.
            Some(missing) => format!("{}/{missing}", found.rsplit_once('/').map_or("", |(object, _)| object)),
            None => found,
        };
        match error.classify() {
            serde_json::error::Category::Data => Problem::invalid(pointer, message),
            _ => Problem::bad_request("invalid-json", message).at(pointer),
        }
    })
}

/// serde's words without the position, and the field they are about if the position is not inside it.
fn explain(error: &serde_json::Error) -> (String, Option<String>) {
    let text = error.to_string();
    let message = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message).to_owned();
    let missing = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`'));
    let field = missing.map(str::to_owned);
    (message, field)
}

fn is_json(content_type: Option<&str>) -> bool {
    let Some(essence) = content_type.and_then(|value| value.split(';').next()) else { return false };
    let essence = essence.trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// Levels of nesting, without building anything.
fn depth(bytes: &[u8]) -> u32 {
    let (mut now, mut deepest, mut quoted, mut escaped) = (0u32, 0u32, false, false);
    for byte in bytes {
        match (quoted, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => quoted = !quoted,
            (false, b'{' | b'[') => {
                now += 1;
                deepest = deepest.max(now);
            }
            (false, b'}' | b']') => now = now.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

fn offset(text: &str, line: usize, column: usize) -> usize {
    let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    (start + column).min(text.len())
}

/// The path of the value that ends at or holds `at`, as a JSON pointer.
fn pointer(text: &str, at: usize) -> String {
    enum Level {
        Object { key: Option<String>, expects_key: bool },
        Array(usize),
    }
    let bytes = text.as_bytes();
    let (mut levels, mut i) = (Vec::<Level>::new(), 0);
    while i < at {
        match bytes[i] {
            b'{' => levels.push(Level::Object { key: None, expects_key: true }),
            b'[' => levels.push(Level::Array(0)),
            b'}' | b']' if i + 1 < at => drop(levels.pop()),
            b',' => match levels.last_mut() {
                Some(Level::Object { expects_key, .. }) => *expects_key = true,
                Some(Level::Array(index)) => *index += 1,
                None => {}
            },
            b'"' => {
                let start = i + 1;
                i = start;
                while i < bytes.len() && bytes[i] != b'"' {
                    i += if bytes[i] == b'\\' { 2 } else { 1 };
                }
                if let Some(Level::Object { key, expects_key: expects_key @ true }) = levels.last_mut() {
                    *key = text.get(start..i.min(bytes.len())).map(str::to_owned);
                    *expects_key = false;
                }
            }
            _ => {}
        }
        i += 1;
    }
    let step = |level: &Level| match level {
        Level::Object { key, .. } => key.as_ref().map(|key| format!("/{}", key.replace('~', "~0").replace('/', "~1"))),
        Level::Array(index) => Some(format!("/{index}")),
    };
    levels.iter().map_while(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Contact {
        #[allow(dead_code)]
        phone: Option<String>,
        #[allow(dead_code)]
        safe_hours: Option<Vec<u8>>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Case {
        #[allow(dead_code)]
        title: String,
        #[allow(dead_code)]
        contact: Option<Contact>,
    }

    fn refused(text: &[u8]) -> (&'static str, String) {
        let problem = parse::<Case>(text, 8).unwrap_err();
        assert_eq!(problem.status, 400);
        (problem.code, problem.pointer.clone().unwrap_or_default())
    }

    #[test]
    fn mistakes_are_named_by_their_pointer() {
        let table: [(&[u8], &str, &str); 10] = [
            (br#"{"title":7}"#, "invalid-field", "/title"),
            (br#"{"contact":{"phone":"1"}}"#, "invalid-field", "/title"),
            (br#"{"title":"x","contact":{"phone":1}}"#, "invalid-field", "/contact/phone"),
            (b"{\"title\":\"x\",\n \"contact\":{\"safeHours\":[1,2,\"x\"]}}", "invalid-field", "/contact/safeHours/2"),
            (br#"{"title":"x","admin":true}"#, "invalid-field", "/admin"),
            (br#"{"title":"x","contact":{"a/b~c":true}}"#, "invalid-field", "/contact/a~1b~0c"),
            (br#"{"title":"x""#, "invalid-json", "/title"),
            (b"", "empty-body", ""),
            (b"{\"title\":\"\xff\"}", "invalid-utf8", ""),
            (br#"[[[[[[[[[1]]]]]]]]]"#, "too-deep", ""),
        ];
        for (text, code, pointer) in table {
            assert_eq!(refused(text), (code, pointer.to_owned()), "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn brackets_in_strings_are_not_depth() {
        assert_eq!(depth(br#"{"a":"[[[[\"{{{"}"#), 1);
        assert_eq!(depth(b"[[],[[]]]"), 3);
    }

    #[test]
    fn only_json_is_json() {
        for yes in
            ["application/json", "application/json; charset=utf-8", "Application/JSON", "application/merge-patch+json"]
        {
            assert!(is_json(Some(yes)), "{yes}");
        }
        for no in [None, Some(""), Some("text/plain"), Some("application/jsonx"), Some("multipart/form-data")] {
            assert!(!is_json(no), "{no:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse::<Case>(&bytes, 8);
        }

        #[test]
        fn nothing_json_like_panics(text in r#"[\{\}\[\]",:\\a-c1-3 \n]{0,80}"#) {
            let _ = parse::<Case>(text.as_bytes(), 8);
            for at in 0..=text.len() {
                let _ = pointer(&text, at);
            }
        }
    }
}
