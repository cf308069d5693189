//! Periods: "a three day notice", "30 days to respond", "tengo cinco días para contestar". A period
//! ends some days after its anchor, the day the paper came; if nobody named that day the period is
//! counted from the call and the deadline says so.
use super::calendar::{plus_working_days, spoken};
use super::length::{Length, Unit, length_at};
use super::time::reading;
use super::{Scene, Tense, build, push_sentence, tense_around};
use crate::triage::types::{Anchor, Deadline, DeadlineKind};
use crate::triage::words::Words;

/// The periods of the text and the indexes of the expressions they are counted from.
pub(super) fn find(scene: &Scene<'_>) -> (Vec<Deadline>, Vec<usize>) {
    let words = scene.words;
    let (mut deadlines, mut anchors) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < words.list.len() && deadlines.len() < PERIODS_MAX {
        let Some(period) = period_at(scene, at) else {
            at += 1;
            continue;
        };
        let anchor = period.from_anchor.then(|| anchor_of(scene, at)).flatten();
        // "within 30 days" without an anchor is an ordinary date from now.
        if anchor.is_some() || !period.needs_anchor {
            deadlines.extend(deadline(scene, &period, anchor));
            anchors.extend(anchor);
        }
        at = period.past.max(at + 1);
    }
    (deadlines, anchors)
}

struct Period {
    kind: DeadlineKind,
    length: Length,
    first: usize,
    past: usize,
    /// "two days left" counts from the call whatever else was said.
    from_anchor: bool,
    needs_anchor: bool,
}

fn period_at(scene: &Scene<'_>, at: usize) -> Option<Period> {
    let words = scene.words;
    if let Some(length) = scene.whens.iter().find(|when| when.first == at).and_then(|when| when.within) {
        let kind = what_follows(words, length.past)
            .or_else(|| what_precedes(words, at))
            .map_or(DeadlineKind::Answer, |(kind, _)| kind);
        return Some(Period { kind, length, first: at, past: length.past, from_anchor: true, needs_anchor: true });
    }
    if scene.whens.iter().any(|when| when.first <= at && at < when.past) {
        return None;
    }
    let length = length_at(words, at)?;
    if !matches!(length.unit, Unit::Hour | Unit::Day | Unit::WorkingDay | Unit::Week | Unit::Month) {
        return None;
    }
    if matches!(words.norm(length.past), "left" | "remaining") || words.norm(at.wrapping_sub(1)) == "quedan" {
        let kind = what_follows(words, length.past + 1).map_or(DeadlineKind::Other, |(kind, _)| kind);
        return Some(Period { kind, length, first: at, past: length.past, from_anchor: false, needs_anchor: false });
    }
    let (kind, past) =
        what_follows(words, length.past).or_else(|| what_precedes(words, at).map(|(kind, _)| (kind, length.past)))?;
    Some(Period { kind, length, first: at, past, from_anchor: true, needs_anchor: false })
}

/// "… notice", "… to respond", "… para salir", and how far that reaches.
fn what_follows(words: &Words<'_>, at: usize) -> Option<(DeadlineKind, usize)> {
    let (_, end) = words.sentence_of(at.checked_sub(1)?);
    if at >= end {
        return None;
    }
    let kind = match words.norm(at) {
        "notice" | "notices" | "letter" | "warning" | "eviction" | "pay" => DeadlineKind::NoticePeriod,
        "written" if words.norm(at + 1) == "notice" => return Some((DeadlineKind::NoticePeriod, at + 2)),
        "notification" => DeadlineKind::NoticePeriod,
        "to" | "para" | "from" => {
            let verb_at = (at + 1..(at + 4).min(end)).find(|index| purpose(words.norm(*index)).is_some())?;
            return purpose(words.norm(verb_at)).map(|kind| (kind, verb_at + 1));
        }
        _ => return None,
    };
    Some((kind, at + 1))
}

fn purpose(verb: &str) -> Option<DeadlineKind> {
    Some(match verb {
        "respond" | "answer" | "reply" | "appeal" | "file" | "object" | "contest" | "dispute" | "responder"
        | "contestar" | "apelar" | "presentar" => DeadlineKind::Answer,
        "move" | "leave" | "vacate" | "out" | "pack" | "go" | "quit" | "salir" | "salirme" | "desalojar"
        | "mudarme" | "mudarnos" | "irme" | "irnos" => DeadlineKind::MoveOut,
        "pay" | "catch" | "pagar" => DeadlineKind::Payment,
        _ => return None,
    })
}

/// "notice for 30 days", "aviso de tres días", "they gave me 30 days".
fn what_precedes(words: &Words<'_>, at: usize) -> Option<(DeadlineKind, usize)> {
    let (begin, _) = words.sentence_of(at);
    let from = at.saturating_sub(PAPER_REACH_WORDS).max(begin);
    (from..at)
        .rev()
        .find(|index| PAPERS.contains(&words.norm(*index)))
        .or_else(|| {
            let given = at >= begin + 2
                && matches!(words.norm(at - 1), "me" | "us" | "dieron" | "dio" | "only")
                && (GIVEN.contains(&words.norm(at - 2)) || GIVEN.contains(&words.norm(at - 1)));
            given.then(|| at - 2)
        })
        .map(|index| (DeadlineKind::NoticePeriod, index))
}

/// The day the paper came: a day named as past in the same sentence, else in the sentence after or
/// before if that one speaks of getting something.
fn anchor_of(scene: &Scene<'_>, at: usize) -> Option<usize> {
    let words = scene.words;
    let here = words.list.get(at)?.sentence;
    let in_sentence = |sentence: usize| {
        scene
            .whens
            .iter()
            .enumerate()
            .filter(|(_, when)| words.list[when.first].sentence == sentence)
            .filter(|(_, when)| is_past(scene, when))
            .min_by_key(|(_, when)| when.first.abs_diff(at))
            .map(|(index, _)| index)
    };
    let speaks_of_getting = |sentence: &usize| {
        words
            .sentences
            .get(*sentence)
            .is_some_and(|(first, past)| (*first..*past).any(|index| RECEIVED.contains(&words.norm(index))))
    };
    in_sentence(here)
        .or_else(|| Some(here + 1).filter(speaks_of_getting).and_then(in_sentence))
        .or_else(|| here.checked_sub(1).filter(speaks_of_getting).and_then(in_sentence))
}

fn is_past(scene: &Scene<'_>, when: &super::When) -> bool {
    let back = match when.says {
        Some(says) => says == Tense::Past,
        None => tense_around(scene.words, when.first, when.past) == Tense::Past,
    };
    back && when.readings.iter().all(|reading| reading.date <= scene.today)
}

fn deadline(scene: &Scene<'_>, period: &Period, anchor: Option<usize>) -> Option<Deadline> {
    let when = anchor.and_then(|index| scene.whens.get(index));
    let said = period.length.said();
    let mut assumption = String::new();
    let mut readings = Vec::new();
    let starts = match when {
        Some(when) => when.readings.iter().map(|start| start.date).collect(),
        None => vec![scene.today],
    };
    for start in &starts {
        let day = spoken(*start);
        readings.extend(
            period
                .length
                .ahead(*start)
                .map(|end| reading(end, format!("{said} counted from {day}, that day not counted"))),
        );
    }
    // Short notices count only court days in some places; longer ones hardly anywhere.
    if period.length.unit == Unit::Day && period.length.count <= SHORT_PERIOD_DAYS {
        for start in &starts {
            readings.extend(plus_working_days(*start, period.length.count).map(|end| {
                reading(end, format!("{said} counted from {}, without weekends and holidays", spoken(*start)))
            }));
        }
    }
    if when.is_none() && period.from_anchor {
        push_sentence(
            &mut assumption,
            "Nobody said when the paper came; counted from the day of the call, so the real date may be earlier. Ask.",
        );
    } else if when.is_some() {
        push_sentence(&mut assumption, "Counted from the day that was named; the way a paper is served can change it.");
    }
    if readings.iter().map(|end| end.date).min()? < scene.today {
        push_sentence(&mut assumption, "By the earliest reading the period ended before the call.");
    }
    let label = (period.kind == DeadlineKind::NoticePeriod).then(|| period.length.label());
    let named = when.map(|when| Anchor { date: when.readings[0].date, span: scene.words.span(when.first, when.past) });
    readings.dedup_by(|later, first| later.date == first.date);
    Some(build(scene, period.kind, readings, assumption, named, (period.first, period.past), label))
}

const PERIODS_MAX: usize = 12;
const PAPER_REACH_WORDS: usize = 5;
const SHORT_PERIOD_DAYS: u32 = 10;
const PAPERS: &[&str] = &["notice", "aviso", "notificacion", "summons", "demanda", "citatorio"];
const GIVEN: &[&str] = &["give", "gave", "gives", "giving", "given", "dieron", "dio", "dan", "have", "got"];
const RECEIVED: &[&str] = &[
    "got",
    "received",
    "served",
    "gave",
    "posted",
    "put",
    "taped",
    "handed",
    "came",
    "found",
    "mailed",
    "delivered",
    "stuck",
    "left",
    "arrived",
    "recibi",
    "llego",
    "dio",
    "dieron",
    "puso",
    "pusieron",
    "dejo",
    "dejaron",
    "entrego",
    "entregaron",
    "mando",
];
