//! Until when a record must be kept: calendar years, so that seven years are seven birthdays and not 2,555 days.
//!
//! A record is kept until the same moment of the same day some years later. Where that year has no such day (of
//! 29 February), it is kept until the first moment that follows: 1 March. All of it is UTC, as the records are.
use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;

/// The first moment (milliseconds since 1970) at which a record of `at_ms` need not be kept; `None` where the calendar
/// ends before: such a record is kept for good.
pub fn kept_until_ms(at_ms: i64, years: u16) -> Option<i64> {
    let at = TimeZone::UTC.to_datetime(Timestamp::from_millisecond(at_ms).ok()?);
    let year = at.year().checked_add(i16::try_from(years).ok()?)?;
    let until = match Date::new(year, at.month(), at.day()) {
        Ok(day) => day.to_datetime(at.time()),
        // The one day that a later year may not have.
        Err(_) => Date::new(year, 3, 1).ok()?.to_datetime(Time::midnight()),
    };
    Some(TimeZone::UTC.to_timestamp(until).ok()?.as_millisecond())
}

/// Whether a clock that says `now_ms` can be believed by somebody who last believed one at `known_ms`. A log that stood
/// still for longer than this was out of service, or the clock has jumped; only people can tell which.
pub fn is_plausible(known_ms: i64, now_ms: i64) -> bool {
    now_ms.saturating_sub(known_ms) <= STANDSTILL_MS_MAX
}

/// 31 days.
pub const STANDSTILL_MS_MAX: i64 = 31 * 24 * 3_600 * 1_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::record::{at_ms_of, rfc3339};
    use super::*;

    fn until(at: &str, years: u16) -> String {
        rfc3339(kept_until_ms(at_ms_of(at).unwrap(), years).unwrap())
    }

    #[test]
    fn a_day_is_kept_until_its_anniversary_to_the_millisecond() {
        assert_eq!(until("2023-11-14T22:13:20.123Z", 7), "2030-11-14T22:13:20.123Z");
        assert_eq!(until("2023-12-31T23:59:59.999Z", 10), "2033-12-31T23:59:59.999Z");
        // Before 1970, too: a clock that was never set.
        assert_eq!(until("1969-07-20T20:17:40.000Z", 7), "1976-07-20T20:17:40.000Z");
    }

    #[test]
    fn a_leap_day_is_kept_until_the_next_one_or_the_first_of_march() {
        assert_eq!(until("2024-02-29T12:00:00.000Z", 7), "2031-03-01T00:00:00.000Z");
        assert_eq!(until("2024-02-29T12:00:00.000Z", 8), "2032-02-29T12:00:00.000Z");
        assert_eq!(until("2096-02-29T12:00:00.000Z", 8), "2104-02-29T12:00:00.000Z");
        // 2100 is no leap year, 2000 was one, 2400 will be.
        assert_eq!(until("2096-02-29T12:00:00.000Z", 4 + 3), "2103-03-01T00:00:00.000Z");
        assert_eq!(until("2092-02-29T12:00:00.000Z", 8), "2100-03-01T00:00:00.000Z");
        assert_eq!(until("1992-02-29T12:00:00.000Z", 8), "2000-02-29T12:00:00.000Z");
        assert_eq!(until("2300-02-28T12:00:00.000Z", 100), "2400-02-28T12:00:00.000Z");
        // The days beside it are ordinary.
        assert_eq!(until("2024-02-28T23:59:59.999Z", 7), "2031-02-28T23:59:59.999Z");
        assert_eq!(until("2024-03-01T00:00:00.000Z", 7), "2031-03-01T00:00:00.000Z");
    }

    #[test]
    fn beyond_the_calendar_nothing_is_let_go() {
        assert_eq!(kept_until_ms(at_ms_of("9990-01-01T00:00:00.000Z").unwrap(), 10), None);
        assert_eq!(kept_until_ms(i64::MAX, 7), None);
        assert_eq!(kept_until_ms(i64::MIN, 7), None);
    }

    #[test]
    fn a_clock_is_believed_for_a_month() {
        let now = at_ms_of("2026-03-01T00:00:00.000Z").unwrap();
        assert!(is_plausible(now, now) && is_plausible(now, 0));
        assert!(is_plausible(now, now + STANDSTILL_MS_MAX) && !is_plausible(now, now + STANDSTILL_MS_MAX + 1));
        assert!(!is_plausible(i64::MIN, i64::MAX));
    }

    /// The same rule without a calendar: as texts, moments with four-digit years stand in the order of time, and the
    /// 29 February that a year does not have stands between its last of February and its first of March.
    fn is_kept_by_its_text(at: &str, years: u16, now: &str) -> bool {
        let year: u16 = at[..4].parse().unwrap();
        now < format!("{:04}{}", year + years, &at[4..]).as_str()
    }

    /// 1 January 1970 to 31 December 2399.
    fn moments() -> impl Strategy<Value = i64> {
        let leap_days = (0i64..100).prop_map(|n| at_ms_of("1972-02-28T00:00:00.000Z").unwrap() + n * 126_230_400_000);
        let near = (leap_days, 0i64..3 * 86_400_000).prop_map(|(day, within)| day + within);
        prop_oneof![0i64..13_569_465_600_000, near]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_096))]

        #[test]
        fn it_is_what_the_texts_say(at in moments(), years in 7u16..=100, off in -2i64..=2) {
            let until = kept_until_ms(at, years).unwrap();
            let now = until + off;
            prop_assert_eq!(now < until, is_kept_by_its_text(&rfc3339(at), years, &rfc3339(now)));
        }

        #[test]
        fn at_any_time_the_texts_agree(at in moments(), years in 7u16..=100, now in moments()) {
            let is_kept = now < kept_until_ms(at, years).unwrap();
            prop_assert_eq!(is_kept, is_kept_by_its_text(&rfc3339(at), years, &rfc3339(now)));
        }

        #[test]
        fn who_came_later_is_kept_at_least_as_long(at in moments(), later in 0i64..200_000_000, years in 7u16..=100) {
            prop_assert!(kept_until_ms(at, years) <= kept_until_ms(at + later, years));
        }

        #[test]
        fn no_time_makes_it_panic(at: i64, years: u16) {
            let _ = kept_until_ms(at, years);
        }
    }
}
