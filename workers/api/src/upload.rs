//! An uploaded recording: a multipart form or a raw body, read once, bounded, and recognised by its bytes.
use axum::body::Body;
use axum::extract::multipart::Field;
use axum::extract::{FromRequest, Multipart, Request};
use hotline_domain::audio::{Container, sniff_declared};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use tokio::sync::OwnedSemaphorePermit;
use zeroize::Zeroizing;

use crate::app::Shared;
use crate::gate::FORM_OVERHEAD_BYTES;
use crate::json::broken_body;
use crate::problem::{Problem, Reply};

/// What arrived.
pub(crate) struct Upload {
    pub(crate) audio: Zeroizing<Vec<u8>>,
    pub(crate) container: Container,
    pub(crate) fields: Fields,
    /// Room for the recording in this worker's memory, given back with the upload.
    pub(crate) room: OwnedSemaphorePermit,
}

/// What was said about the recording.
#[derive(Default, PartialEq, Eq)]
pub(crate) struct Fields {
    pub(crate) caller_name: Option<String>,
    pub(crate) phone: Option<String>,
    pub(crate) language: Option<String>,
    pub(crate) jurisdiction: Option<String>,
    /// The caller agreed to be recorded.
    pub(crate) consent: Option<bool>,
}

impl Upload {
    pub(crate) async fn read(app: &Shared, request: Request) -> Reply<Self> {
        let bytes_max = app.config.limits.audio_bytes_max;
        let room = room(app, request.headers(), bytes_max)?;
        let essence = essence(request.headers());
        let (audio, declared, fields) = if essence == "multipart/form-data" {
            read_form(request, bytes_max).await?
        } else if essence.starts_with("audio/") || essence == "application/octet-stream" || essence == "video/webm" {
            let fields = Fields { consent: header_consent(request.headers())?, ..Fields::default() };
            (read_raw(request.into_body(), bytes_max).await?, Some(essence), fields)
        } else {
            return Err(
                not_audio().detail("Send multipart/form-data with a part named audio or file, or an audio/* body.")
            );
        };
        if audio.is_empty() {
            return Err(Problem::bad_request("empty-audio", "The recording is empty."));
        }
        let container = sniff_declared(&audio, declared.as_deref())
            .ok_or_else(|| not_audio().detail("These bytes are no recording of a kind that is known here."))?;
        Ok(Self { audio, container, fields, room })
    }

    /// What makes a retried upload the same: the recording and what was said about it.
    pub(crate) fn content(&self) -> Vec<&[u8]> {
        let fields = &self.fields;
        let texts = [&fields.caller_name, &fields.phone, &fields.language, &fields.jurisdiction];
        let consent: &[u8] = match fields.consent {
            None => b"",
            Some(false) => b"declined",
            Some(true) => b"recorded",
        };
        let texts = texts.into_iter().map(|text| text.as_deref().unwrap_or_default().as_bytes());
        std::iter::once(&self.audio[..]).chain(texts).chain([consent]).collect()
    }
}

/// Reserves memory for what is announced, or for the most there may be.
fn room(app: &Shared, headers: &HeaderMap, bytes_max: u64) -> Reply<OwnedSemaphorePermit> {
    let stated = headers.get(http::header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let bytes = stated.unwrap_or(bytes_max).min(bytes_max + FORM_OVERHEAD_BYTES);
    let kib = u32::try_from(bytes.div_ceil(1_024)).unwrap_or(u32::MAX).max(1);
    std::sync::Arc::clone(&app.upload_kib).try_acquire_many_owned(kib).map_err(|_| {
        app.meters.refused("uploads");
        Problem::unavailable("too-many-uploads", "Too many recordings are being received at this moment.")
    })
}

async fn read_raw(mut body: Body, bytes_max: u64) -> Reply<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| broken_body(&error, bytes_max))?;
        let Ok(chunk) = frame.into_data() else { continue };
        if (bytes.len() + chunk.len()) as u64 > bytes_max {
            return Err(Problem::too_large(bytes_max));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

async fn read_form(request: Request<Body>, bytes_max: u64) -> Reply<(Zeroizing<Vec<u8>>, Option<String>, Fields)> {
    let mut form = Multipart::from_request(request, &()).await.map_err(|_| broken_form())?;
    let (mut audio, mut declared, mut fields) = (None, None, Fields::default());
    let mut parts = 0;
    while let Some(mut part) = form.next_field().await.map_err(|error| form_problem(&error, bytes_max))? {
        parts += 1;
        if parts > PARTS_MAX {
            return Err(Problem::bad_request("too-many-parts", "The form has too many parts."));
        }
        let name = part.name().unwrap_or_default().to_owned();
        if matches!(name.as_str(), "audio" | "file") {
            if audio.is_some() {
                return Err(Problem::invalid(format!("/{name}"), "There is more than one recording."));
            }
            declared = part.content_type().map(str::to_owned);
            let mut bytes = Zeroizing::new(Vec::new());
            while let Some(chunk) = part.chunk().await.map_err(|error| form_problem(&error, bytes_max))? {
                if (bytes.len() + chunk.len()) as u64 > bytes_max {
                    return Err(Problem::too_large(bytes_max));
                }
                bytes.extend_from_slice(&chunk);
            }
            audio = Some(bytes);
        } else {
            let text = short_field(&mut part, &name, FIELD_BYTES_MAX, bytes_max).await?;
            fields.set(&name, text)?;
        }
    }
    let audio = audio.ok_or_else(|| Problem::invalid("/audio", "The form has no part named audio or file."))?;
    Ok((audio, declared, fields))
}

/// A field of a form that is no file.
pub(crate) async fn short_field(
    part: &mut Field<'_>,
    name: &str,
    field_bytes_max: usize,
    bytes_max: u64,
) -> Reply<String> {
    let mut text = Vec::new();
    while let Some(chunk) = part.chunk().await.map_err(|error| form_problem(&error, bytes_max))? {
        if text.len() + chunk.len() > field_bytes_max {
            return Err(Problem::invalid(format!("/{name}"), "The field is too long."));
        }
        text.extend_from_slice(&chunk);
    }
    String::from_utf8(text)
        .map_err(|_| Problem::bad_request("invalid-utf8", "A field is not UTF-8.").at(format!("/{name}")))
}

impl Fields {
    fn set(&mut self, name: &str, text: String) -> Reply<()> {
        let place = match name {
            "callerName" => &mut self.caller_name,
            "phone" => &mut self.phone,
            "language" => &mut self.language,
            "jurisdiction" => &mut self.jurisdiction,
            "consent" => {
                self.consent = Some(consent(&text).ok_or_else(|| Problem::invalid("/consent", "true or false"))?);
                return Ok(());
            }
            _ => return Err(Problem::invalid(format!("/{name}"), "There is no such field.")),
        };
        let text = text.trim();
        *place = (!text.is_empty()).then(|| text.to_owned());
        Ok(())
    }
}

fn header_consent(headers: &HeaderMap) -> Reply<Option<bool>> {
    let Some(value) = headers.get("x-consent") else { return Ok(None) };
    let said = value.to_str().ok().and_then(consent);
    said.map(Some).ok_or_else(|| Problem::bad_request("invalid-header", "X-Consent: recorded or declined"))
}

fn consent(text: &str) -> Option<bool> {
    match text.trim() {
        "true" | "recorded" | "yes" => Some(true),
        "false" | "declined" | "no" => Some(false),
        _ => None,
    }
}

pub(crate) fn form_problem(error: &axum::extract::multipart::MultipartError, bytes_max: u64) -> Problem {
    match broken_body(error, bytes_max) {
        problem if problem.code == "broken-body" => broken_form(),
        problem => problem,
    }
}

pub(crate) fn broken_form() -> Problem {
    Problem::bad_request("broken-form", "The multipart form is malformed or ended early.")
}

fn not_audio() -> Problem {
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-audio", "Unsupported media type")
}

fn essence(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

const PARTS_MAX: usize = 16;
const FIELD_BYTES_MAX: usize = 1_024;
