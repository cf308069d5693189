//! Which calls and cases are emergencies, as our own triage said: what is asked about them goes first.
//!
//! Every worker hears of them through live events; nothing is looked up for it. The newest few thousand
//! are remembered, as hashes of their ids. A worker that started later does not know older ones, which then
//! come in their ordinary class.
use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};

use hotline::wire::LiveEvent;
use http::HeaderName;
use parking_lot::Mutex;
use serde::Deserialize;

/// The calls and cases that press most.
#[derive(Default)]
pub(crate) struct Emergencies {
    known: Mutex<Known>,
    /// Nearly always 0, and then nothing is hashed.
    count: AtomicUsize,
    hasher: RandomState,
}

#[derive(Default)]
struct Known {
    set: HashSet<u64>,
    /// Oldest first; may name some that are no longer in the set.
    order: VecDeque<u64>,
}

/// What matters here of an event about a call or a case.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    urgency: Option<&'a str>,
    case_id: Option<&'a str>,
    case_number: Option<&'a str>,
    call_id: Option<&'a str>,
}

impl Emergencies {
    /// Is the last segment of this path one of them?
    pub(crate) fn concern(&self, path: &str) -> bool {
        if self.count.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let id = path.rsplit('/').next().unwrap_or_default();
        self.known.lock().set.contains(&self.hash(id))
    }

    /// Learns from an event; one that says nothing about urgency changes nothing.
    pub(crate) fn hear(&self, event: &LiveEvent) {
        if !event.payload.contains("\"urgency\"") {
            return;
        }
        let Ok(told) = serde_json::from_str::<Told<'_>>(&event.payload) else { return };
        let mut known = self.known.lock();
        for id in [told.case_id, told.case_number, told.call_id].into_iter().flatten() {
            let hash = self.hash(id);
            if told.urgency != Some("emergency") {
                known.set.remove(&hash);
            } else if known.set.insert(hash) {
                known.order.push_back(hash);
            }
        }
        while known.order.len() > KNOWN_MAX {
            if let Some(oldest) = known.order.pop_front() {
                known.set.remove(&oldest);
            }
        }
        self.count.store(known.set.len(), Ordering::Relaxed);
    }

    fn hash(&self, id: &str) -> u64 {
        self.hasher.hash_one(id)
    }
}

/// Somebody who takes calls says that this is about a person in danger.
pub(crate) static X_EMERGENCY: HeaderName = HeaderName::from_static("x-emergency");

/// An id and a number for each of two thousand cases.
const KNOWN_MAX: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    fn event(payload: &str) -> LiveEvent {
        LiveEvent { topic: "cases".to_owned(), payload: payload.to_owned() }
    }

    #[test]
    fn what_triage_found_is_known_until_somebody_says_otherwise() {
        let emergencies = Emergencies::default();
        assert!(!emergencies.concern("/api/v1/cases/c-1"));
        emergencies.hear(&event(r#"{"caseId":"c-1","caseNumber":"2024-7","urgency":"emergency","version":1}"#));
        emergencies.hear(&event(r#"{"caseId":"c-2","urgency":"urgent"}"#));
        assert!(emergencies.concern("/api/v1/cases/c-1"));
        assert!(emergencies.concern("/api/v1/cases/2024-7"));
        assert!(!emergencies.concern("/api/v1/cases/c-2"));
        emergencies.hear(&event(r#"{"caseId":"c-1","version":2}"#));
        assert!(emergencies.concern("/api/v1/cases/c-1"), "nothing was said about its urgency");
        emergencies.hear(&event(r#"{"caseId":"c-1","caseNumber":"2024-7","urgency":"routine"}"#));
        assert!(!emergencies.concern("/api/v1/cases/c-1"));
        assert!(!emergencies.concern("/api/v1/cases/2024-7"));
    }

    #[test]
    fn only_so_many_are_remembered() {
        let emergencies = Emergencies::default();
        for n in 0..KNOWN_MAX + 1 {
            emergencies.hear(&event(&format!(r#"{{"callId":"k-{n}","urgency":"emergency"}}"#)));
        }
        assert!(!emergencies.concern("/api/v1/voice/status/k-0"));
        assert!(emergencies.concern(&format!("/api/v1/voice/status/k-{KNOWN_MAX}")));
        assert_eq!(emergencies.known.lock().set.len(), KNOWN_MAX);
    }
}
