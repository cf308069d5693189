//! Dates written in digits: ISO, and the slashed form whose order depends on who writes it.
use jiff::civil::Date;

use super::calendar::{month_day_ahead, month_day_behind};
use super::tense::Tense;
use super::time::{Read, Reading, reading};
use crate::triage::words::Words;

/// "2026-12-03", "12/3/26", "12/3", "12-03-2026". Month first, as in the United States; where the
/// other order is a date too it becomes an alternative.
pub(super) fn numeric_date(words: &Words<'_>, at: usize, today: Date, tense: Tense) -> Option<Read> {
    let word = words.list.get(at)?;
    if word.value.is_some() || word.dollars {
        return None;
    }
    let mark = if word.norm.contains('/') { '/' } else { '-' };
    let mut numbers = [0_i16; 3];
    let mut count = 0;
    for piece in word.norm.split(mark) {
        if count == 3 || piece.len() > 4 || !piece.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        numbers[count] = piece.parse().ok()?;
        count += 1;
    }
    let first_len = word.norm.find(mark)?;
    let readings = match (count, first_len) {
        (3, 4) => vec![reading(day(numbers[0], numbers[1], numbers[2])?, "the date that was said")],
        (3, _) => both_orders(numbers[0], numbers[1], |month, day_of| day(full_year(numbers[2]), month, day_of)),
        // "3-5" or "24/7" without a year: only the slash is a date, and 24/7 is none.
        (2, _) if mark == '/' && !(numbers[0] == 24 && numbers[1] == 7) => {
            both_orders(numbers[0], numbers[1], |month, day_of| {
                let (month, day_of) = (i8::try_from(month).ok()?, i8::try_from(day_of).ok()?);
                match tense {
                    Tense::Past => month_day_behind(today, month, day_of),
                    Tense::Future => month_day_ahead(today, month, day_of),
                }
            })
        }
        _ => return None,
    };
    (!readings.is_empty()).then_some(Read { past: at + 1, readings, says: None, note: None })
}

fn both_orders(first: i16, second: i16, date: impl Fn(i16, i16) -> Option<Date>) -> Vec<Reading> {
    let month_first = date(first, second).map(|date| reading(date, "month before day, as in the United States"));
    let day_first = (first != second)
        .then(|| date(second, first))
        .flatten()
        .map(|date| reading(date, "day before month, as in most other countries"));
    month_first.into_iter().chain(day_first).collect()
}

fn day(year: i16, month: i16, day: i16) -> Option<Date> {
    Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
}

fn full_year(year: i16) -> i16 {
    if year < 100 { 2000 + year } else { year }
}
