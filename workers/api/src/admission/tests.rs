//! Admission from outside: requests through the gate of a worker whose places are taken.
use axum::body::Body;
use bytes::Bytes;
use hotline::config::{Config, Queue};
use hyper::body::Frame;
use serde_json::json;

use super::*;
use crate::testing::{Fixture, Lawyer, json_request};

const NOBODY_WAITS: Queue = Queue { waiting_max: 0, wait_ms_max: 60_000 };

/// Sixteen at work at once; whoever finds no room is refused at once.
fn without_queues(config: &mut Config) {
    config.limits.requests_in_flight_max = 16;
    let admission = &mut config.admission;
    admission.concurrency_min = 16;
    for queue in [&mut admission.emergency, &mut admission.live_call, &mut admission.interactive, &mut admission.batch]
    {
        *queue = NOBODY_WAITS;
    }
}

async fn take(fixture: &Fixture, class: Class, count: usize) -> Vec<Permit> {
    let mut permits = Vec::new();
    for _ in 0..count {
        permits.push(fixture.app.admission.admit(class, 0, Instant::now()).await.ok().unwrap());
    }
    permits
}

fn document() -> http::request::Builder {
    http::Request::get("/api/v1/openapi.json").header("host", "hotline.example")
}

async fn opened(lawyer: &Lawyer<'_>, urgency: &str) -> String {
    let case = lawyer.post("/api/v1/cases", &json!({ "title": "T", "narrative": "N", "urgency": urgency })).await;
    case.expect(201).json()["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_full_worker_refuses_by_class_and_probes_always_answer() {
    let fixture = Fixture::start(without_queues).await;
    let lawyer = fixture.lawyer().await;
    let case = format!("/api/v1/cases/{}", opened(&lawyer, "routine").await);
    let half = take(&fixture, Class::Emergency, 8).await;
    let refused = fixture.ask(document(), "").await.expect(503);
    assert_eq!(refused.header("retry-after"), "10");
    assert_eq!(refused.header("content-type"), "application/problem+json");
    assert_eq!(
        (refused.json()["code"].clone(), refused.json()["class"].clone()),
        (json!("overloaded"), json!("batch"))
    );
    assert_eq!(lawyer.get("/api/v1/cases").await.status, 503, "a list is batch");
    lawyer.get(&case).await.expect(200);
    let more = take(&fixture, Class::Emergency, 6).await;
    lawyer.get(&case).await.expect(503);
    lawyer.post("/api/v1/ai/analyze", &json!({ "text": "I am evicted tomorrow." })).await.expect(200);
    fixture.ask(http::Request::get("/health"), "").await.expect(200);
    fixture.ask(http::Request::get("/health/live"), "").await.expect(200);
    drop((half, more));
    fixture.ask(document(), "").await.expect(200);
}

#[tokio::test]
async fn the_word_of_who_takes_calls_is_believed_within_a_budget_and_nobody_elses() {
    let fixture = Fixture::start(|config| {
        without_queues(config);
        config.rate.emergency.requests = 2;
    })
    .await;
    let lawyer = fixture.lawyer().await;
    let _others = take(&fixture, Class::Emergency, 15).await;
    let marked = || lawyer.request("GET", "/api/v1/cases").header("x-emergency", "true");
    lawyer.get("/api/v1/cases").await.expect(503);
    fixture.ask(marked(), "").await.expect(200);
    fixture.ask(marked(), "").await.expect(200);
    fixture.ask(marked(), "").await.expect(503);
    fixture.ask(document().header("x-emergency", "true"), "").await.expect(503);
}

#[tokio::test]
async fn what_is_asked_about_an_emergency_goes_first() {
    let fixture = Fixture::start(without_queues).await;
    let lawyer = fixture.lawyer().await;
    let (pressing, other) = (opened(&lawyer, "emergency").await, opened(&lawyer, "urgent").await);
    let _others = take(&fixture, Class::Emergency, 15).await;
    lawyer.get(&format!("/api/v1/cases/{other}")).await.expect(503);
    let case = lawyer.get(&format!("/api/v1/cases/{pressing}")).await.expect(200);
    let number = case.json()["caseNumber"].as_str().unwrap().to_owned();
    lawyer.get(&format!("/api/v1/cases/{number}")).await.expect(200);
    // A stranger who knows the number does not come first by it.
    fixture.ask(json_request("GET", &format!("/api/v1/cases/{number}")), "").await.expect(401);
}

#[tokio::test]
async fn who_waits_goes_on_when_a_place_is_free() {
    let fixture = Fixture::start(|config| config.limits.requests_in_flight_max = 1).await;
    let place = take(&fixture, Class::Batch, 1).await;
    let waiting = fixture.ask(document(), "");
    let free = async {
        while fixture.app.admission.line.lock().waiting(Class::Batch) == 0 {
            tokio::task::yield_now().await;
        }
        drop(place);
    };
    let (answer, ()) = tokio::join!(waiting, free);
    answer.expect(200);
    assert_eq!(fixture.app.admission.line.lock().working(), 0);
}

#[tokio::test]
async fn who_waited_too_long_or_left_is_not_in_the_line_any_more() {
    let fixture = Fixture::start(|config| {
        config.limits.requests_in_flight_max = 1;
        config.admission.batch = Queue { waiting_max: 10, wait_ms_max: 1 };
    })
    .await;
    let place = take(&fixture, Class::Batch, 1).await;
    let late = fixture.ask(document(), "").await.expect(503);
    assert!(late.json()["detail"].as_str().unwrap().contains("waited too long"));
    let admission = &fixture.app.admission;
    let hangs_up = tokio::time::timeout(Duration::ZERO, admission.admit(Class::LiveCall, 0, Instant::now()));
    assert!(hangs_up.await.is_err());
    assert!(!admission.line.lock().anybody_waits());
    drop(place);
    fixture.ask(document(), "").await.expect(200);
    assert_eq!(admission.line.lock().working(), 0);
}

/// A body whose end never comes.
struct Endless;

impl hyper::body::Body for Endless {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Pending
    }
}

#[tokio::test]
async fn who_sends_slowly_holds_no_place() {
    let fixture = Fixture::start(|config| config.limits.requests_in_flight_max = 1).await;
    let slow = fixture.ask(json_request("POST", "/api/v1/auth/login"), Body::new(Endless));
    let quick = async {
        while fixture.app.admission.line.lock().resting() == 0 {
            tokio::task::yield_now().await;
        }
        fixture.ask(document(), "").await
    };
    tokio::select! {
        _ = slow => panic!("nobody sent that body"),
        answer = quick => drop(answer.expect(200)),
    }
}
