//! Calls: a recording comes in, is kept, and is answered at once if it can be understood quickly enough.
use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::response::Response;
use hotline::audit::EventType;
use hotline_domain::calls::{self, Accepted, Call, NewCall};
use hotline_domain::policy::{Action, Permissions};
use hotline_domain::store::CallState;
use hotline_domain::transcript::Transcript;
use hotline_domain::triage::{Analysis, Recommendations};
use http::header::{LOCATION, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::json;
use tokio::time::{Instant, timeout_at};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{ProblemBody, idempotency, json};
use crate::app::Shared;
use crate::gate::{Caller, Payer};
use crate::problem::{Problem, Reply};
use crate::trail::{self, Act};
use crate::upload::Upload;

/// The result of a call that was understood in time.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Processed {
    call_id: Uuid,
    transcription: Option<Transcript>,
    analysis: Option<Analysis>,
    recommendations: Option<Recommendations>,
    case_number: Option<String>,
    case_id: Option<Uuid>,
}

/// A call that takes longer: ask `statusUrl`.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ToBeContinued {
    call_id: Uuid,
    status: CallState,
    status_url: String,
}

#[derive(ToSchema)]
#[schema(as = Recording)]
#[allow(dead_code)] // only described, see `upload.rs`
pub(crate) struct RecordingForm {
    /// WAV, MP3, Ogg, WebM, M4A, FLAC or µ-law.
    #[schema(value_type = String, format = Binary)]
    audio: Vec<u8>,
    #[schema(rename = "callerName")]
    caller_name: Option<String>,
    phone: Option<String>,
    language: Option<String>,
    jurisdiction: Option<String>,
    /// The caller agreed to be recorded.
    consent: Option<bool>,
}

/// Takes a recording. Answers its result, or 202 with where to ask for it.
#[utoipa::path(post, path = "/api/v1/voice/process", tag = "voice",
    request_body(content = RecordingForm, content_type = "multipart/form-data"),
    params(("Idempotency-Key" = Option<String>, Header, description = "Up to 255 visible characters; kept for a day")),
    responses((status = 200, body = Processed), (status = 202, body = ToBeContinued), (status = 400, body = ProblemBody),
        (status = 413, body = ProblemBody), (status = 415, body = ProblemBody), (status = 422, body = ProblemBody)))]
pub(crate) async fn process(State(app): State<Shared>, caller: Caller, request: Request) -> Reply {
    caller.must(Permissions::CALL_PROCESS)?;
    let charge = app.charge(Payer::Voice(caller.principal.user.as_u128()), app.config.rate.voice);
    if let Some(refusal) = charge.refusal() {
        app.meters.rate_limited(charge.name());
        return Err(refusal);
    }
    let headers = request.headers().clone();
    let upload = Upload::read(&app, request).await?;
    if upload.fields.consent == Some(false) {
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "consent-declined", "Unprocessable content")
            .detail("The caller did not agree to be recorded; nothing was kept."));
    }
    let once = idempotency::once(&app, &headers, &caller, &upload.content())?;
    let bytes = upload.audio.len();
    let Upload { audio, container, fields, room } = upload;
    let new = NewCall {
        audio,
        container,
        consented: fields.consent.unwrap_or(false),
        caller: calls::Caller { name: fields.caller_name, phone: fields.phone, language: fields.language },
        jurisdiction: fields.jurisdiction,
        once,
    };
    // The record goes first: a call that cannot be recorded is not taken.
    let id = Uuid::now_v7();
    let act = || Act::new(EventType::DataAccess, "call.process", id).details(json!({ "bytes": bytes }));
    trail::change(&app, &caller.visit, act()).await?;
    let accepted = app.domain.calls.accept(id, &caller.principal.actor(), new).await;
    drop(room);
    if !matches!(accepted, Ok(Accepted::Done(_))) {
        trail::not_done(&app, &caller.visit, act());
    }
    let (call, replayed) = match accepted.map_err(|error| app.broken(error))? {
        Accepted::Done(call) => (call, false),
        Accepted::Before(call) => (call, true),
        Accepted::OtherRequest => return Err(idempotency::other_request()),
        Accepted::Invalid(invalid) => return Err(Problem::invalid(invalid.pointer, invalid.reason)),
        Accepted::QueueFull => {
            app.meters.refused("jobs");
            return Err(Problem::unavailable("queue-full", "Too many recordings wait to be transcribed."));
        }
    };

    let call = wait_for_result(&app, &caller, call).await?;
    let mut response = match call.status {
        CallState::Ready => json(StatusCode::OK, &Processed::from(call)),
        CallState::Failed => return Err(failed(&call)),
        _ => to_be_continued(&call),
    };
    idempotency::mark(&mut response, replayed);
    Ok(response)
}

/// Where a call stands.
#[utoipa::path(get, path = "/api/v1/voice/status/{callId}", tag = "voice", params(("callId" = String, Path)),
    responses((status = 200, body = Call), (status = 404, body = ProblemBody)))]
pub(crate) async fn status(State(app): State<Shared>, caller: Caller, Path(id): Path<String>) -> Reply {
    let call = app.call_for(&caller, Action::CallRead, &id).await?;
    trail::reading(&app, &caller.visit, Act::new(EventType::DataAccess, "call.read", call.call_id)).await?;
    Ok(json(StatusCode::OK, &call))
}

/// Waits for the background worker, woken by its events, for as long as the operator allows.
async fn wait_for_result(app: &Shared, caller: &Caller, id: Uuid) -> Reply<Call> {
    let end = Instant::now() + Duration::from_millis(app.config.speech.synchronous_wait_ms);
    // The background worker is at work, not this one.
    let _rest = app.admission.rest(caller.visit.ticket);
    let mut ear = app.hub.listen(caller.principal, EVENTS_MAX);
    ear.subscribe(&format!("call:{id}"));
    loop {
        let call = app.visible_call(&caller.principal, &id.to_string()).await?.ok_or_else(Problem::internal)?;
        let is_final = matches!(call.status, CallState::Ready | CallState::Failed | CallState::Declined);
        if is_final || app.drain.is_ordered() || Instant::now() >= end {
            return Ok(call);
        }
        // An event may be lost; looking now and then makes that a delay and nothing worse.
        let _ = timeout_at(end.min(Instant::now() + LOOK_EVERY), ear.events.recv()).await;
    }
}

fn to_be_continued(call: &Call) -> Response {
    let status_url = format!("/api/v1/voice/status/{}", call.call_id);
    let location = HeaderValue::try_from(status_url.as_str());
    let mut response =
        json(StatusCode::ACCEPTED, &ToBeContinued { call_id: call.call_id, status: call.status, status_url });
    if let Ok(location) = location {
        response.headers_mut().insert(LOCATION, location);
    }
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("2"));
    response
}

/// The recording could not be understood, and sending it again will not help.
fn failed(call: &Call) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "call-failed", "Unprocessable content")
        .detail("The recording could not be processed.")
        .member("callId", call.call_id.to_string())
        .member("reason", call.error.clone().unwrap_or_default())
}

impl From<Call> for Processed {
    fn from(call: Call) -> Self {
        Self {
            call_id: call.call_id,
            transcription: call.transcription,
            analysis: call.analysis,
            recommendations: call.recommendations,
            case_number: call.case_number,
            case_id: call.case_id,
        }
    }
}

const LOOK_EVERY: Duration = Duration::from_millis(500);
const EVENTS_MAX: usize = 16;
