//! A worker's metrics as data: what the exporter renders as text, read back into families.
//!
//! The text form is the exporter's stable contract; going through it keeps every worker on the
//! ordinary recorder and leaves merging to the one process that sees them all.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a family's samples mean, and so how they are merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FamilyKind {
    Counter,
    Gauge,
    Histogram,
    Summary,
    Untyped,
}

/// All samples of one metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Family {
    pub kind: FamilyKind,
    pub help: String,
    pub samples: Vec<Sample>,
}

/// One line: the name (with `_bucket`, `_sum`, `_count` of a histogram), its labels as rendered, the value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    pub name: String,
    pub labels: String,
    pub value: f64,
}

/// Everything a process counts at one moment, by family name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    pub families: BTreeMap<String, Family>,
}

impl Snapshot {
    /// Reads the Prometheus text format. Lines it does not understand are left out.
    pub fn parse(text: &str) -> Self {
        let mut snapshot = Self::default();
        let mut current = String::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap_or((rest, ""));
                snapshot.family(name).help = help.to_owned();
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap_or((rest, ""));
                snapshot.family(name).kind = FamilyKind::parse(kind);
                current = name.to_owned();
            } else if let Some(sample) = Sample::parse(line) {
                let family = if belongs(&sample.name, &current) { current.clone() } else { sample.name.clone() };
                snapshot.family(&family).samples.push(sample);
            }
        }
        snapshot.families.retain(|_, family| !family.samples.is_empty());
        snapshot
    }

    fn family(&mut self, name: &str) -> &mut Family {
        self.families.entry(name.to_owned()).or_insert_with(|| Family {
            kind: FamilyKind::Untyped,
            help: String::new(),
            samples: Vec::new(),
        })
    }
}

impl FamilyKind {
    fn parse(word: &str) -> Self {
        match word {
            "counter" => Self::Counter,
            "gauge" => Self::Gauge,
            "histogram" => Self::Histogram,
            "summary" => Self::Summary,
            _ => Self::Untyped,
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
            Self::Untyped => "untyped",
        }
    }

    /// Only grows: what a dead worker counted still counts.
    pub fn is_cumulative(self) -> bool {
        matches!(self, Self::Counter | Self::Histogram)
    }
}

impl Sample {
    fn parse(line: &str) -> Option<Self> {
        if line.is_empty() || line.starts_with('#') {
            return None;
        }
        let (series, value) = line.rsplit_once(' ')?;
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (name, labels.strip_suffix('}')?),
            None => (series, ""),
        };
        Some(Self { name: name.to_owned(), labels: labels.to_owned(), value: value.parse().ok()? })
    }
}

fn belongs(sample: &str, family: &str) -> bool {
    let rest = sample.strip_prefix(family);
    !family.is_empty() && rest.is_some_and(|rest| ["", "_bucket", "_sum", "_count"].contains(&rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rendered_text_is_read_back() {
        let text = "# HELP a_total Things.\n# TYPE a_total counter\na_total{k=\"v w\"} 3\n\n\
                    # TYPE b_seconds histogram\nb_seconds_bucket{le=\"0.1\"} 1\nb_seconds_bucket{le=\"+Inf\"} 2\n\
                    b_seconds_sum 0.5\nb_seconds_count 2\n\ngarbage\n";
        let snapshot = Snapshot::parse(text);
        assert_eq!(snapshot.families.len(), 2);
        let counter = &snapshot.families["a_total"];
        assert_eq!((counter.kind, counter.help.as_str()), (FamilyKind::Counter, "Things."));
        assert_eq!(counter.samples[0].labels, "k=\"v w\"");
        assert_eq!(snapshot.families["b_seconds"].samples.len(), 4);
    }
}
