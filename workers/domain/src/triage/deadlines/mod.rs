//! Deadlines a caller names, as dates with everything that was assumed on the way. Two kinds:
//! points ("court on December third") and periods ("a three day notice last Tuesday"), which
//! need an anchor. Weekend and holiday rules are only noted, never applied: they differ by court.
pub(super) mod calendar;
mod length;
mod names;
mod numeric;
mod period;
mod tense;
mod time;

use std::collections::HashMap;

use jiff::civil::Date;

use self::calendar::{day_off, days_between, spoken};
use self::tense::{Tense, tense_around};
use self::time::{Reading, When, read_at};
use super::cues::{Cues, Hit};
use super::types::{Alternative, Anchor, Deadline, DeadlineKind, Entity, EntityKind};
use super::words::Words;

/// What marks a date as a deadline of some kind; from `deadlines.toml`.
#[derive(Default)]
pub(super) struct DeadlineRules {
    pub(super) cues: Cues,
    /// By cue number.
    pub(super) roles: Vec<Role>,
    pub(super) labels: HashMap<DeadlineKind, String>,
}

/// What a cue says about a date near it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The date is of this kind.
    Kind(DeadlineKind),
    /// The date is of this kind and lies behind: it may have been missed.
    Missed(DeadlineKind),
}

/// Every deadline, earliest safe date first, and every date as an entity.
pub(super) fn find(words: &Words<'_>, rules: &DeadlineRules, today: Date) -> (Vec<Deadline>, Vec<Entity>) {
    let whens = expressions(words, today);
    let hits = rules.cues.scan(words);
    let scene = Scene { words, rules, today, whens: &whens, hits: &hits };
    let (mut deadlines, anchors) = period::find(&scene);
    for (index, when) in whens.iter().enumerate() {
        let taken = anchors.contains(&index)
            || deadlines.iter().any(|known| {
                known.span.start <= words.list[when.first].start && words.list[when.past - 1].end <= known.span.end
            });
        if !taken && deadlines.len() < DEADLINES_MAX {
            deadlines.extend(point(&scene, when));
        }
    }
    deadlines.sort_by_key(|deadline| (deadline.safe_date, deadline.kind, deadline.span.start));
    deadlines.dedup_by(|later, first| later.kind == first.kind && later.date == first.date);
    let dates = whens.iter().map(|when| date_entity(words, when)).collect();
    (deadlines, dates)
}

/// What the parts of the search share.
struct Scene<'s> {
    words: &'s Words<'s>,
    rules: &'s DeadlineRules,
    today: Date,
    whens: &'s [When],
    hits: &'s [Hit],
}

fn expressions(words: &Words<'_>, today: Date) -> Vec<When> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < words.list.len() && found.len() < EXPRESSIONS_MAX {
        let tense = tense_around(words, at, at + 1);
        match read_at(words, at, today, tense) {
            Some(when) => {
                at = when.past.max(at + 1);
                found.push(when);
            }
            None => at += 1,
        }
    }
    found
}

fn date_entity(words: &Words<'_>, when: &When) -> Entity {
    Entity { kind: EntityKind::Date, value: when.readings[0].date.to_string(), span: words.span(when.first, when.past) }
}

/// A named day that something near it makes a deadline.
fn point(scene: &Scene<'_>, when: &When) -> Option<Deadline> {
    let Scene { words, today, .. } = *scene;
    let behind = when.readings.iter().all(|reading| reading.date < today);
    let kind = if behind {
        kind_near(scene, when, true).filter(|_| days_between(when.readings[0].date, today) <= MISSED_DAYS_MAX)?
    } else {
        kind_near(scene, when, false).or_else(|| bounded(words, when.first).then_some(DeadlineKind::Other))?
    };
    let mut readings = when.readings.clone();
    if !behind {
        readings.retain(|reading| reading.date >= today);
    }
    let mut assumption = when.note.map(str::to_owned).unwrap_or_default();
    if behind {
        push_sentence(&mut assumption, "The date lies before the call: find out what happened.");
    }
    Some(build(scene, kind, readings, assumption, None, (when.first, when.past), None))
}

/// The kind whose cue stands nearest in the sentence, or in the sentence before a short one
/// ("I have a hearing. It is on December third.").
fn kind_near(scene: &Scene<'_>, when: &When, missed: bool) -> Option<DeadlineKind> {
    let words = scene.words;
    let (begin, end) = words.sentence_of(when.first);
    let in_range = |from: usize, to: usize| {
        scene
            .hits
            .iter()
            .filter(|hit| hit.first >= from && hit.past <= to)
            .filter_map(|hit| match scene.rules.roles.get(hit.cue) {
                Some(Role::Kind(kind)) if !missed => Some((*kind, *hit)),
                Some(Role::Missed(kind)) if missed => Some((*kind, *hit)),
                _ => None,
            })
            .map(|(kind, hit)| (distance(words, hit, when), kind))
            .min()
    };
    let here = in_range(begin, end).filter(|(cost, _)| *cost <= KIND_COST_MAX);
    let before = || {
        let short = end - begin <= SHORT_SENTENCE_WORDS;
        let (from, to) = words.sentence_of(begin.checked_sub(1)?);
        // A date that stands alone goes with a hearing or an expiry named before, hardly with a debt.
        short.then(|| in_range(from, to)).flatten().filter(|(_, kind)| CARRIED.contains(kind))
    };
    here.or_else(before).map(|(_, kind)| kind)
}

/// Words between; a comma between them counts extra, and so does standing after the date.
fn distance(words: &Words<'_>, hit: Hit, when: &When) -> usize {
    let (from, to, after) =
        if hit.past <= when.first { (hit.past, when.first, 0) } else { (when.past, hit.first.max(when.past), 2) };
    let pauses = (from..=to).filter(|at| words.list.get(*at).is_some_and(|word| word.pause)).count();
    to - from + after + pauses * 4
}

/// "by Friday", "until the 5th", "antes del viernes": something is due even if nobody says what.
fn bounded(words: &Words<'_>, first: usize) -> bool {
    let skip = usize::from(first > 0 && matches!(words.norm(first - 1), "the" | "el" | "del" | "de" | "this" | "next"));
    let Some(before) = first.checked_sub(1 + skip) else { return false };
    matches!(words.norm(before), "by" | "until" | "till" | "before" | "than" | "hasta" | "antes")
        || (words.norm(before) == "para" && skip == 1)
}

/// Puts a deadline together: the first reading leads, the earliest is the safe one.
fn build(
    scene: &Scene<'_>,
    kind: DeadlineKind,
    readings: Vec<Reading>,
    mut assumption: String,
    anchor: Option<Anchor>,
    (first, past): (usize, usize),
    label: Option<String>,
) -> Deadline {
    let lead = readings.first().cloned().unwrap_or_else(|| time::reading(scene.today, "the day of the call"));
    let safe_date = readings.iter().map(|reading| reading.date).min().unwrap_or(lead.date);
    if safe_date < lead.date {
        push_sentence(&mut assumption, "The words can mean more than one date; the earliest is the safe one.");
    }
    if let Some(why) = day_off(lead.date) {
        let note = format!(
            "{} is {why}; some courts move a last day like this to the next working day, which was not assumed.",
            spoken(lead.date)
        );
        push_sentence(&mut assumption, &note);
    }
    let label = label.unwrap_or_else(|| scene.rules.labels.get(&kind).cloned().unwrap_or_default());
    let alternatives = readings
        .into_iter()
        .skip(1)
        .filter(|other| other.date != lead.date)
        .map(|other| Alternative { date: other.date, reading: other.how })
        .collect();
    Deadline {
        label,
        kind,
        date: lead.date,
        safe_date,
        reading: lead.how,
        alternatives,
        assumption,
        anchor,
        span: scene.words.span(first, past),
    }
}

fn push_sentence(text: &mut String, sentence: &str) {
    if !text.is_empty() {
        text.push(' ');
    }
    text.push_str(sentence);
}

const EXPRESSIONS_MAX: usize = 200;
const DEADLINES_MAX: usize = 24;
/// Older than this a missed date no longer presses.
const MISSED_DAYS_MAX: i64 = 60;
const CARRIED: &[DeadlineKind] =
    &[DeadlineKind::Hearing, DeadlineKind::Answer, DeadlineKind::CheckIn, DeadlineKind::Expiry, DeadlineKind::MoveOut];
const KIND_COST_MAX: usize = 16;
const SHORT_SENTENCE_WORDS: usize = 10;

#[cfg(test)]
mod tests;
