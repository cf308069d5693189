//! Lengths of time: "three days", "a couple of weeks", "10 business days", "cinco días hábiles".
use jiff::ToSpan;
use jiff::civil::Date;

use super::calendar::{plus, plus_days, plus_working_days};
use crate::triage::words::Words;

/// A count and a unit: "three days", "a week", "10 business days".
#[derive(Clone, Copy)]
pub(super) struct Length {
    pub(super) count: u32,
    pub(super) unit: Unit,
    pub(super) past: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Hour,
    Day,
    WorkingDay,
    Week,
    Month,
    Year,
}

impl Length {
    pub(super) fn ahead(self, day: Date) -> Option<Date> {
        self.shifted(day, 1)
    }

    pub(super) fn behind(self, day: Date) -> Option<Date> {
        self.shifted(day, -1)
    }

    fn shifted(self, day: Date, sign: i64) -> Option<Date> {
        let count = i64::from(self.count) * sign;
        match self.unit {
            // Rounded down: 24 hours from a call at noon may end before noon of the next day.
            Unit::Hour => plus_days(day, count / 24),
            Unit::Day => plus_days(day, count),
            Unit::WorkingDay if sign > 0 => plus_working_days(day, self.count),
            Unit::WorkingDay => plus_days(day, count),
            Unit::Week => plus_days(day, count * 7),
            Unit::Month => plus(day, count.months()),
            Unit::Year => plus(day, count.years()),
        }
    }
}

pub(super) fn length_at(words: &Words<'_>, at: usize) -> Option<Length> {
    let (count, mut next) = match words.norm(at) {
        "a" if matches!(words.norm(at + 1), "couple" | "few") => (2, at + 2 + usize::from(words.norm(at + 2) == "of")),
        "a" | "an" | "un" | "una" => (1, at + 1),
        "couple" | "few" => (2, at + 1 + usize::from(words.norm(at + 1) == "of")),
        _ if words.list.get(at).is_some_and(|word| word.ordinal || word.dollars) => return None,
        _ => (words.whole(at, COUNT_MAX)?, at + 1),
    };
    let mut working = false;
    if matches!(words.norm(next), "business" | "working" | "court" | "calendar") {
        working = words.norm(next) != "calendar";
        next += 1;
    }
    let unit = match words.norm(next) {
        "hour" | "hours" | "hora" | "horas" => Unit::Hour,
        "day" | "days" | "dia" | "dias" if working => Unit::WorkingDay,
        "day" | "days" | "dia" | "dias" => Unit::Day,
        "week" | "weeks" | "semana" | "semanas" => Unit::Week,
        "month" | "months" | "mes" | "meses" => Unit::Month,
        "year" | "years" | "ano" | "anos" => Unit::Year,
        _ => return None,
    };
    let mut past = next + 1;
    let unit = if unit == Unit::Day && matches!(words.norm(past), "habiles" | "laborables") {
        past += 1;
        Unit::WorkingDay
    } else {
        unit
    };
    let most = match unit {
        Unit::Hour => 24 * 60,
        Unit::Day => 400,
        Unit::WorkingDay => 120,
        Unit::Week => 60,
        Unit::Month => 36,
        Unit::Year => 10,
    };
    (count <= most).then_some(Length { count, unit, past })
}

impl Length {
    /// "3 days"
    pub(super) fn said(self) -> String {
        format!("{} {}{}", self.count, self.unit.name(), if self.count == 1 { "" } else { "s" })
    }

    pub(super) fn label(self) -> String {
        format!("{}-{} notice ends", self.count, self.unit.name())
    }
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Unit::Hour => "hour",
            Unit::Day => "day",
            Unit::WorkingDay => "working-day",
            Unit::Week => "week",
            Unit::Month => "month",
            Unit::Year => "year",
        }
    }
}

const COUNT_MAX: u32 = 1440;
