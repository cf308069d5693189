//! Two samples in, one picture out, on a terminal that is only memory.
use std::time::{Duration, Instant};

use hotline::telemetry::Snapshot;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;

use super::figures::{Figures, Latency};
use super::page::Page;
use super::sample::Sample;
use crate::supervisor::protocol::{Status, SupervisorStatus, WorkerStatus};

fn worker(slot: &str, phase: &str, restarts: u64, last_end: &str) -> WorkerStatus {
    WorkerStatus {
        slot: slot.to_owned(),
        role: slot.split('-').next().unwrap().to_owned(),
        pid: (phase != "waiting").then_some(4_711),
        phase: phase.to_owned(),
        generation: restarts as u32 + 1,
        build: String::new(),
        restarts,
        uptime_seconds: if phase == "waiting" { 0 } else { 75 / (restarts + 1) },
        connections: 3,
        requests: 9,
        backlog: 0,
        rss_bytes: 20 << 20,
        degraded: false,
        listens_to: Vec::new(),
        last_end: last_end.to_owned(),
        confinement: None,
    }
}

/// After `requests` requests of 1 to 2 ms each on either of two slots, a tenth of them refused.
fn sample(taken: Instant, pid: u32, requests: u32) -> Sample {
    let refused = requests / 10;
    let fine = requests - refused;
    let slots = ["api-0", "api-1"].map(|slot| {
        format!(
            "hotline_http_requests_total{{slot=\"{slot}\",route=\"/health\",status=\"2xx\"}} {fine}\n\
             hotline_http_requests_total{{slot=\"{slot}\",route=\"/health\",status=\"4xx\"}} {refused}\n"
        )
    });
    let seconds = format!(
        "hotline_http_request_seconds_bucket{{slot=\"api-0\",route=\"/health\",le=\"0.001\"}} 0\n\
         hotline_http_request_seconds_bucket{{slot=\"api-0\",route=\"/health\",le=\"0.002\"}} {requests}\n\
         hotline_http_request_seconds_bucket{{slot=\"api-0\",route=\"/health\",le=\"+Inf\"}} {requests}\n"
    );
    let text = format!(
        "# TYPE hotline_http_requests_total counter\n{}# TYPE hotline_http_request_seconds histogram\n{seconds}\
         # TYPE hotline_jobs gauge\nhotline_jobs{{slot=\"background-0\",state=\"dead\"}} 2\n",
        slots.concat()
    );
    Sample {
        taken,
        status: Status {
            supervisor: SupervisorStatus { pid, version: "0.1.0+test".to_owned(), uptime_seconds: 3_700 },
            address: "127.0.0.1:7000".to_owned(),
            metrics: "127.0.0.1:9464".to_owned(),
            audit: None,
            workers: vec![
                worker("scribe-0", "serving", 0, ""),
                worker("api-0", "serving", 2, "SIGKILL"),
                worker("api-1", "waiting", 1, "Bug"),
            ],
        },
        metrics: Snapshot::parse(&text),
    }
}

fn two_seconds_of_work() -> Figures {
    let start = Instant::now();
    Figures::between(Some(&sample(start, 7, 100)), &sample(start + Duration::from_secs(2), 7, 300))
}

#[test]
fn one_picture_for_a_pipe() {
    let text = Page { figures: &two_seconds_of_work(), trouble: None }.text();
    assert_eq!(text, EXPECTED, "it was:\n{text}");
}

#[test]
fn another_supervisor_counts_from_zero() {
    let start = Instant::now();
    let later = sample(start + Duration::from_secs(2), 8, 300);
    let figures = Figures::between(Some(&sample(start, 7, 100)), &later);
    assert!(figures.rates.iter().all(|(_, rate)| rate.is_none()));
    assert!(figures.latencies.iter().all(|(_, latency)| *latency == Latency::default()));
    assert!(figures.slots.iter().all(|slot| slot.requests_per_second.is_none()));
}

#[test]
fn any_window_is_good_enough_and_trouble_is_said() {
    let figures = two_seconds_of_work();
    let page = Page { figures: &figures, trouble: Some("the service is not running") };
    for (width, height) in [(1, 1), (40, 10), (120, 40), (300, 5)] {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| frame.render_widget(&page, frame.area())).unwrap();
        let top: String = (0..width).map(|x| terminal.backend().buffer()[(x, 0)].symbol().to_owned()).collect();
        assert_eq!(top.contains("not running"), width >= 120, "{top}");
    }
}

#[test]
fn a_phase_has_its_colour() {
    let mut terminal = Terminal::new(TestBackend::new(120, 40)).unwrap();
    let figures = two_seconds_of_work();
    let page = Page { figures: &figures, trouble: None };
    terminal.draw(|frame| frame.render_widget(&page, frame.area())).unwrap();
    let buffer = terminal.backend().buffer();
    let colour_of = |word: &str| {
        let found = (0..buffer.area.height).find_map(|y| {
            let line: String = (0..buffer.area.width).map(|x| buffer[(x, y)].symbol().to_owned()).collect();
            line.find(word).map(|x| (u16::try_from(x).unwrap(), y))
        });
        buffer[found.unwrap()].fg
    };
    assert_eq!((colour_of("serving"), colour_of("waiting")), (Color::Green, Color::Yellow));
    assert_eq!(colour_of("jobs dead"), Color::Red);
}

const EXPECTED: &str = "\
hotline 0.1.0+test  pid 7  up 1h 1m  https://127.0.0.1:7000

EACH SECOND                       LATENCY              p50        p99      p99.9    NOW
answered                 200/s    request          1.50 ms    1.99 ms    2.00 ms    connections                  0
2xx                      180/s    audit wait             -          -          -    websockets                   0
3xx                        0/s    audit commit           -          -          -    requests in flight           0
4xx                       20/s    store commit           -          -          -    audit records sent           0
5xx                        0/s    job                    -          -          -    audit records taken          0
turned away                0/s                                                      store writes                 0
full handshakes            0/s                                                      password hashes              0
resumed handshakes         0/s                                                      jobs ready                   0
failed handshakes          0/s                                                      jobs leased                  0
audit records              0/s                                                      jobs dead                    2

SLOT           PID      PHASE              GEN   UPTIME    CONNS   REQ/S    BACKLOG  MEMORY     RESTARTS  LAST END
scribe-0       4711     serving            1     1m 15s                     0        20.0 MiB   0
api-0          4711     serving            3     25s       3       100      0        20.0 MiB   2         SIGKILL
api-1          -        waiting            2     0s        3       100      0        20.0 MiB   1         Bug

LAST RESTARTS
api-1           not back yet    after Bug; 1 so far
api-0           25s ago         after SIGKILL; 2 so far
";
