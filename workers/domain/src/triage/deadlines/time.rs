//! Reads one expression of time at a place in the text: "last Tuesday", "December third",
//! "12/3", "in two weeks", "pasado mañana". An ambiguous phrase gives every reading, the most
//! likely one first; whoever asks decides what the earliest one means.
use jiff::ToSpan;
use jiff::civil::{Date, Weekday};

use super::calendar::{month_day_ahead, month_day_behind, plus, plus_days, week_start, weekday_after, weekday_before};
use super::length::{Length, length_at};
use super::names::{month_named, weekday_named};
use super::numeric::numeric_date;
use super::tense::Tense;
use crate::triage::words::Words;

/// One expression of time and what it may mean.
#[derive(Clone)]
pub(super) struct When {
    pub(super) first: usize,
    pub(super) past: usize,
    /// Never empty; the most likely one first.
    pub(super) readings: Vec<Reading>,
    /// The words themselves fix the direction ("last", "ago", "in two weeks").
    pub(super) says: Option<Tense>,
    /// Something about it to ask the caller.
    pub(super) note: Option<&'static str>,
    /// "within 30 days" may count from a day named elsewhere.
    pub(super) within: Option<Length>,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) date: Date,
    pub(super) how: String,
}

/// What was read: how many words, the readings, and the direction if the words say it.
pub(super) struct Read {
    pub(super) past: usize,
    pub(super) readings: Vec<Reading>,
    pub(super) says: Option<Tense>,
    pub(super) note: Option<&'static str>,
}

/// The expression that starts exactly at word `at`.
pub(super) fn read_at(words: &Words<'_>, at: usize, today: Date, tense: Tense) -> Option<When> {
    let read = month_day(words, at, today, tense)
        .or_else(|| numeric_date(words, at, today, tense))
        .or_else(|| weekday(words, at, today, tense))
        .or_else(|| span_from_now(words, at, today))
        .or_else(|| near_day(words, at, today))
        .or_else(|| week_or_month(words, at, today))
        .or_else(|| day_of_month(words, at, today, tense))?;
    let (_, limit) = words.sentence_of(at);
    (!read.readings.is_empty() && read.past <= limit).then_some(When {
        first: at,
        past: read.past,
        readings: read.readings,
        says: read.says,
        note: read.note,
        within: matches!(words.norm(at), "within" | "dentro")
            .then(|| length_at(words, at + 1 + usize::from(words.norm(at) == "dentro")))
            .flatten(),
    })
}

pub(super) fn reading(date: Date, how: impl Into<String>) -> Reading {
    Reading { date, how: how.into() }
}

fn sure(past: usize, date: Option<Date>, how: &str, says: Option<Tense>) -> Option<Read> {
    Some(Read { past, readings: vec![reading(date?, how)], says, note: None })
}

/// Whether the words from `at` on are exactly these.
fn said(words: &Words<'_>, at: usize, phrase: &[&str]) -> bool {
    phrase.iter().enumerate().all(|(offset, word)| words.norm(at + offset) == *word)
}

/// today, tomorrow, yesterday and their Spanish kin.
fn near_day(words: &Words<'_>, at: usize, today: Date) -> Option<Read> {
    const NEAR: &[(&[&str], i64)] = &[
        (&["day", "after", "tomorrow"], 2),
        (&["day", "before", "yesterday"], -2),
        (&["pasado", "manana"], 2),
        (&["antes", "de", "ayer"], -2),
        (&["this", "morning"], 0),
        (&["this", "afternoon"], 0),
        (&["this", "evening"], 0),
        (&["last", "night"], -1),
        (&["esta", "tarde"], 0),
        (&["esta", "noche"], 0),
        (&["esta", "manana"], 0),
        (&["anteayer"], -2),
        (&["antier"], -2),
        (&["anoche"], -1),
        (&["ayer"], -1),
        (&["yesterday"], -1),
        (&["today"], 0),
        (&["tonight"], 0),
        (&["hoy"], 0),
        (&["tomorrow"], 1),
        (&["manana"], 1),
    ];
    let (phrase, step) = NEAR.iter().find(|(phrase, _)| said(words, at, phrase))?;
    // "por la mañana", "de la mañana" is the morning, not tomorrow.
    if *phrase == ["manana"] && at > 0 && words.norm(at - 1) == "la" {
        return None;
    }
    let says = match step {
        ..0 => Tense::Past,
        _ => Tense::Future,
    };
    let says = (*step != 0).then_some(says);
    sure(at + phrase.len(), plus_days(today, *step), "counted from the day of the call", says)
}

/// "last Tuesday", "next Friday", "Friday", "el viernes que viene", "a week from Friday".
fn weekday(words: &Words<'_>, at: usize, today: Date, tense: Tense) -> Option<Read> {
    if (said(words, at, &["a", "week", "from"]) || said(words, at, &["week", "from"]))
        && let day_at = at + if words.norm(at) == "a" { 3 } else { 2 }
        && let Some(day) = weekday_named(words.norm(day_at))
    {
        let date = weekday_after(today, day).and_then(|date| plus_days(date, 7));
        return sure(day_at + 1, date, "one week after the coming weekday", Some(Tense::Future));
    }
    let (which, name_at) = match words.norm(at) {
        "last" | "pasado" => (Which::Last, at + 1),
        "past" => (Which::Last, at + 1),
        "next" | "proximo" => (Which::Next, at + 1),
        "this" | "coming" | "este" if words.norm(at + 1) == "past" => (Which::Last, at + 2),
        "this" | "este" if words.norm(at + 1) == "coming" => (Which::This, at + 2),
        "this" | "coming" | "este" => (Which::This, at + 1),
        _ => (Which::Bare, at),
    };
    let day = weekday_named(words.norm(name_at))?;
    let (which, mut past) = trailing(words, which, name_at + 1);
    if matches!(words.norm(past), "morning" | "afternoon" | "evening" | "night") {
        past += 1;
    }
    // "Thursday, December 3rd": the date says more than the weekday.
    if let Some(mut dated) = month_day(words, past, today, tense)
        .or_else(|| month_day(words, past + 1, today, tense).filter(|_| matches!(words.norm(past), "the" | "el")))
    {
        if dated.readings.iter().all(|reading| reading.date.weekday() != day) {
            dated.note = Some("The weekday that was said does not fall on that date: ask which one is meant.");
        }
        return Some(dated);
    }
    let readings = weekday_readings(today, day, which, tense);
    let says = match which {
        Which::Last | Which::OfLastWeek => Some(Tense::Past),
        Which::Next | Which::This => Some(Tense::Future),
        Which::Bare => None,
    };
    Some(Read { past, readings, says, note: None })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    Last,
    OfLastWeek,
    Next,
    This,
    Bare,
}

/// "el martes pasado", "el viernes que viene", "Tuesday of last week".
fn trailing(words: &Words<'_>, which: Which, at: usize) -> (Which, usize) {
    if which != Which::Bare {
        return (which, at);
    }
    if matches!(words.norm(at), "pasado") && words.norm(at + 1) != "manana" {
        return (Which::Last, at + 1);
    }
    if matches!(words.norm(at), "proximo" | "siguiente") {
        return (Which::Next, at + 1);
    }
    if said(words, at, &["que", "viene"]) {
        return (Which::Next, at + 2);
    }
    if said(words, at, &["of", "last", "week"]) || said(words, at, &["de", "la", "semana", "pasada"]) {
        let length = if words.norm(at) == "of" { 3 } else { 4 };
        return (Which::OfLastWeek, at + length);
    }
    if said(words, at, &["of", "next", "week"]) {
        return (Which::Next, at + 3);
    }
    (which, at)
}

fn weekday_readings(today: Date, day: Weekday, which: Which, tense: Tense) -> Vec<Reading> {
    let before = weekday_before(today, day);
    let after = weekday_after(today, day);
    let same = (today.weekday() == day).then_some(today);
    let this_week = week_start(today).and_then(|monday| plus_days(monday, i64::from(day.to_monday_zero_offset())));
    let shifted = |days: i64| this_week.and_then(|date| plus_days(date, days));
    let candidates: Vec<(Option<Date>, &str)> = match (which, tense) {
        (Which::OfLastWeek, _) => vec![(shifted(-7), "that weekday of the week before the call")],
        (Which::Last, _) => vec![
            (before, "the most recent such weekday before the call"),
            (shifted(-7), "that weekday of the week before the call"),
        ],
        (Which::Next, _) => vec![
            (shifted(7).filter(|date| Some(*date) != after), "that weekday of the week after the call"),
            (after, "the first such weekday after the call"),
        ],
        (Which::This, _) => vec![(same, "the day of the call"), (after, "the first such weekday after the call")],
        (Which::Bare, Tense::Past) => {
            vec![(before, "the most recent such weekday before the call"), (same, "the day of the call")]
        }
        (Which::Bare, Tense::Future) => {
            vec![(after, "the first such weekday after the call"), (same, "the day of the call")]
        }
    };
    let mut readings: Vec<Reading> = Vec::new();
    for (date, how) in candidates {
        if let Some(date) = date
            && readings.iter().all(|known| known.date != date)
        {
            readings.push(reading(date, how));
        }
    }
    readings
}

/// "December third", "Dec 3 2026", "3 December", "the 3rd of December", "3 de diciembre".
fn month_day(words: &Words<'_>, at: usize, today: Date, tense: Tense) -> Option<Read> {
    let (month, day, past) = if let Some(month) = month_named(words.norm(at)) {
        let skip = usize::from(words.norm(at + 1) == "the");
        (month, words.whole(at + 1 + skip, 31)?, at + 2 + skip)
    } else {
        let day = words.whole(at, 31)?;
        let skip = usize::from(matches!(words.norm(at + 1), "of" | "de"));
        // "2 May" would otherwise be read out of "I have 2, may I …".
        let month = month_named(words.norm(at + 1 + skip))
            .filter(|month| skip == 1 || *month != 5 || words.list.get(at + 1).is_some_and(|w| w.capital))?;
        (month, day, at + 2 + skip)
    };
    let day = i8::try_from(day).ok().filter(|day| *day >= 1)?;
    let (year, past) = year_after(words, past);
    if let Some(year) = year {
        return sure(past, Date::new(year, month, day).ok(), "the date that was said", None);
    }
    let ahead = month_day_ahead(today, month, day)?;
    let behind = month_day_behind(today, month, day)?;
    let (date, how) = match tense {
        Tense::Past => (behind, "no year was said; the last such day before the call"),
        Tense::Future => (ahead, "no year was said; the next such day after the call"),
    };
    sure(past, Some(date), how, None)
}

/// "2026", "twenty twenty six", "del 2026", and how far it reaches.
fn year_after(words: &Words<'_>, at: usize) -> (Option<i16>, usize) {
    let skip = usize::from(matches!(words.norm(at), "of" | "de" | "del"));
    let at_year = at + skip;
    if let Some(year) = words.whole(at_year, YEAR_MAX).filter(|year| *year >= YEAR_MIN)
        && !words.list[at_year].dollars
    {
        return (i16::try_from(year).ok(), at_year + 1);
    }
    if words.whole(at_year, 20) == Some(20)
        && let Some(rest) = words.whole(at_year + 1, 99).filter(|rest| *rest >= 20)
    {
        return (i16::try_from(2000 + rest).ok(), at_year + 2);
    }
    (None, at)
}

/// "in two weeks", "within 30 days", "two weeks ago", "hace tres días", "three days from now".
fn span_from_now(words: &Words<'_>, at: usize, today: Date) -> Option<Read> {
    let ahead = match words.norm(at) {
        "in" | "within" => Some(at + 1),
        "dentro" if words.norm(at + 1) == "de" => Some(at + 2),
        "en" => Some(at + 1),
        _ => None,
    };
    if let Some(count_at) = ahead {
        let length = length_at(words, count_at)?;
        let past = length.past + usize::from(said(words, length.past, &["from", "now"])) * 2;
        return sure(past, length.ahead(today), "counted from the day of the call", Some(Tense::Future));
    }
    if words.norm(at) == "hace" {
        let length = length_at(words, at + 1)?;
        return sure(length.past, length.behind(today), "counted back from the day of the call", Some(Tense::Past));
    }
    let length = length_at(words, at)?;
    let after = length.past;
    if words.norm(after) == "ago" {
        return sure(after + 1, length.behind(today), "counted back from the day of the call", Some(Tense::Past));
    }
    let from_now = said(words, after, &["from", "now"]) || said(words, after, &["from", "today"]);
    if from_now {
        return sure(after + 2, length.ahead(today), "counted from the day of the call", Some(Tense::Future));
    }
    None
}

/// "next week", "last week", "the end of the month", "la semana que viene".
fn week_or_month(words: &Words<'_>, at: usize, today: Date) -> Option<Read> {
    let monday = week_start(today);
    let next_monday = monday.and_then(|date| plus_days(date, 7));
    let last_monday = monday.and_then(|date| plus_days(date, -7));
    let month_end = Some(today.last_of_month());
    let next_first = plus_days(today.last_of_month(), 1);
    let friday = monday.and_then(|date| plus_days(date, 4)).filter(|date| *date >= today).or(Some(today));
    let table: [(&[&str], Option<Date>, &str, Tense); 19] = [
        (&["end", "of", "the", "month"], month_end, "the last day of the month of the call", Tense::Future),
        (&["end", "of", "this", "month"], month_end, "the last day of the month of the call", Tense::Future),
        (&["first", "of", "the", "month"], next_first, "the first day of the coming month", Tense::Future),
        (&["1st", "of", "the", "month"], next_first, "the first day of the coming month", Tense::Future),
        (&["first", "of", "next", "month"], next_first, "the first day of the coming month", Tense::Future),
        (&["fin", "de", "mes"], month_end, "the last day of the month of the call", Tense::Future),
        (&["primero", "del", "mes"], next_first, "the first day of the coming month", Tense::Future),
        (&["end", "of", "the", "week"], friday, "the Friday of the week of the call", Tense::Future),
        (&["end", "of", "this", "week"], friday, "the Friday of the week of the call", Tense::Future),
        (&["fin", "de", "semana"], friday, "the end of the week of the call", Tense::Future),
        (&["next", "week"], next_monday, "no day was said; the first day of that week", Tense::Future),
        (&["semana", "que", "viene"], next_monday, "no day was said; the first day of that week", Tense::Future),
        (&["proxima", "semana"], next_monday, "no day was said; the first day of that week", Tense::Future),
        (&["last", "week"], last_monday, "no day was said; the first day of that week", Tense::Past),
        (&["semana", "pasada"], last_monday, "no day was said; the first day of that week", Tense::Past),
        (&["next", "month"], next_first, "no day was said; the first day of that month", Tense::Future),
        (&["mes", "que", "viene"], next_first, "no day was said; the first day of that month", Tense::Future),
        (&["proximo", "mes"], next_first, "no day was said; the first day of that month", Tense::Future),
        (&["this", "week"], Some(today), "no day was said; as early as the day of the call", Tense::Future),
    ];
    let (phrase, date, how, tense) = table.into_iter().find(|(phrase, ..)| said(words, at, phrase))?;
    sure(at + phrase.len(), date, how, Some(tense))
}

/// "on the 15th", "by the fifteenth", "el día 15": the next or last such day of a month.
fn day_of_month(words: &Words<'_>, at: usize, today: Date, tense: Tense) -> Option<Read> {
    let spanish = words.norm(at) == "dia" && at > 0 && words.norm(at - 1) == "el";
    let english = words.norm(at) == "the"
        && at > 0
        && matches!(words.norm(at - 1), "on" | "by" | "until" | "before" | "since" | "till")
        && words.list.get(at + 1).is_some_and(|word| word.ordinal);
    if !(spanish || english) {
        return None;
    }
    let day = i8::try_from(words.whole(at + 1, 31)?).ok().filter(|day| *day >= 1)?;
    // "on the second floor", "on the first try": an ordinal that counts something else.
    if english && words.list.get(at + 2).is_some_and(|next| !next.pause && COUNTED.contains(&next.norm.as_str())) {
        return None;
    }
    let found = (0..=12).find_map(|step| {
        let month = plus(today.first_of_month(), (if tense == Tense::Past { -step } else { step }).months())?;
        let date = Date::new(month.year(), month.month(), day).ok()?;
        let fits = if tense == Tense::Past { date <= today } else { date >= today };
        fits.then_some(date)
    });
    sure(at + 2, found, "no month was said; the nearest such day", None)
}

const YEAR_MIN: u32 = 1990;
const YEAR_MAX: u32 = 2100;
const COUNTED: &[&str] = &[
    "floor",
    "street",
    "avenue",
    "ave",
    "st",
    "time",
    "try",
    "day",
    "one",
    "page",
    "grade",
    "door",
    "amendment",
    "notice",
    "letter",
    "week",
    "month",
    "year",
    "attempt",
    "visit",
    "child",
];
