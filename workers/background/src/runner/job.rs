//! One call, from its lease to a case, a named failure, or back into the queue.
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hotline::lifecycle::{Restart, clock};
use hotline::telemetry::names;
use hotline_domain::calls::{CallResult, HeldCall};
use hotline_domain::cases::{Case, generation_key};
use hotline_domain::store::{CallState, StoreError};
use hotline_domain::transcript::Transcript;
use hotline_domain::triage::{Analysis, Input, Recommendations};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::sync::watch;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::life::Rooms;
use super::stop::Stop;
use super::watch::{ANALYSING_PERCENT, watch_over};
use super::{told, trail};
use crate::speech;

/// What the worker must know about the end of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The queue knows what became of the call.
    Settled,
    /// A thread of ours cannot be trusted to end: only the end of the process ends it.
    StandsStill,
}

/// Works on the call; whatever happens, the queue knows afterwards.
pub(super) async fn see_through(rooms: &Arc<Rooms>, held: HeldCall, leaving: watch::Receiver<Option<u64>>) -> Ended {
    let begun = Instant::now();
    let leash = speech::Job::default();
    let case_id = Uuid::now_v7();
    let announced = AtomicBool::new(false);
    let result = tokio::select! {
        result = prepare(rooms, &held, &leash, case_id, &announced) => result,
        stop = watch_over(rooms, &held, &leash, leaving) => Err(stop),
    };
    // Whatever still runs on a thread is told that nobody waits for it.
    leash.cancel();
    // From here on nothing interrupts: the end of a call is one short transaction.
    let outcome = match result {
        Ok(result) => finish(rooms, &held, &result, case_id).await,
        Err(stop) => Err(stop),
    };
    let stands_still = matches!(outcome, Err(Stop::StandsStill));
    let ended = match outcome {
        Ok(case) => {
            rooms.board.bump(generation_key(case.id));
            told::ready(held.call.call_id, &case).into_iter().for_each(&rooms.publish);
            "ready"
        }
        Err(stop) => {
            if announced.load(Ordering::Relaxed) {
                trail::take_back(&rooms.audit, &held.call, case_id);
            }
            put_back(rooms, &held, stop).await
        }
    };
    metrics::counter!(names::JOBS_ENDED, "kind" => "call", "outcome" => ended).increment(1);
    metrics::histogram!(names::JOB_SECONDS).record(begun.elapsed().as_secs_f64());
    tracing::info!(call = %held.call.call_id, ended, attempt = held.lease.attempt, "call worked on");
    if stands_still { Ended::StandsStill } else { Ended::Settled }
}

/// Everything up to the effect: when this returns, the audit log has what is about to become visible.
async fn prepare(
    rooms: &Arc<Rooms>,
    held: &HeldCall,
    leash: &speech::Job,
    case_id: Uuid,
    announced: &AtomicBool,
) -> Result<CallResult, Stop> {
    if held.lease.attempt > rooms.config.speech.attempts_max {
        // Nobody came back to say why: each attempt took its worker along.
        return Err(Stop::Failed { reason: "every attempt ended with its worker".to_owned() });
    }
    let id = held.call.call_id;
    move_on(rooms, id, CallState::Transcribing, 0).await?;
    let transcript = transcribe(rooms, held, leash).await?;
    metrics::counter!(names::AUDIO_SECONDS).increment(transcript.duration_ms / 1_000);
    move_on(rooms, id, CallState::Analysing, ANALYSING_PERCENT).await?;
    let (analysis, recommendations) = triage(rooms, held, &transcript).await?;
    let result = CallResult { transcript, analysis, recommendations };
    announced.store(true, Ordering::Relaxed);
    trail::durable(&rooms.audit, &trail::finished(&held.call, &result, case_id)).await?;
    Ok(result)
}

async fn finish(rooms: &Rooms, held: &HeldCall, result: &CallResult, case_id: Uuid) -> Result<Case, Stop> {
    rooms.domain.calls.finish(held, result, case_id).await?.ok_or(Stop::Lost)
}

async fn transcribe(rooms: &Arc<Rooms>, held: &HeldCall, leash: &speech::Job) -> Result<Transcript, Stop> {
    let (with, leash) = (Arc::clone(rooms), leash.clone());
    let (declared, language) = (held.call.media_type.clone(), held.call.caller.language.clone());
    let mut recording = rooms.domain.calls.recording(held.call.call_id).await?;
    on_thread(rooms, move || {
        let missing = || Stop::Unavailable { reason: "the speech model is not there yet".to_owned() };
        let engine = with.models.speech().ok_or_else(missing)?;
        // The decoders look at both ends before they begin.
        let mut audio =
            Zeroizing::new(Vec::with_capacity(usize::try_from(recording.plain_bytes()).unwrap_or_default()));
        recording.read_to_end(&mut audio).map_err(StoreError::from)?;
        let seconds_max = with.config.speech.audio_seconds_max;
        Ok(speech::transcribe(engine, &audio, Some(&declared), language.as_deref(), seconds_max, &leash)?)
    })
    .await
}

async fn triage(
    rooms: &Arc<Rooms>,
    held: &HeldCall,
    transcript: &Transcript,
) -> Result<(Analysis, Recommendations), Stop> {
    let zone = TimeZone::get(&rooms.config.triage.time_zone).unwrap_or(TimeZone::UTC);
    let called_at = Timestamp::from_millisecond(held.call.created_at_ms).unwrap_or(Timestamp::UNIX_EPOCH);
    let called_on = called_at.to_zoned(zone).date();
    let (with, text, language) = (Arc::clone(rooms), transcript.text.clone(), transcript.language.clone());
    let jurisdiction = held.call.jurisdiction.clone();
    on_thread(rooms, move || {
        let scores = with.models.scores(&text);
        let input = Input { text: &text, language: Some(&language), called_on, jurisdiction: &jurisdiction };
        let analysis = with.triage.analyze(&input, scores.as_ref());
        let recommendations = with.triage.recommend(&analysis, &jurisdiction, called_on);
        Ok((analysis, recommendations))
    })
    .await
}

async fn put_back(rooms: &Rooms, held: &HeldCall, stop: Stop) -> &'static str {
    let (calls, call) = (&rooms.domain.calls, held.call.call_id);
    let attempt = held.lease.attempt;
    let is_last = attempt >= rooms.config.speech.attempts_max;
    match stop {
        Stop::Lost => "lost",
        Stop::Leaving => {
            settle(calls.release(&held.lease, 0, None).await);
            "released"
        }
        Stop::Unavailable { reason } => {
            tracing::warn!(%call, %reason, "putting a call off");
            settle(calls.release(&held.lease, UNAVAILABLE_MS, None).await);
            "put-off"
        }
        Stop::Rejected { code } => {
            give_up(rooms, held, code, false).await;
            "rejected"
        }
        Stop::Failed { .. } | Stop::StandsStill if is_last => {
            tracing::error!(%call, reason = %stop, attempt, "giving a call up");
            give_up(rooms, held, "processing-failed", true).await;
            "dead"
        }
        Stop::Failed { .. } | Stop::StandsStill => {
            let delay = pause(attempt, clock::now_ms());
            let reason = stop.to_string();
            tracing::warn!(%call, %reason, attempt, ?delay, "trying a call again later");
            let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
            settle(calls.release(&held.lease, delay_ms, Some(&reason)).await);
            "retried"
        }
    }
}

/// Doubles with every attempt.
fn pause(attempt: u32, seed: u64) -> Duration {
    let mut delays = Restart::new(RETRY_FIRST, RETRY_MAX, seed);
    (0..attempt.min(ATTEMPTS_COUNTED_MAX)).map(|_| delays.next_delay(false)).last().unwrap_or(RETRY_FIRST)
}

async fn give_up(rooms: &Rooms, held: &HeldCall, code: &'static str, dead: bool) {
    let call = held.call.call_id;
    let record = trail::failed(&held.call, code, held.lease.attempt);
    if let Err(error) = trail::durable(&rooms.audit, &[record]).await {
        // Not recorded, so not done: the lease runs out and the call comes up again.
        tracing::error!(%error, %call, "could not record a failure");
        return;
    }
    let failed = rooms.domain.calls.fail(&held.lease, call, code, dead).await;
    if matches!(failed, Ok(true)) {
        (rooms.publish)(told::failed(call, code));
    }
    settle(failed);
}

async fn move_on(rooms: &Rooms, id: Uuid, state: CallState, percent: u8) -> Result<(), Stop> {
    if !rooms.domain.calls.progress(id, state, percent).await? {
        return Err(Stop::Lost);
    }
    (rooms.publish)(told::moved(id, state, percent));
    Ok(())
}

/// Runs a step that takes long. The drain waits a little for such threads: a process should not exit
/// under a running engine.
async fn on_thread<T: Send + 'static>(
    rooms: &Rooms,
    work: impl FnOnce() -> Result<T, Stop> + Send + 'static,
) -> Result<T, Stop> {
    let running = Arc::clone(&rooms.running);
    let work = move || {
        let _running = running;
        work()
    };
    let panicked = || Stop::Failed { reason: "a step of the work panicked".to_owned() };
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(panicked()))
}

fn settle(outcome: Result<bool, StoreError>) {
    match outcome {
        Ok(true) => {}
        Ok(false) => tracing::warn!("a lease was lost before it could be given back"),
        Err(error) => tracing::error!(%error, "could not give a call back; its lease will run out"),
    }
}

const RETRY_FIRST: Duration = Duration::from_secs(2);
const RETRY_MAX: Duration = Duration::from_secs(300);
/// Later ones would not wait longer.
const ATTEMPTS_COUNTED_MAX: u32 = 32;
const UNAVAILABLE_MS: u64 = 10_000;

#[cfg(test)]
mod tests;
