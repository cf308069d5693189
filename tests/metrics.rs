//! One merged `/metrics`: well-formed, and counters never go back when a worker dies.
use std::io::Write;
use std::process::{Command, Stdio};

use crate::assert_eventually;
use crate::support::{Hotline, Role, repository};

#[test]
fn promtool_accepts_the_merged_page() {
    let promtool = repository().join("target/tools/promtool");
    assert!(promtool.exists(), "promtool is missing: run `make tools`");
    let hotline = Hotline::start("");
    let lawyer = hotline.admin();
    lawyer.get("/api/v1/cases").expect(200);
    let text = hotline.metrics_text();
    let mut check =
        Command::new(promtool).args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    check.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = check.wait_with_output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && complaints.is_empty(), "{complaints}\n{text}");
}

#[test]
fn counters_survive_the_death_of_a_worker() {
    let hotline = Hotline::start("[workers]\napi = 1\n");
    let client = hotline.client();
    (0..10).for_each(|_| drop(client.get("/health").expect(200)));
    let before = hotline.metric("hotline_http_requests_total", &["slot=\"api-0\""]);
    assert!(before >= 10.0, "{before}");
    let former = hotline.kill(Role::Api, 0);
    hotline.wait_for_successor(Role::Api, 0, former);
    (0..5).for_each(|_| drop(client.get("/health").expect(200)));
    let after = hotline.metric("hotline_http_requests_total", &["slot=\"api-0\""]);
    assert!(after >= before + 5.0, "{before} then {after}");
    assert_eq!(hotline.metric("hotline_worker_up", &["slot=\"api-0\""]), 1.0);
}

#[test]
fn the_phases_of_a_request_and_the_busy_share_of_its_worker_are_told() {
    let hotline = Hotline::start("[workers]\napi = 1\n");
    let lawyer = hotline.admin();
    let before = hotline.metric("hotline_accepts_total", &["slot=\"api-0\""]);
    // Every request of its own connection; the phases of one in eight are timed.
    (0..16).for_each(|_| drop(lawyer.get("/api/v1/cases").expect(200)));
    for phase in ["accept", "handshake", "gate", "queue", "handler", "audit", "write"] {
        let label = format!("phase=\"{phase}\"");
        let timed = || hotline.metric("hotline_http_phase_seconds_count", &[&label]);
        let least = if matches!(phase, "accept" | "handshake") { 16.0 } else { 2.0 };
        assert_eventually!(timed() >= least);
    }
    assert!(hotline.metric("hotline_accepts_total", &["slot=\"api-0\""]) >= before + 16.0);
    assert_eventually!({
        let busy = hotline.metric("hotline_worker_busy_ratio", &["slot=\"api-0\""]);
        busy > 0.0 && busy < 1.0
    });
}
