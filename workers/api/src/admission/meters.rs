//! What admission counts. Handles are made once; the gauges of the line's state move with the tick.
use std::time::Duration;

use hotline::telemetry::names;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use super::Refused;
use super::class::{CLASSES, Class};

pub(super) struct Meters {
    admitted: [Counter; CLASSES],
    waiting: [Gauge; CLASSES],
    wait_seconds: [Histogram; CLASSES],
    full: [Counter; CLASSES],
    late: [Counter; CLASSES],
    limit: Gauge,
    working: Gauge,
    resting: Gauge,
}

impl Meters {
    pub(super) fn new() -> Self {
        let refused = |class: Class, reason: &'static str| counter!(names::ADMISSION_REFUSED, "class" => class.name(), "reason" => reason);
        Self {
            admitted: Class::ALL.map(|class| counter!(names::ADMISSION_ADMITTED, "class" => class.name())),
            waiting: Class::ALL.map(|class| gauge!(names::ADMISSION_WAITING, "class" => class.name())),
            wait_seconds: Class::ALL.map(|class| histogram!(names::ADMISSION_WAIT_SECONDS, "class" => class.name())),
            full: Class::ALL.map(|class| refused(class, "full")),
            late: Class::ALL.map(|class| refused(class, "late")),
            limit: gauge!(names::ADMISSION_LIMIT),
            working: gauge!(names::ADMISSION_WORKING),
            resting: gauge!(names::ADMISSION_RESTING),
        }
    }

    pub(super) fn admitted(&self, class: Class) {
        self.admitted[class as usize].increment(1);
    }

    pub(super) fn begins_to_wait(&self, class: Class) {
        self.waiting[class as usize].increment(1.0);
    }

    pub(super) fn ends_to_wait(&self, class: Class) {
        self.waiting[class as usize].decrement(1.0);
    }

    pub(super) fn waited(&self, class: Class, wait: Duration) {
        self.wait_seconds[class as usize].record(wait.as_secs_f64());
    }

    pub(super) fn refused(&self, class: Class, refused: Refused) {
        let counters = match refused {
            Refused::Full => &self.full,
            Refused::Late => &self.late,
        };
        counters[class as usize].increment(1);
    }

    pub(super) fn state(&self, limit: u32, working: u32, resting: u32) {
        self.limit.set(f64::from(limit));
        self.working.set(f64::from(working));
        self.resting.set(f64::from(resting));
    }
}
