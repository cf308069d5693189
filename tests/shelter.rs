//! No caller waits behind a closed door: a slot that is away has its queue served by a sibling.
use crate::support::{Hotline, Role, signal, until};

fn listens_to(hotline: &Hotline, slot: &str) -> Vec<u64> {
    let workers = hotline.status()["workers"].as_array().unwrap().clone();
    let worker = workers.iter().find(|worker| worker["slot"] == slot).unwrap().clone();
    worker["listensTo"].as_array().unwrap().iter().filter_map(serde_json::Value::as_u64).collect()
}

#[test]
fn a_stopped_worker_is_stood_in_for_and_comes_back() {
    let hotline = Hotline::start("[workers]\napi = 2\nheartbeat_late_ms = 600000");
    let client = hotline.client();
    let stopped = hotline.pid(Role::Api, 1);
    signal(stopped, "STOP");
    // Each goes to either queue by chance; all forty to the living one: once in 10^12 runs.
    for _ in 0..40 {
        client.get("/health").expect(200);
    }
    assert_eq!(listens_to(&hotline, "api-0"), [0, 1]);
    signal(stopped, "CONT");
    until("everybody is back at their own door", || listens_to(&hotline, "api-0") == [0]);
    assert_eq!(hotline.pid(Role::Api, 1), stopped);
    assert!(hotline.metric("hotline_listeners_sheltered_total", &[]) >= 1.0);
}

#[test]
fn a_hanging_worker_is_ended_and_nobody_is_kept_waiting_for_its_successor() {
    let hotline = Hotline::start("[workers]\napi = 2\nheartbeat_late_ms = 2000");
    let client = hotline.client();
    let stopped = hotline.pid(Role::Api, 0);
    signal(stopped, "STOP");
    for _ in 0..40 {
        client.get("/health").expect(200);
    }
    hotline.wait_for_successor(Role::Api, 0, stopped);
    until("the successor has its own door", || listens_to(&hotline, "api-1") == [1]);
    assert!(hotline.metric("hotline_worker_restarts_total", &["slot=\"api-0\"", "SIG"]) >= 1.0);
}

#[test]
fn a_worker_has_the_supervisors_listeners_and_no_other_descriptors_of_its_own_making() {
    use std::os::unix::fs::MetadataExt;
    let hotline = Hotline::start("[workers]\napi = 2");
    let inode = |pid: i32, fd: u32| std::fs::metadata(format!("/proc/{pid}/fd/{fd}")).unwrap().ino();
    let workers = [0, 1].map(|index| hotline.pid(Role::Api, index));
    let listeners = [5, 6].map(|fd| inode(workers[0], fd));
    assert_ne!(listeners[0], listeners[1]);
    assert_eq!(listeners, [5, 6].map(|fd| inode(workers[1], fd)), "slot i has socket i, whoever looks");
    let killed = hotline.kill(Role::Api, 0);
    hotline.wait_for_successor(Role::Api, 0, killed);
    assert_eq!(listeners, [5, 6].map(|fd| inode(hotline.pid(Role::Api, 0), fd)), "and whoever lives there");
}
