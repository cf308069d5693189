//! What becomes of a call, whatever happens to it.
use std::sync::atomic::Ordering;
use std::time::Duration;

use hotline::audit::Outcome;
use hotline::lifecycle::ExitCode;
use hotline_domain::store::JobCounts;
use tokio::sync::watch;

use super::*;
use crate::runner::life::serve;
use crate::runner::models::Models;
use crate::runner::testing::{Fixture, WORDS, heard, until_cancelled};
use crate::speech::EngineError;

fn staying() -> (watch::Sender<Option<u64>>, watch::Receiver<Option<u64>>) {
    watch::channel(None)
}

async fn attempt(fixture: &Fixture) -> Ended {
    let (_stay, leaving) = staying();
    see_through(&fixture.rooms, fixture.lease().await, leaving).await
}

async fn counts(fixture: &Fixture) -> JobCounts {
    // How long they have waited is the store's tests' concern.
    JobCounts { due_since_ms: None, ..fixture.rooms.domain.calls.counts().await.unwrap() }
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..3_000 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited in vain until {what}");
}

#[tokio::test]
async fn a_call_becomes_a_case_that_the_log_knew_first() {
    let fixture = Fixture::start();
    let id = fixture.call().await;
    let (leave, leaving) = staying();
    let rooms = Arc::clone(&fixture.rooms);
    let worker = tokio::spawn(async move { serve(&rooms, leaving).await });
    until("the call is ready", async || fixture.find(id).await.status == CallState::Ready).await;
    leave.send_replace(Some(5_000));
    assert_eq!(worker.await.unwrap(), ExitCode::Clean);

    let call = fixture.find(id).await;
    assert_eq!(call.transcription.unwrap().text, WORDS);
    assert!(!call.analysis.unwrap().abstained);
    let case = call.case_id.unwrap().to_string();
    let records = fixture.records();
    let acts: Vec<_> = records.iter().map(|event| (event.action.as_str(), event.subject.clone())).collect();
    let id = id.to_string();
    assert_eq!(acts, [("call.transcribe", id.clone()), ("call.triage", id), ("case.create", case.clone())]);

    let published = fixture.published.lock().unwrap();
    let statuses: Vec<_> = published
        .iter()
        .filter(|event| event.topic.starts_with("call:"))
        .map(|event| serde_json::from_str::<serde_json::Value>(&event.payload).unwrap()["status"].clone())
        .collect();
    assert_eq!(statuses, ["transcribing", "analysing", "ready"]);
    let last = published.last().unwrap();
    assert_eq!(last.topic, "cases");
    assert!(last.payload.contains(&case));
    let told = published.iter().map(|event| event.payload.as_str());
    for text in told.chain(records.iter().map(|event| event.details.as_str())) {
        assert!(!text.contains("landlord") && !text.contains("three day"), "{text}");
    }
}

#[tokio::test]
async fn what_is_not_audio_fails_at_once() {
    let fixture = Fixture::start();
    let id = fixture.call_of(b"RIFF....this is a letter, not a recording").await;
    attempt(&fixture).await;
    let call = fixture.find(id).await;
    assert_eq!(call.status, CallState::Failed);
    assert!(["not-audio", "corrupt"].contains(&call.error.as_deref().unwrap()), "{:?}", call.error);
    assert_eq!(fixture.listened.load(Ordering::SeqCst), 0);
    assert_eq!(counts(&fixture).await, JobCounts::default());
    assert_eq!(fixture.actions(), ["call.fail"]);
}

#[tokio::test]
async fn a_panic_in_the_engine_costs_an_attempt_and_a_pause() {
    let fixture = Fixture::with(|_| panic!("engine"), |_| {});
    let id = fixture.call().await;
    attempt(&fixture).await;
    assert_eq!(counts(&fixture).await, JobCounts { ready: 1, ..JobCounts::default() });
    assert!(fixture.rooms.domain.calls.lease("other").await.unwrap().is_none(), "it is not due yet");
    assert_eq!(fixture.find(id).await.status, CallState::Transcribing);
}

#[tokio::test]
async fn the_last_attempt_sets_a_call_aside() {
    let broken = |_: &_| Err(EngineError::Failed { reason: "broken".to_owned() });
    let fixture = Fixture::with(broken, |rooms| rooms.config.speech.attempts_max = 1);
    let id = fixture.call().await;
    attempt(&fixture).await;
    let call = fixture.find(id).await;
    assert_eq!((call.status, call.error.as_deref()), (CallState::Failed, Some("processing-failed")));
    assert_eq!(counts(&fixture).await, JobCounts { dead: 1, ..JobCounts::default() });
    assert_eq!(fixture.actions(), ["call.fail"]);
}

#[tokio::test]
async fn a_call_that_ends_every_worker_is_not_tried_for_ever() {
    let fixture = Fixture::with(|_| Ok(heard()), |rooms| rooms.config.speech.attempts_max = 2);
    let id = fixture.call().await;
    let mut held = fixture.lease().await;
    // As if three workers had died with it: what the store gives the next one.
    while held.lease.attempt <= 2 {
        fixture.rooms.domain.calls.release(&held.lease, 0, Some("gone")).await.unwrap();
        held = fixture.lease().await;
    }
    let (_stay, leaving) = staying();
    see_through(&fixture.rooms, held, leaving).await;
    assert_eq!(fixture.find(id).await.status, CallState::Failed);
    assert_eq!(fixture.listened.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_drain_gives_the_call_to_the_next_worker_at_once() {
    let fixture = Fixture::with(until_cancelled, |_| {});
    let id = fixture.call().await;
    let (leave, leaving) = staying();
    let rooms = Arc::clone(&fixture.rooms);
    let worker = tokio::spawn(async move { serve(&rooms, leaving).await });
    until("the engine listens", async || fixture.listened.load(Ordering::SeqCst) == 1).await;
    leave.send_replace(Some(10_000));
    assert_eq!(worker.await.unwrap(), ExitCode::Clean);
    assert_eq!(Arc::strong_count(&fixture.rooms.running), 1, "no engine runs on");
    let taken = fixture.rooms.domain.calls.lease("background-0@7.2").await.unwrap().unwrap();
    assert_eq!((taken.call.call_id, taken.lease.attempt), (id, 1), "the broken attempt does not count");
}

#[tokio::test]
async fn a_lost_lease_leaves_no_case_and_takes_the_announcement_back() {
    let fixture = Arc::new(Fixture::with(|_| Ok(heard()), |_| {}));
    let id = fixture.call().await;
    let held = fixture.lease().await;
    // Somebody else has the job while this worker believes in its lease.
    fixture.rooms.domain.calls.release(&held.lease, 0, None).await.unwrap();
    let (_stay, leaving) = staying();
    see_through(&fixture.rooms, held, leaving).await;
    let call = fixture.find(id).await;
    assert!(call.case_id.is_none() && call.transcription.is_none());
    until("the log knows", async || fixture.actions().len() == 4).await;
    let records = fixture.records();
    let last = records.last().unwrap();
    assert_eq!((last.action.as_str(), last.outcome), ("case.create", Outcome::Failed));
    assert_eq!(last.subject, records[2].subject);
    assert!(fixture.published.lock().unwrap().iter().all(|event| event.topic != "cases"));
}

#[tokio::test]
async fn a_lease_that_is_lost_on_the_way_stops_the_engine() {
    let fixture = Fixture::with(until_cancelled, |rooms| rooms.config.speech.lease_seconds = 1);
    fixture.call().await;
    let held = fixture.lease().await;
    fixture.rooms.domain.calls.release(&held.lease, 60_000, None).await.unwrap();
    let (_stay, leaving) = staying();
    assert_eq!(see_through(&fixture.rooms, held, leaving).await, Ended::Settled);
    until("the engine has stopped", async || Arc::strong_count(&fixture.rooms.running) == 1).await;
}

#[tokio::test]
async fn nothing_shows_while_the_log_does_not_answer() {
    let fixture = Fixture::with(|_| Ok(heard()), |_| {});
    let id = fixture.call().await;
    fixture.deafen_scribe();
    attempt(&fixture).await;
    let call = fixture.find(id).await;
    assert_eq!(call.status, CallState::Analysing);
    assert!(call.transcription.is_none() && call.case_id.is_none());
    assert_eq!(counts(&fixture).await, JobCounts { ready: 1, ..JobCounts::default() });
}

#[tokio::test]
async fn a_standstill_ends_the_process_and_costs_an_attempt() {
    let fixture = Fixture::with(until_cancelled, |rooms| rooms.standstill_max = Duration::ZERO);
    fixture.call().await;
    let (_stay, leaving) = staying();
    assert_eq!(serve(&fixture.rooms, leaving).await, ExitCode::Bug);
    assert_eq!(counts(&fixture).await, JobCounts { ready: 1, ..JobCounts::default() });
}

#[tokio::test]
async fn without_a_speech_model_calls_wait_unharmed() {
    let fixture = Fixture::with(|_| Ok(heard()), |rooms| rooms.models = Models::default());
    let id = fixture.call().await;
    let (leave, leaving) = staying();
    let rooms = Arc::clone(&fixture.rooms);
    let worker = tokio::spawn(async move { serve(&rooms, leaving).await });
    let cell = || fixture.rooms.board.cell(fixture.rooms.slot.cell);
    until("the lack shows", async || cell().is_degraded()).await;
    let first_ms = cell().last_beat_ms();
    until("the worker has looked again", async || cell().last_beat_ms() > first_ms).await;
    leave.send_replace(Some(1_000));
    assert_eq!(worker.await.unwrap(), ExitCode::Clean);
    let held = fixture.lease().await;
    assert_eq!((held.call.call_id, held.lease.attempt), (id, 1));
}
