//! Every write that was tried: its key, its title, and what the service said to it.
use std::sync::Mutex;

use super::chance::Chance;
use crate::support::Request;

/// All writes of a storm, in the order in which they were begun.
pub(super) struct Book {
    seed: u64,
    writes: Mutex<Vec<Write>>,
}

#[derive(Clone)]
pub(super) struct Write {
    pub(super) key: String,
    /// No other write has it.
    pub(super) title: String,
    /// Where the service said it is; `None` as long as nothing was acknowledged.
    pub(super) location: Option<String>,
}

impl Book {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, writes: Mutex::default() }
    }

    /// A further write, not yet sent.
    pub(super) fn begin(&self) -> (usize, Write) {
        let mut writes = self.writes.lock().unwrap();
        let number = writes.len();
        let name = format!("storm {} case {number}", self.seed);
        writes.push(Write { key: name.replace(' ', "-"), title: name, location: None });
        (number, writes[number].clone())
    }

    pub(super) fn acknowledge(&self, number: usize, location: &str) {
        self.writes.lock().unwrap()[number].location = Some(location.to_owned());
    }

    /// Some acknowledged write's location.
    pub(super) fn one_of(&self, chance: &mut Chance) -> Option<String> {
        chance.one_of(&self.writes.lock().unwrap())?.location.clone()
    }

    pub(super) fn writes(&self) -> Vec<Write> {
        self.writes.lock().unwrap().clone()
    }
}

impl Write {
    pub(super) fn request(&self) -> Request {
        let body = serde_json::json!({
            "title": self.title,
            "callerName": "Ana Ruiz",
            "contact": { "phone": "+1 555 0142" },
            "narrative": "The landlord kept the deposit and does not answer.",
            "jurisdiction": "US-CA",
        });
        Request::new("POST", "/api/v1/cases").header("Idempotency-Key", &self.key).json(&body)
    }
}
