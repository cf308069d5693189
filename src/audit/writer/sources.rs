//! How far each source has come: what is sent twice is written once.
//!
//! Sources of former starts of the service are remembered, too. A worker whose supervisor was killed serves its last
//! requests when the next scribe has the log, and sends it what the former one did not take.
use std::collections::BTreeMap;

#[derive(Default)]
pub(super) struct Sources {
    known: BTreeMap<String, Known>,
    /// Grows with each advance.
    advances: u64,
}

struct Known {
    number: u64,
    advanced: u64,
}

impl Sources {
    pub(super) fn number(&self, source: &str) -> u64 {
        self.known.get(source).map_or(0, |known| known.number)
    }

    pub(super) fn advance(&mut self, source: String, number: u64) {
        self.advances += 1;
        let known = self.known.entry(source).or_insert(Known { number, advanced: 0 });
        *known = Known { number: number.max(known.number), advanced: self.advances };
        if self.known.len() > SOURCES_MAX {
            self.forget_the_most_silent();
        }
    }

    pub(super) fn numbers(&self) -> BTreeMap<String, u64> {
        self.known.iter().map(|(source, known)| (source.clone(), known.number)).collect()
    }

    fn forget_the_most_silent(&mut self) {
        let silent = self.known.iter().min_by_key(|(_, known)| known.advanced);
        if let Some(source) = silent.map(|(source, _)| source.clone()) {
            self.known.remove(&source);
        }
    }
}

/// Each life of a worker is a source; the lives of a day of crashes fit.
const SOURCES_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_never_goes_back() {
        let mut sources = Sources::default();
        for number in [3, 7, 5] {
            sources.advance("api-0@00aa.1".to_owned(), number);
        }
        assert_eq!((sources.number("api-0@00aa.1"), sources.number("api-0@00bb.1")), (7, 0));
    }

    #[test]
    fn who_has_been_silent_longest_is_forgotten_first() {
        let mut sources = Sources::default();
        for life in 1..=SOURCES_MAX {
            sources.advance(format!("api-0@00aa.{life}"), 1);
        }
        sources.advance("api-0@00aa.1".to_owned(), 2);
        sources.advance("api-1@00bb.1".to_owned(), 1);
        assert_eq!(sources.numbers().len(), SOURCES_MAX);
        assert_eq!((sources.number("api-0@00aa.1"), sources.number("api-1@00bb.1")), (2, 1));
        assert_eq!(sources.number("api-0@00aa.2"), 0);
    }
}
