//! How busy the event loop is: the share of the time in which the request runtime was not parked.
//!
//! A parked runtime waits in the kernel for something to do. Whatever it does not spend there it spends
//! on requests, so this share tells when a worker is full long before its latency does; the supervisor
//! adds and retires workers by it. Two clock reads for each park, which is a system call anyway.
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Written by the runtime's park hooks, read by the worker's tick; both run on the request thread.
pub(crate) struct Busy {
    started: Instant,
    parked_ns: AtomicU64,
    /// When the present park began; 0 while the runtime runs.
    parked_since_ns: AtomicU64,
    /// Clock and parked time at the last reading.
    read_at_ns: AtomicU64,
    read_parked_ns: AtomicU64,
}

impl Busy {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            started: now,
            parked_ns: AtomicU64::new(0),
            parked_since_ns: AtomicU64::new(0),
            read_at_ns: AtomicU64::new(0),
            read_parked_ns: AtomicU64::new(0),
        }
    }

    pub(crate) fn parks(&self, now: Instant) {
        // Never 0, which says that the runtime runs.
        self.parked_since_ns.store(self.at(now).max(1), Ordering::Relaxed);
    }

    pub(crate) fn unparks(&self, now: Instant) {
        let since_ns = self.parked_since_ns.swap(0, Ordering::Relaxed);
        if since_ns > 0 {
            self.parked_ns.fetch_add(self.at(now).saturating_sub(since_ns), Ordering::Relaxed);
        }
    }

    /// Thousandths of the time since the last reading in which the runtime was at work.
    pub(crate) fn permille(&self, now: Instant) -> u64 {
        let (now_ns, parked_ns) = (self.at(now), self.parked_ns.load(Ordering::Relaxed));
        let passed_ns = now_ns.saturating_sub(self.read_at_ns.swap(now_ns, Ordering::Relaxed));
        let idle_ns = parked_ns.saturating_sub(self.read_parked_ns.swap(parked_ns, Ordering::Relaxed));
        match passed_ns {
            0 => 0,
            _ => 1_000 - (idle_ns.min(passed_ns).saturating_mul(1_000) / passed_ns),
        }
    }

    fn at(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.started).as_nanos()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_share_is_what_was_not_parked_since_the_last_reading() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let busy = Busy::new(start);
        busy.parks(at(100));
        busy.unparks(at(400));
        assert_eq!(busy.permille(at(400)), 250);
        busy.parks(at(500));
        busy.unparks(at(500));
        assert_eq!(busy.permille(at(500)), 1_000, "each reading starts anew");
        assert_eq!(busy.permille(at(500)), 0, "no time, no share");
        busy.unparks(at(900));
        assert_eq!(busy.permille(at(900)), 1_000, "an unpark without its park counts nothing");
    }

    #[test]
    fn a_runtime_that_only_waits_is_parked_and_one_that_only_computes_is_not() {
        let busy = Arc::new(Busy::new(Instant::now()));
        let (parks, unparks) = (Arc::clone(&busy), Arc::clone(&busy));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .on_thread_park(move || parks.parks(Instant::now()))
            .on_thread_unpark(move || unparks.unparks(Instant::now()))
            .build()
            .unwrap();
        runtime.block_on(async {
            busy.permille(Instant::now());
            let wait = async {
                tokio::time::sleep(Duration::from_millis(30)).await;
                busy.permille(Instant::now())
            };
            let waiting = wait.await;
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_millis(5) {
                std::hint::spin_loop();
            }
            let computing = busy.permille(Instant::now());
            assert_eq!(computing, 1_000, "not parked once");
            assert!(waiting < computing, "{waiting}");
        });
    }
}
