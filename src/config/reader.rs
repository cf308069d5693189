//! Reads keys from a table and gathers every mistake instead of stopping at the first.
//!
//! What nobody asked for is unknown, so the parser's own calls are the list of keys.
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use toml::{Table, Value};

use super::mistake::Mistake;
use super::{Budget, Queue, explain};

/// The merged table, where each value came from, and what is wrong so far.
pub(super) struct Reader {
    table: Table,
    /// The place of values that do not come from the file.
    places: BTreeMap<String, String>,
    file: String,
    asked: BTreeSet<String>,
    mistakes: Vec<Mistake>,
}

impl Reader {
    pub(super) fn new(file: String, table: Table, places: BTreeMap<String, String>) -> Self {
        Self { table, places, file, asked: BTreeSet::new(), mistakes: Vec::new() }
    }

    pub(super) fn mistake(&mut self, key: &str, remedy: impl Into<String>) {
        let value = self.find(key).map(shown).unwrap_or_default();
        let place = self.places.get(key).unwrap_or(&self.file).clone();
        self.mistakes.push(Mistake { place, key: key.to_owned(), value, remedy: remedy.into() });
    }

    pub(super) fn text(&mut self, key: &str, default: &str) -> String {
        self.read(key, "a text in quotes", |value| value.as_str().map(str::to_owned)).unwrap_or_else(|| default.into())
    }

    pub(super) fn path(&mut self, key: &str) -> Option<PathBuf> {
        let path = self.read(key, "a path in quotes", |value| value.as_str().map(str::to_owned))?;
        if path.is_empty() {
            return None;
        }
        // Workers and commands run elsewhere: relative paths are from where the service was started.
        Some(std::path::absolute(&path).unwrap_or_else(|_| path.into()))
    }

    pub(super) fn flag(&mut self, key: &str, default: bool) -> bool {
        self.read(key, "true or false", Value::as_bool).unwrap_or(default)
    }

    /// A number within the range.
    pub(super) fn number<T>(&mut self, key: &str, default: T, range: RangeInclusive<T>) -> T
    where
        T: TryFrom<i64> + PartialOrd + Copy + std::fmt::Display,
    {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        let fits = |value: &Value| T::try_from(value.as_integer()?).ok().filter(|number| range.contains(number));
        self.read(key, &expected, fits).unwrap_or(default)
    }

    pub(super) fn address(&mut self, key: &str, default: SocketAddr) -> SocketAddr {
        let expected = "an IP address and a port, for example \"127.0.0.1:7000\" or \"[::]:7000\"";
        self.read(key, expected, |value| value.as_str()?.parse().ok()).unwrap_or(default)
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&mut self, key: &str, default: T, words: &[(&str, T)]) -> T {
        let expected = words.iter().map(|(word, _)| format!("{word:?}")).collect::<Vec<_>>().join(" or ");
        let known =
            |value: &Value| words.iter().find(|(word, _)| value.as_str() == Some(*word)).map(|(_, meaning)| *meaning);
        self.read(key, &expected, known).unwrap_or(default)
    }

    pub(super) fn list(&mut self, key: &str) -> Vec<String> {
        let texts = |value: &Value| value.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect();
        self.read(key, "a list of texts, for example [\"a\", \"b\"]", texts).unwrap_or_default()
    }

    /// `{ requests = 100, window_seconds = 900 }`.
    pub(super) fn budget(&mut self, key: &str, default: Budget) -> Budget {
        let parse = |value: &Value| {
            let table = value.as_table().filter(|table| table.len() == 2)?;
            let part = |name: &str, max: i64| {
                let number = table.get(name)?.as_integer().filter(|number| (1..=max).contains(number))?;
                u32::try_from(number).ok()
            };
            Some(Budget { requests: part("requests", 1_000_000_000)?, window_seconds: part("window_seconds", 86_400)? })
        };
        let expected = "{ requests = 1 or more, window_seconds = 1 to 86400 }";
        let nested: Vec<String> = ["requests", "window_seconds"].map(|part| format!("{key}.{part}")).into();
        self.asked.extend(nested);
        self.read(key, expected, parse).unwrap_or(default)
    }

    /// `{ waiting_max = 512, wait_ms_max = 3000 }`.
    pub(super) fn queue(&mut self, key: &str, default: Queue) -> Queue {
        let parse = |value: &Value| {
            let table = value.as_table().filter(|table| table.len() == 2)?;
            let waiting_max = u32::try_from(table.get("waiting_max")?.as_integer()?).ok()?;
            let wait_ms_max = u64::try_from(table.get("wait_ms_max")?.as_integer()?).ok()?;
            let fits = waiting_max <= 100_000 && (1..=60_000).contains(&wait_ms_max);
            fits.then_some(Queue { waiting_max, wait_ms_max })
        };
        let nested: Vec<String> = ["waiting_max", "wait_ms_max"].map(|part| format!("{key}.{part}")).into();
        self.asked.extend(nested);
        self.read(key, "{ waiting_max = 0 to 100000, wait_ms_max = 1 to 60000 }", parse).unwrap_or(default)
    }

    /// All mistakes, unknown keys among them.
    pub(super) fn finish(mut self) -> Vec<Mistake> {
        let mut present = Vec::new();
        for (section, value) in &self.table {
            match value.as_table() {
                Some(keys) => present.extend(keys.keys().map(|key| format!("{section}.{key}"))),
                None => present.push(section.clone()),
            }
        }
        for key in present {
            if !self.asked.contains(&key) {
                let remedy = explain::unknown_key(&key, &self.asked);
                self.mistake(&key, remedy);
            }
        }
        self.mistakes
    }

    fn read<T>(&mut self, key: &str, expected: &str, parse: impl Fn(&Value) -> Option<T>) -> Option<T> {
        self.asked.insert(key.to_owned());
        let parsed = parse(self.find(key)?);
        if parsed.is_none() {
            self.mistake(key, format!("must be {expected}"));
        }
        parsed
    }

    fn find(&self, key: &str) -> Option<&Value> {
        match key.split_once('.') {
            Some((section, name)) => self.table.get(section)?.get(name),
            None => self.table.get(key),
        }
    }
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

const SHOWN_CHARS_MAX: usize = 120;
