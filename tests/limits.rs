//! Budgets are exact over all workers, refusals say when to come back, and health always answers.
use crate::support::{Hotline, Request};

#[test]
fn the_anonymous_budget_is_shared_by_all_workers_and_exact() {
    let hotline = Hotline::start("[rate]\nanonymous = { requests = 20, window_seconds = 900 }\n");
    let client = hotline.client();
    let statuses: Vec<u16> = (0..30).map(|_| client.get("/api/v1/openapi.json").status).collect();
    assert_eq!(statuses.iter().filter(|status| **status != 429).count(), 20, "{statuses:?}");
    let refused = client.get("/api/v1/openapi.json").expect(429);
    assert_eq!(refused.json()["error"], "Rate limit exceeded");
    let retry: u64 = refused.header("Retry-After").unwrap().parse().unwrap();
    assert!((1..=45).contains(&retry), "{retry}");
    assert_eq!(refused.header("RateLimit-Remaining"), Some("0"));
    client.get("/health").expect(200);
    client.get("/health/ready").expect(200);
    assert!(hotline.metric("hotline_rate_limited_total", &[]) >= 11.0);
}

#[test]
fn a_forwarded_address_from_a_stranger_buys_no_budget() {
    let hotline = Hotline::start("[rate]\nanonymous = { requests = 5, window_seconds = 900 }\n");
    let client = hotline.client();
    let from = |n: u32| {
        let forged = format!("198.51.100.{n}");
        client.send(Request::new("GET", "/api/v1/openapi.json").header("X-Forwarded-For", &forged)).status
    };
    let allowed = (0..10).map(from).filter(|status| *status == 200).count();
    assert_eq!(allowed, 5);
}

#[test]
fn a_budget_outlives_the_worker_that_counted_it() {
    let hotline = Hotline::start("[rate]\nanonymous = { requests = 5, window_seconds = 900 }\n[workers]\napi = 1\n");
    let client = hotline.client();
    (0..5).for_each(|_| drop(client.get("/api/v1/openapi.json").expect(200)));
    let former = hotline.kill(crate::support::Role::Api, 0);
    hotline.wait_for_successor(crate::support::Role::Api, 0, former);
    client.get("/api/v1/openapi.json").expect(429);
}
