//! One page from many processes: families side by side, a `slot` label on every sample.
//!
//! Counters and histograms of a slot are the sum over all workers that ever lived in it, so they never
//! go back when one dies. Gauges are the living workers': while one follows another, what they hold
//! (connections, requests in flight) is added; what they both look at (`names::STATES`) is the newest's.
use std::collections::BTreeMap;
use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::names::STATES;
use super::snapshot::{Family, Sample, Snapshot};

/// What every slot counts, over the lives of its workers.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Merged {
    /// What earlier images of the supervisor counted.
    own_past: Snapshot,
    slots: BTreeMap<String, SlotMetrics>,
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct SlotMetrics {
    /// Sums of the dead.
    past: Snapshot,
    /// The newest snapshot of each living worker, by generation.
    present: BTreeMap<u32, Snapshot>,
}

impl Merged {
    /// Replaces what is known of a living worker.
    pub fn update(&mut self, slot: &str, generation: u32, snapshot: Snapshot) {
        self.slots.entry(slot.to_owned()).or_default().present.insert(generation, snapshot);
    }

    /// A worker died: its counters stay, its gauges go.
    pub fn retire(&mut self, slot: &str, generation: u32) {
        if let Some(metrics) = self.slots.get_mut(slot)
            && let Some(mut last) = metrics.present.remove(&generation)
        {
            last.families.retain(|_, family| family.kind.is_cumulative());
            add(&mut metrics.past, &last);
        }
    }

    /// This image of the supervisor ends: what it counted goes on in the next.
    pub fn retire_own(&mut self, mut own: Snapshot) {
        own.families.retain(|_, family| family.kind.is_cumulative());
        add(&mut self.own_past, &own);
    }

    /// The Prometheus text of everything, with `own` (the supervisor's, unlabelled) first.
    pub fn render(&self, own: &Snapshot) -> String {
        let mut families: BTreeMap<String, Vec<(&str, Family)>> = BTreeMap::new();
        let mut all_own = self.own_past.clone();
        add(&mut all_own, own);
        for (name, family) in all_own.families {
            families.entry(name).or_default().push(("", family));
        }
        for (slot, metrics) in &self.slots {
            let mut sum = metrics.past.clone();
            for present in metrics.present.values() {
                sum.families.retain(|name, _| !STATES.contains(&name.as_str()) || !present.families.contains_key(name));
                add(&mut sum, present);
            }
            for (name, family) in sum.families {
                families.entry(name).or_default().push((slot, family));
            }
        }
        let mut page = String::with_capacity(1 << 16);
        for (name, parts) in families {
            render_family(&mut page, &name, &parts);
        }
        page
    }
}

/// Adds samples of the same name and labels; takes over those that are new.
fn add(to: &mut Snapshot, from: &Snapshot) {
    for (name, family) in &from.families {
        let Some(known) = to.families.get_mut(name) else {
            to.families.insert(name.clone(), family.clone());
            continue;
        };
        for sample in &family.samples {
            match known.samples.iter_mut().find(|s| s.name == sample.name && s.labels == sample.labels) {
                Some(same) => same.value += sample.value,
                None => known.samples.push(sample.clone()),
            }
        }
    }
}

fn render_family(page: &mut String, name: &str, parts: &[(&str, Family)]) {
    let Some((_, first)) = parts.first() else { return };
    let help = parts.iter().map(|(_, family)| family.help.as_str()).find(|help| !help.is_empty());
    // Writing to a String cannot fail.
    let _ = writeln!(page, "# HELP {name} {}", help.unwrap_or("Not described."));
    let _ = writeln!(page, "# TYPE {name} {}", first.kind.word());
    for (slot, family) in parts {
        for Sample { name, labels, value } in &family.samples {
            let labels = match (*slot, labels.as_str()) {
                ("", "") => String::new(),
                ("", own) => format!("{{{own}}}"),
                (slot, "") => format!("{{slot=\"{slot}\"}}"),
                (slot, own) => format!("{{slot=\"{slot}\",{own}}}"),
            };
            let _ = writeln!(page, "{name}{labels} {value}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(requests: u64, open: u64) -> Snapshot {
        Snapshot::parse(&format!(
            "# HELP r_total R.\n# TYPE r_total counter\nr_total{{status=\"200\"}} {requests}\n\
             # TYPE open gauge\nopen {open}\n# TYPE t histogram\nt_bucket{{le=\"+Inf\"}} {requests}\n\
             t_sum {requests}\nt_count {requests}\n"
        ))
    }

    #[test]
    fn counters_outlive_a_worker_and_gauges_do_not() {
        let mut merged = Merged::default();
        merged.update("api-0", 1, snapshot(5, 3));
        merged.retire("api-0", 1);
        let page = merged.render(&Snapshot::default());
        assert!(page.contains("r_total{slot=\"api-0\",status=\"200\"} 5"), "{page}");
        assert!(!page.contains("open{"), "{page}");
        merged.update("api-0", 1, snapshot(2, 1));
        let page = merged.render(&Snapshot::default());
        assert!(page.contains("r_total{slot=\"api-0\",status=\"200\"} 7"), "{page}");
        assert!(page.contains("t_count{slot=\"api-0\"} 7"), "{page}");
        assert!(page.contains("open{slot=\"api-0\"} 1"), "{page}");
    }

    #[test]
    fn while_one_follows_another_holdings_are_added_and_states_are_the_newest() {
        let state = |value| Snapshot::parse(&format!("# TYPE {0} gauge\n{0} {value}\n", STATES[0]));
        let mut merged = Merged::default();
        for (generation, open) in [(1, 3), (2, 4)] {
            let mut both = snapshot(1, open);
            both.families.extend(state(generation * 10).families);
            merged.update("api-0", generation, both);
        }
        let page = merged.render(&Snapshot::default());
        assert!(page.contains("open{slot=\"api-0\"} 7"), "{page}");
        assert!(page.contains(&format!("{}{{slot=\"api-0\"}} 20", STATES[0])), "{page}");
    }

    #[test]
    fn what_an_earlier_image_counted_still_counts() {
        let mut merged = Merged::default();
        merged.update("api-0", 1, snapshot(2, 1));
        merged.retire_own(snapshot(5, 3));
        let json = serde_json::to_string(&merged).unwrap();
        let next: Merged = serde_json::from_str(&json).unwrap();
        let page = next.render(&snapshot(1, 4));
        assert!(page.contains("r_total{status=\"200\"} 6\n") && page.contains("open 4\n"), "{page}");
        assert!(page.contains("r_total{slot=\"api-0\",status=\"200\"} 2\n"), "{page}");
    }

    #[test]
    fn a_family_is_written_once_for_all_slots() {
        let mut merged = Merged::default();
        merged.update("api-0", 1, snapshot(1, 1));
        merged.update("api-1", 1, snapshot(1, 1));
        let page = merged.render(&snapshot(9, 9));
        assert_eq!(page.matches("# TYPE r_total counter").count(), 1);
        assert!(page.contains("r_total{status=\"200\"} 9"), "{page}");
    }
}
