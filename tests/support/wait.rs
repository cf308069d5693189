//! Waiting for conditions with one patience for all tests.
use std::time::{Duration, Instant};

/// Tries until the condition holds; panics with its text when patience ends.
#[track_caller]
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience();
    while !condition() {
        assert!(Instant::now() < deadline, "still not true after {:?}: {what}", patience());
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// `HOTLINE_TEST_PATIENCE_MS`, 120 s unless told: long enough for a debug build on a busy machine.
pub fn patience() -> Duration {
    let ms = std::env::var("HOTLINE_TEST_PATIENCE_MS").ok().and_then(|ms| ms.parse().ok());
    Duration::from_millis(ms.unwrap_or(120_000))
}
