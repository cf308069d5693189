//! How far each source has come: what is sent twice is written once.
use std::collections::{BTreeMap, VecDeque};

pub(super) struct Sources {
    /// What all sources of this start of the service have in common.
    boot: String,
    numbers: BTreeMap<String, u64>,
    /// Sources in the order in which they first came.
    order: VecDeque<String>,
}

impl Sources {
    /// Keeps only sources of the same start of the service as `own_source`: the others are gone for good.
    pub(super) fn of_boot(own_source: &str) -> Self {
        Self { boot: boot(own_source).to_owned(), numbers: BTreeMap::new(), order: VecDeque::new() }
    }

    pub(super) fn number(&self, source: &str) -> u64 {
        self.numbers.get(source).copied().unwrap_or(0)
    }

    pub(super) fn advance(&mut self, source: String, number: u64) {
        if boot(&source) != self.boot {
            return;
        }
        match self.numbers.get_mut(&source) {
            Some(known) => *known = number.max(*known),
            None => {
                self.numbers.insert(source.clone(), number);
                self.order.push_back(source);
                if self.order.len() > SOURCES_MAX
                    && let Some(oldest) = self.order.pop_front()
                {
                    self.numbers.remove(&oldest);
                }
            }
        }
    }

    pub(super) fn numbers(&self) -> BTreeMap<String, u64> {
        self.numbers.clone()
    }
}

/// The start of the service in `<slot>@<boot>.<generation>`.
fn boot(source: &str) -> &str {
    let after = source.split_once('@').map_or("", |(_, after)| after);
    after.split_once('.').map_or(after, |(boot, _)| boot)
}

/// Each life of a worker is a source; the lives of a day of crashes fit.
const SOURCES_MAX: usize = 1_024;
