//! A file goes out, whole or a range of it, never to be shown by a browser; each time is a link of its chain.
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::{Path, State};
use bytes::Bytes;
use hotline::audit::EventType;
use hotline_domain::evidence::{CustodyKind, EvidenceItem};
use hotline_domain::policy::Action;
use http::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_RANGE, RANGE,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use hyper::body::{Frame, SizeHint};
use serde_json::json;
use tokio::sync::mpsc;

use super::ProblemBody;
use crate::app::Shared;
use crate::gate::Caller;
use crate::gate::headers::set_classification;
use crate::problem::{Problem, Reply};
use crate::trail::{self, Act};

/// The bytes as they came. One `Range` is honoured.
#[utoipa::path(get, path = "/api/v1/evidence/{evidenceId}/content", tag = "evidence",
    params(("evidenceId" = String, Path), ("Range" = Option<String>, Header, description = "One range of bytes")),
    responses((status = 200, content_type = "application/octet-stream"), (status = 206, content_type = "application/octet-stream"),
        (status = 404, body = ProblemBody), (status = 416, body = ProblemBody)))]
pub(crate) async fn content(
    State(app): State<Shared>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Reply {
    let (case, item) = app.evidence_for(&caller, Action::CaseAccess, &id).await?;
    let etag = format!("\"{}\"", item.hash);
    let asked = range(&headers, item.bytes, &etag).map_err(|()| {
        let size = HeaderValue::try_from(format!("bytes */{}", item.bytes));
        Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "range-not-satisfiable", "Range not satisfiable")
            .header(CONTENT_RANGE, size.unwrap_or(HeaderValue::from_static("bytes */*")))
    })?;
    let stream = app.evidence_stream()?;
    let part = asked.clone().unwrap_or(0..item.bytes);
    let details = json!({ "case": case.id, "from": part.start, "bytes": part.end - part.start });
    let act = Act::new(EventType::DataAccess, "evidence.download", item.evidence_id).details(details);
    trail::change(&app, &caller.visit, act).await?;
    let reader = app.domain.evidence.content(item.evidence_id).await.map_err(|error| app.broken(error))?;
    let note = asked.as_ref().map(|part| format!("bytes {} to {}", part.start, part.end - 1));
    app.note(&caller, &item, CustodyKind::Downloaded, note).await?;

    let pieces = Pieces::of(reader, part.clone(), stream).map_err(|error| app.broken(error.into()))?;
    let mut response = Response::new(Body::new(pieces));
    let headers = response.headers_mut();
    let mut put = |name, value: String| {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    };
    if asked.is_some() {
        put(CONTENT_RANGE, format!("bytes {}-{}/{}", part.start, part.end - 1, item.bytes));
    }
    put(ETAG, etag);
    put(CONTENT_TYPE, shown_type(&item).to_owned());
    put(CONTENT_DISPOSITION, disposition(&item.file_name));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
    set_classification(headers, case.classification.name());
    if asked.is_some() {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}

/// What a browser may know it as: nothing that it would run.
fn shown_type(item: &EvidenceItem) -> &str {
    let harmless = ["image/jpeg", "image/png", "image/gif", "image/webp", "audio/", "video/", "application/pdf"];
    let known = harmless.iter().any(|prefix| item.media_type.starts_with(prefix));
    if known && !item.active { &item.media_type } else { "application/octet-stream" }
}

/// RFC 6266: a name that is plain, and the real one.
fn disposition(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(
            |letter| {
                if letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_' | ' ') { letter } else { '_' }
            },
        )
        .collect();
    let mut real = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => real.push(char::from(byte)),
            _ => real.push_str(&format!("%{byte:02X}")),
        }
    }
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{real}")
}

/// RFC 9110: one range is honoured, several or none understood are all of it; an error asks for bytes that are not there.
fn range(headers: &HeaderMap, bytes: u64, etag: &str) -> Result<Option<Range<u64>>, ()> {
    let Some(value) = headers.get(RANGE).and_then(|value| value.to_str().ok()) else { return Ok(None) };
    if headers.get(IF_RANGE).is_some_and(|known| known.as_bytes() != etag.as_bytes()) {
        return Ok(None);
    }
    let Some((first, last)) = value.strip_prefix("bytes=").and_then(|spec| spec.split_once('-')) else {
        return Ok(None);
    };
    let number = |text: &str| {
        (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().unwrap_or(u64::MAX))
    };
    let asked = match (number(first), number(last), first.is_empty(), last.is_empty()) {
        (Some(first), Some(last), ..) if first <= last => first..last.saturating_add(1).min(bytes),
        (Some(first), None, _, true) => first..bytes,
        (None, Some(last), true, _) => bytes.saturating_sub(last)..bytes,
        _ => return Ok(None),
    };
    if asked.start < asked.end { Ok(Some(asked)) } else { Err(()) }
}

/// A part of a file, read by a thread that is a few pieces ahead of the connection.
struct Pieces {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    left: u64,
}

impl Pieces {
    fn of(
        mut file: impl Read + Seek + Send + 'static,
        part: Range<u64>,
        stream: impl Send + 'static,
    ) -> io::Result<Self> {
        let (send, pieces) = mpsc::channel(PIECES_AHEAD);
        let left = part.end - part.start;
        let read = move || {
            let _stream = stream;
            let mut left = left;
            let mut failed = file.seek(SeekFrom::Start(part.start)).err();
            let mut next = |left: u64| {
                let mut piece = vec![0; usize::try_from(left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES)];
                file.read_exact(&mut piece).map(|()| Bytes::from(piece))
            };
            while left > 0 {
                let piece = failed.take().map_or_else(|| next(left), Err);
                let length = piece.as_ref().map_or(left, |piece| piece.len() as u64);
                // Nobody reads any more, or there is nothing more to be read.
                if send.blocking_send(piece).is_err() {
                    return;
                }
                left -= length;
            }
        };
        std::thread::Builder::new().name("evidence".to_owned()).spawn(read)?;
        Ok(Self { pieces, left })
    }
}

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let polled = self.pieces.poll_recv(context);
        if let Poll::Ready(Some(Ok(piece))) = &polled {
            self.left -= piece.len() as u64;
        }
        polled.map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

const PIECES_AHEAD: usize = 4;
const PIECE_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(value: &str, if_range: Option<&str>) -> Result<Option<Range<u64>>, ()> {
        let mut headers = HeaderMap::from_iter([(RANGE, value.parse().unwrap())]);
        headers.extend(if_range.map(|etag| (IF_RANGE, etag.parse().unwrap())));
        range(&headers, 100, "\"a\"")
    }

    #[test]
    fn ranges_are_those_of_rfc_9110() {
        for (value, part) in [
            ("bytes=0-0", Some(0..1)),
            ("bytes=10-19", Some(10..20)),
            ("bytes=90-", Some(90..100)),
            ("bytes=90-500", Some(90..100)),
            ("bytes=90-99999999999999999999999", Some(90..100)),
            ("bytes=-1", Some(99..100)),
            ("bytes=-500", Some(0..100)),
            ("bytes=0-1,5-6", None),
            ("bytes=9-3", None),
            ("bytes=-", None),
            ("bytes=+1-2", None),
            ("items=0-1", None),
            ("bytes", None),
        ] {
            assert_eq!(asked(value, None), Ok(part), "{value}");
        }
        for beyond in ["bytes=100-", "bytes=100-200", "bytes=-0", "bytes=99999999999999999999999-"] {
            assert_eq!(asked(beyond, None), Err(()), "{beyond}");
        }
        assert_eq!(asked("bytes=0-0", Some("\"a\"")), Ok(Some(0..1)));
        assert_eq!(asked("bytes=0-0", Some("\"b\"")), Ok(None));
    }

    #[test]
    fn a_name_cannot_leave_its_header() {
        let told = disposition("a\"; x=\"é.pdf");
        assert_eq!(told, "attachment; filename=\"a__ x___.pdf\"; filename*=UTF-8''a%22%3B%20x%3D%22%C3%A9.pdf");
    }
}
