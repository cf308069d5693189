//! Civil-date arithmetic for deadlines: weekdays, months without a year, working days, federal
//! holidays. No clock: every function takes the day it counts from.
use jiff::civil::{Date, Weekday};
use jiff::{Span, ToSpan};

/// `day` plus `count` days; `None` outside the calendar or beyond ten years.
pub(super) fn plus_days(day: Date, count: i64) -> Option<Date> {
    (count.abs() <= DAYS_MAX).then(|| day.checked_add(count.days()).ok()).flatten()
}

pub(super) fn plus(day: Date, span: Span) -> Option<Date> {
    day.checked_add(span).ok()
}

/// Whole days from `from` to `to`; negative when `to` is earlier.
pub(in crate::triage) fn days_between(from: Date, to: Date) -> i64 {
    from.until(to).map_or(0, |span| i64::from(span.get_days()))
}

/// The first `weekday` after `day`.
pub(super) fn weekday_after(day: Date, weekday: Weekday) -> Option<Date> {
    let ahead = i64::from(day.weekday().until(weekday));
    plus_days(day, if ahead == 0 { 7 } else { ahead })
}

/// The last `weekday` before `day`.
pub(super) fn weekday_before(day: Date, weekday: Weekday) -> Option<Date> {
    let behind = i64::from(day.weekday().since(weekday));
    plus_days(day, if behind == 0 { -7 } else { -behind })
}

/// The Monday of the week `day` lies in.
pub(super) fn week_start(day: Date) -> Option<Date> {
    plus_days(day, -i64::from(day.weekday().to_monday_zero_offset()))
}

/// The day in the year that makes it lie ahead of `day` (or on it).
pub(super) fn month_day_ahead(day: Date, month: i8, of_month: i8) -> Option<Date> {
    in_years(day, month, of_month, [0, 1, 2, 3, 4]).find(|date| *date >= day)
}

/// The day in the year that makes it lie behind `day` (or on it).
pub(super) fn month_day_behind(day: Date, month: i8, of_month: i8) -> Option<Date> {
    in_years(day, month, of_month, [0, -1, -2, -3, -4]).find(|date| *date <= day)
}

fn in_years(day: Date, month: i8, of_month: i8, years: [i16; 5]) -> impl Iterator<Item = Date> {
    years.into_iter().filter_map(move |step| Date::new(day.year().checked_add(step)?, month, of_month).ok())
}

/// `count` working days after `day`: weekends and federal holidays do not count.
pub(super) fn plus_working_days(day: Date, count: u32) -> Option<Date> {
    let mut date = day;
    let mut left = count.min(WORKING_DAYS_MAX);
    while left > 0 {
        date = plus_days(date, 1)?;
        if day_off(date).is_none() {
            left -= 1;
        }
    }
    Some(date)
}

/// Why courts are likely closed that day.
pub(super) fn day_off(date: Date) -> Option<&'static str> {
    match date.weekday() {
        Weekday::Saturday => Some("a Saturday"),
        Weekday::Sunday => Some("a Sunday"),
        _ => holiday(date),
    }
}

/// Federal holidays of the United States, with the weekday they are observed on.
fn holiday(date: Date) -> Option<&'static str> {
    if let Some(name) = fixed_holiday(date) {
        return Some(name);
    }
    let near = |step: i64| plus_days(date, step).and_then(fixed_holiday);
    match date.weekday() {
        Weekday::Monday if near(-1).is_some() => return near(-1),
        Weekday::Friday if near(1).is_some() => return near(1),
        _ => {}
    }
    let nth = (date.day() - 1) / 7 + 1;
    let last = date.day() + 7 > date.days_in_month();
    match (date.month(), date.weekday()) {
        (1, Weekday::Monday) if nth == 3 => Some("Martin Luther King Day"),
        (2, Weekday::Monday) if nth == 3 => Some("Presidents' Day"),
        (5, Weekday::Monday) if last => Some("Memorial Day"),
        (9, Weekday::Monday) if nth == 1 => Some("Labor Day"),
        (10, Weekday::Monday) if nth == 2 => Some("Columbus Day"),
        (11, Weekday::Thursday) if nth == 4 => Some("Thanksgiving Day"),
        _ => None,
    }
}

fn fixed_holiday(date: Date) -> Option<&'static str> {
    match (date.month(), date.day()) {
        (1, 1) => Some("New Year's Day"),
        (6, 19) => Some("Juneteenth"),
        (7, 4) => Some("Independence Day"),
        (11, 11) => Some("Veterans Day"),
        (12, 25) => Some("Christmas Day"),
        _ => None,
    }
}

/// "Friday 27 November 2026"
pub(in crate::triage) fn spoken(date: Date) -> String {
    date.strftime("%A %-d %B %Y").to_string()
}

const DAYS_MAX: i64 = 3660;
const WORKING_DAYS_MAX: u32 = 400;

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn weekdays_are_strictly_before_and_after() {
        let monday = date(2026, 11, 23);
        assert_eq!(weekday_before(monday, Weekday::Tuesday), Some(date(2026, 11, 17)));
        assert_eq!(weekday_before(monday, Weekday::Monday), Some(date(2026, 11, 16)));
        assert_eq!(weekday_after(monday, Weekday::Friday), Some(date(2026, 11, 27)));
        assert_eq!(weekday_after(monday, Weekday::Monday), Some(date(2026, 11, 30)));
    }

    #[test]
    fn a_month_without_a_year_goes_the_way_it_is_told() {
        let day = date(2026, 11, 23);
        assert_eq!(month_day_ahead(day, 1, 5), Some(date(2027, 1, 5)));
        assert_eq!(month_day_behind(day, 12, 3), Some(date(2025, 12, 3)));
        assert_eq!(month_day_ahead(day, 2, 29), Some(date(2028, 2, 29)));
        assert_eq!(month_day_ahead(day, 2, 30), None);
    }

    #[test]
    fn holidays_are_days_off_also_when_observed_on_another_day() {
        assert_eq!(day_off(date(2026, 11, 26)), Some("Thanksgiving Day"));
        assert_eq!(day_off(date(2026, 7, 3)), Some("Independence Day"), "4 July 2026 is a Saturday");
        assert_eq!(day_off(date(2026, 11, 27)), None);
        assert_eq!(plus_working_days(date(2026, 11, 25), 1), Some(date(2026, 11, 27)));
    }
}
