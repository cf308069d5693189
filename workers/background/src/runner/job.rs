//! One call, from its lease to a case, a named failure, or back into the queue.
use std::sync::Arc;
use std::time::{Duration, Instant};

use hotline::audit::{AuditError, EventType, Severity};
use hotline::lifecycle::{Restart, clock};
use hotline::telemetry::names;
use hotline::wire::LiveEvent;
use hotline_domain::calls::{CallResult, HeldCall};
use hotline_domain::cases::{Case, generation_key};
use hotline_domain::store::{CallState, StoreError};
use hotline_domain::triage::{Analysis, Input, Recommendations};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::interval;
use uuid::Uuid;

use super::life::Rooms;
use super::trail::Act;
use crate::speech::{self, DecodeError, EngineError, SpeechError};

/// Why a call was not finished.
#[derive(Debug, thiserror::Error)]
enum Stop {
    /// The recording is at fault: no retry.
    #[error("{code}")]
    Rejected { code: &'static str },
    /// Something of ours: another attempt may help.
    #[error("{reason}")]
    Later { reason: String },
    /// The worker is leaving.
    #[error("draining")]
    Leaving,
    /// Somebody else has the call now.
    #[error("the lease was lost")]
    Lost,
}

/// Works on the call; whatever happens, the queue knows afterwards.
pub(super) async fn see_through(rooms: &Arc<Rooms>, held: HeldCall, leaving: watch::Receiver<Option<u64>>) {
    let begun = Instant::now();
    let leash = speech::Job::default();
    let outcome = tokio::select! {
        outcome = work(rooms, &held, &leash) => outcome,
        stop = watch_over(rooms, &held, &leash, leaving) => Err(stop),
    };
    // Whatever still runs on a blocking thread is told that nobody waits for it.
    leash.cancel();
    let ended = match outcome {
        Ok(case) => {
            tell_ready(rooms, &held, &case);
            "ready"
        }
        Err(stop) => put_back(rooms, &held, &stop).await,
    };
    metrics::counter!(names::JOBS_ENDED, "kind" => "call", "outcome" => ended).increment(1);
    metrics::histogram!(names::JOB_SECONDS).record(begun.elapsed().as_secs_f64());
    tracing::info!(call = %held.call.call_id, ended, attempt = held.lease.attempt, "call worked on");
}

async fn work(rooms: &Arc<Rooms>, held: &HeldCall, leash: &speech::Job) -> Result<Case, Stop> {
    let id = held.call.call_id;
    move_on(rooms, id, CallState::Transcribing, 0).await?;
    let transcript = transcribe(rooms, held, leash).await?;
    metrics::counter!(names::AUDIO_SECONDS).increment(transcript.duration_ms / 1_000);
    move_on(rooms, id, CallState::Analysing, ANALYSING_PERCENT).await?;
    let (analysis, recommendations) = triage(rooms, held, &transcript).await?;
    let result = CallResult { transcript, analysis, recommendations };
    let case_id = Uuid::now_v7();
    record(rooms, held, &result, case_id).await?;
    let case = rooms.domain.calls.finish(held, &result, case_id).await?.ok_or(Stop::Lost)?;
    rooms.board.bump(generation_key(case.id));
    Ok(case)
}

async fn transcribe(
    rooms: &Arc<Rooms>,
    held: &HeldCall,
    leash: &speech::Job,
) -> Result<hotline_domain::transcript::Transcript, Stop> {
    let (rooms, leash) = (Arc::clone(rooms), leash.clone());
    let (id, declared, language) = (held.call.call_id, held.call.media_type.clone(), held.call.caller.language.clone());
    on_thread(move || {
        let engine = rooms.models.speech().ok_or_else(|| later("the speech model is not there yet"))?;
        let recording = rooms.domain.calls.recording(id)?;
        let seconds_max = rooms.config.speech.audio_seconds_max;
        Ok(speech::transcribe(engine, &recording, Some(&declared), language.as_deref(), seconds_max, &leash)?)
    })
    .await
}

async fn triage(
    rooms: &Arc<Rooms>,
    held: &HeldCall,
    transcript: &hotline_domain::transcript::Transcript,
) -> Result<(Analysis, Recommendations), Stop> {
    let zone = TimeZone::get(&rooms.config.triage.time_zone).unwrap_or(TimeZone::UTC);
    let called_at = Timestamp::from_millisecond(held.call.created_at_ms).unwrap_or(Timestamp::UNIX_EPOCH);
    let called_on = called_at.to_zoned(zone).date();
    let (rooms, text, language) = (Arc::clone(rooms), transcript.text.clone(), transcript.language.clone());
    let jurisdiction = held.call.jurisdiction.clone();
    on_thread(move || {
        let scores = rooms.models.scores(&text);
        let input = Input { text: &text, language: Some(&language), called_on, jurisdiction: &jurisdiction };
        let analysis = rooms.triage.analyze(&input, scores.as_ref());
        let recommendations = rooms.triage.recommend(&analysis, &jurisdiction, called_on);
        Ok((analysis, recommendations))
    })
    .await
}

/// The records are on disk before any of it can be seen.
async fn record(rooms: &Rooms, held: &HeldCall, result: &CallResult, case_id: Uuid) -> Result<(), Stop> {
    let call = held.call.call_id.to_string();
    let CallResult { transcript, analysis, recommendations } = result;
    let heard = json!({
        "engine": transcript.engine.name, "model": transcript.engine.model, "sha256": transcript.engine.model_sha256,
        "language": transcript.language, "durationMs": transcript.duration_ms, "partial": transcript.partial,
    });
    let found = json!({
        "issues": analysis.issues.iter().map(|issue| &issue.code).collect::<Vec<_>>(),
        "urgency": analysis.urgency.level, "deadlines": analysis.deadlines.len(), "abstained": analysis.abstained,
        "rules": analysis.model, "steps": recommendations.steps.iter().map(|step| &step.id).collect::<Vec<_>>(),
    });
    let acts = [
        Act::new(EventType::DataAccess, "call.transcribe", &call).details(&heard),
        Act::new(EventType::DataAccess, "call.triage", &call).details(&found),
        Act::new(EventType::DataAccess, "case.create", &case_id.to_string()).details(&json!({ "call": call })),
    ];
    let mut last = None;
    for act in acts {
        last = Some(rooms.audit.record(act.event())?);
    }
    match last {
        Some(ticket) => Ok(rooms.audit.durable(ticket).await?),
        None => Ok(()),
    }
}

/// Renews the lease and tells how far the work is; returns when the work must stop.
async fn watch_over(
    rooms: &Rooms,
    held: &HeldCall,
    leash: &speech::Job,
    mut leaving: watch::Receiver<Option<u64>>,
) -> Stop {
    let renew_every = Duration::from_secs(rooms.config.speech.lease_seconds) / 3;
    let mut ticks = interval(PROGRESS_EVERY);
    let (mut renewed, mut told) = (Instant::now(), 0);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            drain = leaving.wait_for(Option::is_some) => {
                if drain.is_ok() {
                    return Stop::Leaving;
                }
            }
        }
        if renewed.elapsed() >= renew_every {
            match rooms.domain.calls.renew(&held.lease).await {
                Ok(true) => renewed = Instant::now(),
                Ok(false) => return Stop::Lost,
                Err(error) => tracing::warn!(%error, "could not renew a lease; trying again"),
            }
        }
        // The engine's own hundred is most, not all, of the way.
        let percent = u8::try_from(u32::from(leash.percent()) * u32::from(ANALYSING_PERCENT) / 100).unwrap_or(0);
        if percent >= told + PROGRESS_STEP_PERCENT {
            told = percent;
            let _ = rooms.domain.calls.progress(held.call.call_id, CallState::Transcribing, percent).await;
            publish(rooms, held.call.call_id, CallState::Transcribing, percent, &json!({}));
        }
    }
}

async fn put_back(rooms: &Rooms, held: &HeldCall, stop: &Stop) -> &'static str {
    let (calls, id) = (&rooms.domain.calls, held.call.call_id);
    match stop {
        Stop::Lost => "lost",
        Stop::Leaving => {
            settle(calls.release(&held.lease, 0, None).await);
            "released"
        }
        Stop::Rejected { code } => {
            give_up(rooms, held, code, false).await;
            "rejected"
        }
        Stop::Later { reason } if held.lease.attempt >= rooms.config.speech.attempts_max => {
            tracing::error!(call = %id, %reason, attempts = held.lease.attempt, "giving a call up");
            give_up(rooms, held, "processing-failed", true).await;
            "dead"
        }
        Stop::Later { reason } => {
            let mut delays = Restart::new(RETRY_FIRST, RETRY_MAX, clock::now_ms());
            let delay = (0..held.lease.attempt).map(|_| delays.next_delay(false)).last().unwrap_or(RETRY_FIRST);
            tracing::warn!(call = %id, %reason, attempt = held.lease.attempt, ?delay, "trying a call again later");
            settle(calls.release(&held.lease, delay.as_millis() as u64, Some(reason)).await);
            "retried"
        }
    }
}

async fn give_up(rooms: &Rooms, held: &HeldCall, code: &str, dead: bool) {
    let id = held.call.call_id;
    let act = Act::new(EventType::DataAccess, "call.fail", &id.to_string()).severity(Severity::High).failed();
    let recorded = rooms.audit.record(act.details(&json!({ "code": code })).event());
    let durable = match recorded {
        Ok(ticket) => rooms.audit.durable(ticket).await,
        Err(error) => Err(error),
    };
    if let Err(error) = durable {
        // Not recorded, so not done: the lease runs out and the call comes up again.
        tracing::error!(%error, call = %id, "could not record a failure");
        return;
    }
    settle(rooms.domain.calls.fail(&held.lease, id, code, dead).await);
    publish(rooms, id, CallState::Failed, 0, &json!({ "error": code }));
}

fn tell_ready(rooms: &Rooms, held: &HeldCall, case: &Case) {
    let found = json!({ "caseId": case.id, "caseNumber": case.case_number });
    publish(rooms, held.call.call_id, CallState::Ready, 100, &found);
    let payload = json!({ "type": "case", "event": "created", "caseId": case.id, "urgency": case.urgency });
    rooms.control.publish(LiveEvent { topic: "cases".to_owned(), payload: payload.to_string() });
}

async fn move_on(rooms: &Rooms, id: Uuid, state: CallState, percent: u8) -> Result<(), Stop> {
    if !rooms.domain.calls.progress(id, state, percent).await? {
        return Err(Stop::Lost);
    }
    publish(rooms, id, state, percent, &json!({}));
    Ok(())
}

fn publish(rooms: &Rooms, id: Uuid, state: CallState, percent: u8, more: &Value) {
    let mut payload = json!({ "type": "call", "callId": id, "status": state, "progress": percent });
    if let (Some(payload), Some(more)) = (payload.as_object_mut(), more.as_object()) {
        payload.extend(more.clone());
    }
    rooms.control.publish(LiveEvent { topic: format!("call:{id}"), payload: payload.to_string() });
}

async fn on_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T, Stop> + Send + 'static) -> Result<T, Stop> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(later("a step of the work panicked")))
}

fn settle(outcome: Result<bool, StoreError>) {
    match outcome {
        Ok(true) => {}
        Ok(false) => tracing::warn!("a lease was lost before it could be given back"),
        Err(error) => tracing::error!(%error, "could not give a call back; its lease will run out"),
    }
}

fn later(reason: &str) -> Stop {
    Stop::Later { reason: reason.to_owned() }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Later { reason: error.to_string() }
    }
}

impl From<AuditError> for Stop {
    fn from(error: AuditError) -> Self {
        Self::Later { reason: error.to_string() }
    }
}

impl From<SpeechError> for Stop {
    fn from(error: SpeechError) -> Self {
        let code = match error {
            SpeechError::Decode(DecodeError::Empty) => "empty",
            SpeechError::Decode(DecodeError::NotAudio) => "not-audio",
            SpeechError::Decode(DecodeError::TooLong { .. }) => "too-long",
            SpeechError::Decode(DecodeError::Corrupt { .. }) => "corrupt",
            SpeechError::Engine(EngineError::Cancelled) => return Self::Leaving,
            SpeechError::Engine(error) => return Self::Later { reason: error.to_string() },
        };
        Self::Rejected { code }
    }
}

const ANALYSING_PERCENT: u8 = 90;
const PROGRESS_EVERY: Duration = Duration::from_millis(500);
const PROGRESS_STEP_PERCENT: u8 = 5;
const RETRY_FIRST: Duration = Duration::from_secs(2);
const RETRY_MAX: Duration = Duration::from_secs(300);
