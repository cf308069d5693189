//! A full worker: emergencies and live calls pass, batch is refused with when to come back, health answers.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::assert_eventually;
use crate::cases::new_case;
use crate::support::{Answer, Client, Hotline, Request, Role};

/// One worker with four places, where a list that finds none is refused at once.
const SMALL: &str = r#"
[workers]
api = 1
heartbeat_late_ms = 600000
[limits]
requests_in_flight_max = 4
[admission]
concurrency_min = 4
batch = { waiting_max = 0, wait_ms_max = 1000 }
emergency = { waiting_max = 512, wait_ms_max = 60000 }
live_call = { waiting_max = 512, wait_ms_max = 60000 }
[audit]
wait_ms_max = 60000
"#;

fn list() -> Request {
    Request::new("GET", "/api/v1/cases")
}

fn expect_batch_refusal(answer: Answer) {
    let refused = answer.expect(503);
    assert_eq!(refused.header("Content-Type"), Some("application/problem+json"));
    assert_eq!(refused.header("Retry-After"), Some("10"));
    assert_eq!(refused.json()["code"], "overloaded");
    assert_eq!(refused.json()["class"], "batch");
}

/// Answers that wait for the audit log hold their places while the scribe is stopped.
#[test]
fn what_presses_finds_room_while_lists_are_refused() {
    let hotline = Hotline::start(SMALL);
    let lawyer = hotline.admin();
    lawyer.get("/api/v1/cases").expect(200);
    hotline.pause(Role::Scribe, 0);
    let held: Vec<_> = (0..2)
        .map(|_| {
            let lawyer = lawyer.clone();
            thread::spawn(move || lawyer.send(list()))
        })
        .collect();
    // Two lists are half of the four places: there is no more for batch.
    assert_eventually!(hotline.metric("hotline_admission_working", &["slot=\"api-0\""]) >= 2.0);
    expect_batch_refusal(lawyer.send(list()));
    expect_batch_refusal(hotline.client().get("/api/v1/openapi.json"));
    let forged = Request::new("GET", "/api/v1/openapi.json").header("X-Emergency", "true");
    expect_batch_refusal(hotline.client().send(forged.clone()));
    // A live call (a ticket for live events) and what a lawyer calls an emergency.
    lawyer.post_json("/api/v1/live/ticket", &serde_json::json!({})).expect(200);
    lawyer.send(forged).expect(200);
    for path in ["/health", "/health/live"] {
        hotline.client().get(path).expect(200);
    }
    hotline.resume(Role::Scribe, 0);
    held.into_iter().for_each(|list| drop(list.join().unwrap().expect(200)));
    lawyer.send(list()).expect(200);
    let refused = |labels: &[&str]| hotline.metric("hotline_admission_refused_total", labels);
    assert_eq!(refused(&["class=\"batch\"", "reason=\"full\""]), 3.0);
    assert_eq!(refused(&[]), 3.0, "nobody else was refused");
    let marks = |outcome: &str| hotline.metric("hotline_emergency_marks_total", &[outcome]);
    assert_eq!((marks("believed"), marks("stranger")), (1.0, 1.0));
    assert_eventually!(hotline.metric("hotline_admission_working", &[]) == 0.0);
}

/// Lists from many connections at once, until told to stop.
fn hammer(lawyer: &Client, stop: &AtomicBool, refused: &AtomicU64) {
    while !stop.load(Ordering::Relaxed) {
        let answer = lawyer.send(list());
        match answer.status {
            200 => {}
            _ => {
                expect_batch_refusal(answer);
                refused.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

#[test]
fn under_a_storm_of_lists_every_emergency_and_every_live_call_is_answered() {
    let hotline = Hotline::start(SMALL);
    let lawyer = hotline.admin();
    let mut case = new_case("Ana Ruiz");
    case["urgency"] = "emergency".into();
    let path = lawyer.post_json("/api/v1/cases", &case).expect(201).header("Location").unwrap().to_owned();
    let (stop, refused) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let storm: Vec<_> = (0..16)
        .map(|_| {
            let (lawyer, stop, refused) = (lawyer.clone(), Arc::clone(&stop), Arc::clone(&refused));
            thread::spawn(move || hammer(&lawyer, &stop, &refused))
        })
        .collect();
    assert_eventually!(refused.load(Ordering::Relaxed) > 0);
    for _ in 0..20 {
        lawyer.get(&path).expect(200);
        lawyer.post_json("/api/v1/cases", &new_case("Ben Li")).expect(201);
        hotline.client().get("/health").expect(200);
    }
    stop.store(true, Ordering::Relaxed);
    storm.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(hotline.metric("hotline_admission_admitted_total", &["class=\"emergency\""]) >= 20.0);
    assert!(hotline.metric("hotline_admission_admitted_total", &["class=\"live-call\""]) >= 20.0);
    for class in ["emergency", "live-call", "interactive"] {
        let label = format!("class=\"{class}\"");
        assert_eq!(hotline.metric("hotline_admission_refused_total", &[&label]), 0.0, "{class}");
    }
    assert_eventually!(hotline.metric("hotline_admission_working", &[]) == 0.0);
    assert_eq!(hotline.metric("hotline_admission_waiting", &[]), 0.0);
}

/// Log-ins from many connections at once, with a wrong password; gives the statuses.
fn log_in(hotline: &Hotline, count: usize) -> Vec<Answer> {
    let body = serde_json::json!({ "username": "nobody", "password": "wrong" });
    let threads: Vec<_> = (0..count)
        .map(|_| {
            let (client, body) = (hotline.client(), body.clone());
            thread::spawn(move || client.post_json("/api/v1/auth/login", &body))
        })
        .collect();
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

#[test]
fn a_step_of_log_ins_gets_threads_and_calm_takes_them_back() {
    let hotline =
        Hotline::start("[workers]\napi = 1\n[passwords]\nthreads_max = 3\ngrow_after_ms = 1\nshrink_after_ms = 50\n");
    let threads = || hotline.metric("hotline_pool_threads", &["slot=\"api-0\""]);
    let scaled = |direction: &str| hotline.metric("hotline_pool_scaled_total", &["slot=\"api-0\"", direction]);
    assert_eventually!(threads() == 1.0);
    log_in(&hotline, 12).into_iter().for_each(|answer| drop(answer.expect(401)));
    assert!(scaled("direction=\"up\"") >= 1.0);
    assert_eventually!(threads() == 1.0);
    assert_eq!(scaled("direction=\"up\""), scaled("direction=\"down\""));
}

#[test]
fn log_ins_beyond_the_queue_are_refused_and_nothing_else_is() {
    let hotline = Hotline::start("[workers]\napi = 1\n[passwords]\nthreads_max = 1\nqueue_max = 1\n");
    let lawyer = hotline.admin();
    let mut refused = 0.0;
    assert_eventually!({
        for answer in log_in(&hotline, 12) {
            if answer.status == 401 {
                continue;
            }
            let answer = answer.expect(503);
            assert_eq!(answer.json()["code"], "log-in-busy");
            assert!(answer.header("Retry-After").unwrap().parse::<u64>().unwrap() >= 1);
            refused += 1.0;
        }
        lawyer.get("/api/v1/cases").expect(200);
        refused > 0.0
    });
    assert_eq!(hotline.metric("hotline_pool_refused_total", &["pool=\"password\""]), refused);
}
