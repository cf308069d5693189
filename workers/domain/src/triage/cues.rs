//! Cue phrases: a tiny pattern language over normalised words, compiled once, scanned once a text.
//!
//! `word`, `pre*` (prefix), `a|b` (either), `word?` (may be missing), `#` (any number),
//! `..` (up to three words of the same sentence, none of them a "not"). A match never crosses a
//! sentence end.
use std::collections::HashMap;

use super::negation::is_not;
use super::words::{Words, normalise};

/// A compiled set. Cues are numbered in the order they were added.
#[derive(Default)]
pub(super) struct Cues {
    patterns: Vec<Vec<Part>>,
    by_first: HashMap<String, Vec<usize>>,
    by_prefix: HashMap<String, Vec<usize>>,
    by_number: Vec<usize>,
}

/// Where a cue matched: words `first..past`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) cue: usize,
    pub(super) first: usize,
    pub(super) past: usize,
}

enum Part {
    Gap,
    Number,
    Word { any_of: Vec<Literal>, optional: bool },
}

struct Literal {
    text: String,
    prefix: bool,
}

impl Cues {
    /// Adds a pattern; the error says what is wrong with it.
    pub(super) fn add(&mut self, pattern: &str) -> Result<usize, &'static str> {
        let parts = parse(pattern)?;
        let id = self.patterns.len();
        match parts.first() {
            Some(Part::Number) => self.by_number.push(id),
            Some(Part::Word { any_of, optional: false }) => {
                for literal in any_of {
                    let (map, key) = if literal.prefix {
                        (&mut self.by_prefix, head(&literal.text))
                    } else {
                        (&mut self.by_first, literal.text.as_str())
                    };
                    let ids = map.entry(key.to_owned()).or_default();
                    if ids.last() != Some(&id) {
                        ids.push(id);
                    }
                }
            }
            _ => return Err("a cue starts with a word or #, not with a gap or an optional word"),
        }
        self.patterns.push(parts);
        Ok(id)
    }

    /// All matches in text order, the shortest of each cue at each place. At most `HITS_MAX`.
    pub(super) fn scan(&self, words: &Words<'_>) -> Vec<Hit> {
        let mut hits = Vec::new();
        let none = Vec::new();
        for (first, word) in words.list.iter().enumerate() {
            let exact = self.by_first.get(&word.norm).unwrap_or(&none);
            let prefixed = self.by_prefix.get(head(&word.norm)).unwrap_or(&none);
            let numbers = if word.value.is_some() { &self.by_number } else { &none };
            for cue in exact.iter().chain(prefixed).chain(numbers) {
                let (_, sentence_past) = words.sentence_of(first);
                if let Some(past) = matches(&self.patterns[*cue], words, first, sentence_past) {
                    hits.push(Hit { cue: *cue, first, past });
                }
            }
            if hits.len() >= HITS_MAX {
                hits.truncate(HITS_MAX);
                break;
            }
        }
        hits.dedup();
        hits
    }
}

fn matches(parts: &[Part], words: &Words<'_>, at: usize, limit: usize) -> Option<usize> {
    let Some((part, rest)) = parts.split_first() else { return Some(at) };
    match part {
        Part::Gap => (0..=GAP_WORDS_MAX)
            .take_while(|skip| at + skip < limit && (*skip == 0 || !is_not(words.norm(at + skip - 1))))
            .find_map(|skip| matches(rest, words, at + skip, limit)),
        Part::Number => {
            let number = at < limit && words.list[at].value.is_some();
            number.then(|| matches(rest, words, at + 1, limit)).flatten()
        }
        Part::Word { any_of, optional } => {
            let hit = at < limit && any_of.iter().any(|literal| literal.fits(words.norm(at)));
            hit.then(|| matches(rest, words, at + 1, limit))
                .flatten()
                .or_else(|| optional.then(|| matches(rest, words, at, limit)).flatten())
        }
    }
}

impl Literal {
    fn fits(&self, word: &str) -> bool {
        if self.prefix { word.starts_with(&self.text) } else { word == self.text }
    }
}

fn parse(pattern: &str) -> Result<Vec<Part>, &'static str> {
    let mut parts = Vec::new();
    for piece in pattern.split_whitespace() {
        parts.push(match piece {
            ".." => Part::Gap,
            "#" => Part::Number,
            _ => word_part(piece)?,
        });
    }
    if parts.is_empty() || parts.len() > PARTS_MAX {
        return Err("a cue has between 1 and 12 words");
    }
    if parts.iter().filter(|part| matches!(part, Part::Gap)).count() > GAPS_MAX {
        return Err("a cue has at most three gaps");
    }
    Ok(parts)
}

fn word_part(piece: &str) -> Result<Part, &'static str> {
    let (body, optional) = piece.strip_suffix('?').map_or((piece, false), |body| (body, true));
    let mut any_of = Vec::new();
    for choice in body.split('|') {
        let (text, prefix) = choice.strip_suffix('*').map_or((choice, false), |text| (text, true));
        let text = normalise(text);
        if text.is_empty() || !text.chars().all(char::is_alphanumeric) {
            return Err("a cue word is letters and digits; use | for either, * for a prefix, ? for optional");
        }
        if prefix && text.len() < PREFIX_BYTES_MIN {
            return Err("a prefix has at least three letters");
        }
        any_of.push(Literal { text, prefix });
    }
    Ok(Part::Word { any_of, optional })
}

/// The key prefixes are filed under: the first three bytes, or the whole of anything odd.
fn head(word: &str) -> &str {
    word.get(..PREFIX_BYTES_MIN).unwrap_or(word)
}

const GAP_WORDS_MAX: usize = 3;
const GAPS_MAX: usize = 3;
const PARTS_MAX: usize = 12;
const PREFIX_BYTES_MIN: usize = 3;
const HITS_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pattern: &str, text: &str) -> Option<String> {
        let mut cues = Cues::default();
        cues.add(pattern).unwrap();
        let words = Words::read(text, "en");
        let hit = cues.scan(&words).first().copied()?;
        Some(words.span(hit.first, hit.past).text)
    }

    #[test]
    fn patterns_match_as_documented() {
        let text = "He will change the locks on Friday. I got a three day notice.";
        assert_eq!(found("chang* the|my|our? lock|locks", text).as_deref(), Some("change the locks"));
        assert_eq!(found("will .. locks", text).as_deref(), Some("will change the locks"));
        assert_eq!(found("# day notice", text).as_deref(), Some("three day notice"));
        assert_eq!(found("friday .. got", text), None, "a gap never crosses a sentence");
        assert_eq!(found("lock", text), None, "a word is whole unless starred");
    }

    #[test]
    fn a_bad_pattern_is_refused() {
        for pattern in ["", "..  word", "a*", "wo$rd", "maybe? word", "a .. b .. c .. d .. e"] {
            assert!(Cues::default().add(pattern).is_err(), "{pattern}");
        }
    }
}
