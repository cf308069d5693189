//! What a storm did: a table to read, a line of JSON to keep, and the promises that were broken.
use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use super::outcome::{CLASSES, Class, Tally, WAYS, Way};
use super::plan::Plan;
use super::reckoning::Reckoning;
use super::watch::Return;

pub struct Report {
    pub plan: Plan,
    pub outcomes: Tally,
    pub reckoning: Reckoning,
    pub returns: Vec<Return>,
}

impl Report {
    /// Each broken promise in words; none if the service kept them all. No time is a promise.
    pub fn broken_promises(&self) -> Vec<String> {
        let mut broken = Vec::new();
        for class in [Class::Refused, Class::Dropped, Class::Cut, Class::Late, Class::Wrong] {
            let count = self.outcomes.of(class);
            if count > 0 {
                broken.push(format!("{count} requests: {}", meaning(class)));
            }
        }
        broken.extend(self.outcomes.wrong.iter().map(|said| format!("  such as {said}")));
        let found = &self.reckoning;
        broken.extend(found.lost.iter().map(|title| format!("acknowledged and lost: {title}")));
        broken.extend(found.doubled.iter().map(|title| format!("there more than once: {title}")));
        broken.extend(found.refused.iter().map(|said| format!("a change that did not go through: {said}")));
        broken.extend(found.audit.as_ref().err().map(|why| format!("the audit log does not verify: {why}")));
        broken
    }

    /// All figures in one line.
    pub fn json(&self) -> Value {
        let by_way = |class: Class| {
            let count = |way: Way| self.outcomes.counts.get(&(class, way)).copied().unwrap_or(0);
            json!({ "new": count(Way::New), "kept": count(Way::Kept), "h2": count(Way::Multiplexed) })
        };
        let requests: serde_json::Map<String, Value> =
            CLASSES.iter().map(|class| (key(*class).to_owned(), by_way(*class))).collect();
        let away: serde_json::Map<String, Value> = ROLES
            .iter()
            .map(|role| {
                (role.to_string(), json!({ "accept": self.accept(role).json(), "serving": self.serving(role).json() }))
            })
            .collect();
        json!({
            "build": if cfg!(debug_assertions) { "debug" } else { "release" },
            "seed": self.plan.seed,
            "kills": self.plan.kills,
            "reloads": self.plan.reloads,
            "upgrades": self.plan.upgrades,
            "supervisorKills": self.plan.supervisor_kills,
            "requests": requests,
            "acknowledgedWrites": self.reckoning.acknowledged,
            "completedWrites": self.reckoning.completed,
            "lostWrites": self.reckoning.lost.len(),
            "doubledWrites": self.reckoning.doubled.len(),
            "auditRecords": self.reckoning.audit.as_ref().ok(),
            "awayMs": away,
            "broken": self.broken_promises(),
        })
    }

    fn accept(&self, role: &str) -> Spread {
        Spread::of(self.returns.iter().filter(|back| back.role == role).filter_map(|back| back.accept))
    }

    fn serving(&self, role: &str) -> Spread {
        Spread::of(self.returns.iter().filter(|back| back.role == role).map(|back| back.serving))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { seed, kills, reloads, supervisor_kills, .. } = &self.plan;
        let upgrades = self.plan.upgrades;
        writeln!(
            f,
            "seed {seed}: {kills} kills of workers, {reloads} reloads, {upgrades} upgrades, {supervisor_kills} kills of the supervisor"
        )?;
        writeln!(f, "\n{:<52} {:>9} {:>9} {:>9}", "requests", "new", "kept", "h2")?;
        for class in CLASSES {
            let count = |way| self.outcomes.counts.get(&(class, way)).copied().unwrap_or(0);
            let [new, kept, h2] = WAYS.map(count);
            writeln!(f, "{:<52} {new:>9} {kept:>9} {h2:>9}", meaning(class))?;
        }
        let found = &self.reckoning;
        writeln!(
            f,
            "\nwrites: {} acknowledged, {} completed with their own key afterwards, {} lost, {} doubled",
            found.acknowledged,
            found.completed,
            found.lost.len(),
            found.doubled.len()
        )?;
        match &found.audit {
            Ok(records) => writeln!(f, "audit log: verifies, {records} records")?,
            Err(why) => writeln!(f, "audit log: {why}")?,
        }
        writeln!(
            f,
            "\n{:<52} {:>9} {:>9} {:>9}",
            "ms from the signal (median, max, of how many)", "median", "max", "of"
        )?;
        for role in ROLES {
            for (what, spread) in [("accepts again", self.accept(role)), ("serves again", self.serving(role))] {
                if let Some((median, max)) = spread.median_and_max_ms() {
                    writeln!(f, "{:<52} {median:>9.1} {max:>9.1} {:>9}", format!("{role} {what}"), spread.0.len())?;
                }
            }
        }
        self.broken_promises().iter().try_for_each(|broken| writeln!(f, "BROKEN: {broken}"))
    }
}

/// Times in ascending order.
struct Spread(Vec<Duration>);

impl Spread {
    fn of(times: impl Iterator<Item = Duration>) -> Self {
        let mut times: Vec<Duration> = times.collect();
        times.sort();
        Self(times)
    }

    fn median_and_max_ms(&self) -> Option<(f64, f64)> {
        let ms = |time: &Duration| time.as_secs_f64() * 1e3;
        Some((ms(self.0.get(self.0.len() / 2)?), ms(self.0.last()?)))
    }

    fn json(&self) -> Value {
        self.median_and_max_ms()
            .map_or(Value::Null, |(median, max)| json!({ "median": median, "max": max, "of": self.0.len() }))
    }
}

fn meaning(class: Class) -> &'static str {
    match class {
        Class::Answered => "answered",
        Class::Shed => "shed: 503, come back later",
        Class::LostInFlight => "lost in flight: their worker was killed",
        Class::ClosedUnread => "kept connection closed before they were read",
        Class::Refused => "connection refused",
        Class::Dropped => "new connection dropped though nobody was killed",
        Class::Cut => "answer cut short though nobody was killed",
        Class::Late => "no answer in a minute",
        Class::Wrong => "a status they cannot have",
    }
}

fn key(class: Class) -> &'static str {
    match class {
        Class::Answered => "answered",
        Class::Shed => "shed",
        Class::LostInFlight => "lostInFlight",
        Class::ClosedUnread => "closedUnread",
        Class::Refused => "refused",
        Class::Dropped => "dropped",
        Class::Cut => "cut",
        Class::Late => "late",
        Class::Wrong => "wrong",
    }
}

const ROLES: [&str; 4] = ["api", "scribe", "background", "supervisor"];
