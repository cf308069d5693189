//! The table of phrases: what was said, when, and which dates it must give.
use std::path::PathBuf;

use jiff::civil::{Date, date};

use super::DeadlineKind::{self, *};
use crate::triage::{Deadline, Input, Triage};

/// A Monday.
const MONDAY: Date = date(2026, 11, 23);
/// A Friday, to make weekdays ambiguous.
const FRIDAY: Date = date(2026, 11, 27);

fn read(text: &str, language: &str, called_on: Date) -> Vec<Deadline> {
    thread_local!(static TRIAGE: Triage = {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../config/knowledge");
        Triage::load(&folder).unwrap()
    });
    let input = Input { text, language: Some(language), called_on, jurisdiction: "US" };
    TRIAGE.with(|triage| triage.analyze(&input, None).deadlines)
}

type Row<'r> = (&'r str, Date, &'r [(DeadlineKind, Date, Date)]);

fn check(language: &str, rows: &[Row<'_>]) {
    let mut wrong = Vec::new();
    for (text, called_on, wanted) in rows {
        let got: Vec<_> =
            read(text, language, *called_on).iter().map(|found| (found.kind, found.date, found.safe_date)).collect();
        if got != *wanted {
            wrong.push(format!("{text:?}\n  wanted {wanted:?}\n  got    {got:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} wrong:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

#[test]
fn english_points() {
    let third = date(2026, 12, 3);
    check(
        "en",
        &[
            ("I have court on December 3rd.", MONDAY, &[(Hearing, third, third)]),
            ("I have court Dec 3.", MONDAY, &[(Hearing, third, third)]),
            ("I have court Dec. 3 at 9:30.", MONDAY, &[(Hearing, third, third)]),
            ("There is a hearing on the third of December.", MONDAY, &[(Hearing, third, third)]),
            ("My hearing is Thursday, December 3rd.", MONDAY, &[(Hearing, third, third)]),
            ("The hearing is on 2026-12-03.", MONDAY, &[(Hearing, third, third)]),
            ("The hearing is on December third, two thousand twenty six.", MONDAY, &[(Hearing, third, third)]),
            ("The hearing is on December third twenty twenty six.", MONDAY, &[(Hearing, third, third)]),
            ("The hearing is on January 5th.", MONDAY, &[(Hearing, date(2027, 1, 5), date(2027, 1, 5))]),
            // 12 March lies behind, so only the American order is left.
            ("My trial is on 12/3/2026.", MONDAY, &[(Hearing, third, third)]),
            ("My trial is on 12/3.", MONDAY, &[(Hearing, third, third)]),
            ("My trial is on 3/4/2027.", MONDAY, &[(Hearing, date(2027, 3, 4), date(2027, 3, 4))]),
            ("My trial is on 4/3/2027.", MONDAY, &[(Hearing, date(2027, 4, 3), date(2027, 3, 4))]),
            ("There's a hearing tomorrow at nine.", MONDAY, &[(Hearing, date(2026, 11, 24), date(2026, 11, 24))]),
            (
                "I have a hearing. It's the day after tomorrow.",
                MONDAY,
                &[(Hearing, date(2026, 11, 25), date(2026, 11, 25))],
            ),
            ("Court is in two weeks.", MONDAY, &[(Hearing, date(2026, 12, 7), date(2026, 12, 7))]),
            ("Court is three weeks from now.", MONDAY, &[(Hearing, date(2026, 12, 14), date(2026, 12, 14))]),
            ("My court date is a week from Friday.", MONDAY, &[(Hearing, date(2026, 12, 4), date(2026, 12, 4))]),
            ("He will change the locks on Friday.", MONDAY, &[(LockOut, FRIDAY, FRIDAY)]),
            ("He'll change the locks Friday.", MONDAY, &[(LockOut, FRIDAY, FRIDAY)]),
            ("They want us out by Friday.", MONDAY, &[(MoveOut, FRIDAY, FRIDAY)]),
            ("I need the papers by Friday.", MONDAY, &[(Other, FRIDAY, FRIDAY)]),
            ("I have to be out of here by the 15th.", MONDAY, &[(MoveOut, date(2026, 12, 15), date(2026, 12, 15))]),
            ("They'll shut off the lights next Monday.", FRIDAY, &[(ShutOff, date(2026, 11, 30), date(2026, 11, 30))]),
            // "next Thursday" on a Monday: this week's or the one after.
            ("They'll shut off the lights next Thursday.", MONDAY, &[(ShutOff, date(2026, 12, 3), date(2026, 11, 26))]),
            ("I have to pay by the end of the month.", MONDAY, &[(Payment, date(2026, 11, 30), date(2026, 11, 30))]),
            ("My visa expires on the first of the month.", MONDAY, &[(Expiry, date(2026, 12, 1), date(2026, 12, 1))]),
            ("I check in with ICE next week.", MONDAY, &[(CheckIn, date(2026, 11, 30), date(2026, 11, 30))]),
            // Missed, and recent enough to press.
            (
                "My court date was last Thursday and I missed it.",
                MONDAY,
                &[(Hearing, date(2026, 11, 19), date(2026, 11, 19))],
            ),
            ("The hearing was yesterday.", MONDAY, &[(Hearing, date(2026, 11, 22), date(2026, 11, 22))]),
        ],
    );
}

#[test]
fn english_periods() {
    let twentieth = date(2026, 11, 20);
    check(
        "en",
        &[
            ("He gave me a three day notice last Tuesday.", MONDAY, &[(NoticePeriod, twentieth, twentieth)]),
            ("He gave me a 3-day notice last Tuesday.", MONDAY, &[(NoticePeriod, twentieth, twentieth)]),
            (
                "Last Tuesday I got a notice. It's a 3 day notice to pay.",
                MONDAY,
                &[(NoticePeriod, twentieth, twentieth)],
            ),
            (
                "I found a three-day notice on the door. I got it on Tuesday.",
                MONDAY,
                &[(NoticePeriod, twentieth, twentieth)],
            ),
            (
                "There was a notice for 30 days taped up on November 10.",
                MONDAY,
                &[(NoticePeriod, date(2026, 12, 10), date(2026, 12, 10))],
            ),
            // On a Friday "last Tuesday" is this week's or the week before's: the earlier one is safe.
            (
                "He put up a three day notice last Tuesday.",
                FRIDAY,
                &[(NoticePeriod, date(2026, 11, 27), date(2026, 11, 20))],
            ),
            // Nobody said when it came.
            ("I have a three day notice.", MONDAY, &[(NoticePeriod, date(2026, 11, 26), date(2026, 11, 26))]),
            ("I have 30 days to respond.", MONDAY, &[(Answer, date(2026, 12, 23), date(2026, 12, 23))]),
            (
                "I was served two weeks ago and I have thirty days to respond.",
                MONDAY,
                &[(Answer, date(2026, 12, 9), date(2026, 12, 9))],
            ),
            (
                "I was served on November 9th and must answer within 20 days.",
                MONDAY,
                &[(Answer, date(2026, 11, 29), date(2026, 11, 29))],
            ),
            ("I must answer within 20 days.", MONDAY, &[(Answer, date(2026, 12, 13), date(2026, 12, 13))]),
            ("I only have two days left to file.", MONDAY, &[(Answer, date(2026, 11, 25), date(2026, 11, 25))]),
            ("They gave us 24 hours to get out.", MONDAY, &[(MoveOut, date(2026, 11, 24), date(2026, 11, 24))]),
            ("They gave me five business days to pay.", MONDAY, &[(Payment, date(2026, 12, 1), date(2026, 12, 1))]),
        ],
    );
}

#[test]
fn spanish() {
    let third = date(2026, 12, 3);
    check(
        "es",
        &[
            ("Tengo audiencia el tres de diciembre.", MONDAY, &[(Hearing, third, third)]),
            ("Tengo corte el 3 de diciembre de 2026.", MONDAY, &[(Hearing, third, third)]),
            ("La corte es mañana.", MONDAY, &[(Hearing, date(2026, 11, 24), date(2026, 11, 24))]),
            ("La corte es mañana por la mañana.", MONDAY, &[(Hearing, date(2026, 11, 24), date(2026, 11, 24))]),
            ("La audiencia es pasado mañana.", MONDAY, &[(Hearing, date(2026, 11, 25), date(2026, 11, 25))]),
            ("Me van a cortar la luz el viernes.", MONDAY, &[(ShutOff, FRIDAY, FRIDAY)]),
            ("Va a cambiar la chapa el viernes que viene.", MONDAY, &[(LockOut, date(2026, 12, 4), FRIDAY)]),
            (
                "Tengo que salir de la casa antes del quince de diciembre.",
                MONDAY,
                &[(MoveOut, date(2026, 12, 15), date(2026, 12, 15))],
            ),
            ("Tengo corte en dos semanas.", MONDAY, &[(Hearing, date(2026, 12, 7), date(2026, 12, 7))]),
            (
                "Me dieron un aviso de tres días el martes pasado.",
                MONDAY,
                &[(NoticePeriod, date(2026, 11, 20), date(2026, 11, 20))],
            ),
            (
                "Recibí la demanda hace dos semanas y tengo 30 días para contestar.",
                MONDAY,
                &[(Answer, date(2026, 12, 9), date(2026, 12, 9))],
            ),
            ("Tengo treinta días para responder.", MONDAY, &[(Answer, date(2026, 12, 23), date(2026, 12, 23))]),
        ],
    );
}

#[test]
fn what_is_no_deadline_stays_out() {
    check(
        "en",
        &[
            ("I am two months behind on rent.", MONDAY, &[]),
            ("I lived there for three years and paid every month.", MONDAY, &[]),
            ("He works 60 hours a week.", MONDAY, &[]),
            ("My birthday is on Friday.", MONDAY, &[]),
            ("I got fired last Tuesday.", MONDAY, &[]),
            ("I paid the rent on November 1st.", MONDAY, &[]),
            ("We live on the second floor, on the third street, 24/7.", MONDAY, &[]),
            ("I may go to court.", MONDAY, &[]),
            ("My divorce hearing was in March 2019.", MONDAY, &[]),
        ],
    );
}

#[test]
fn assumptions_are_said() {
    let holiday = &read("I have court on November 26.", "en", MONDAY)[0];
    assert_eq!(holiday.date, date(2026, 11, 26), "noted, not moved");
    assert!(holiday.assumption.contains("Thanksgiving Day"));
    let unanchored = &read("I have a three day notice.", "en", MONDAY)[0];
    assert!(unanchored.anchor.is_none() && unanchored.assumption.contains("Nobody said when"));
    let slashed = &read("My trial is on 4/3/2027.", "en", MONDAY)[0];
    assert_eq!(slashed.alternatives.len(), 1);
    assert!(slashed.assumption.contains("more than one date"));
    let mismatch = &read("My hearing is Friday, December 3rd.", "en", MONDAY)[0];
    assert!(mismatch.assumption.contains("weekday"));
    let short = &read("He gave me a five day notice on November 17.", "en", MONDAY)[0];
    assert_eq!((short.date, short.alternatives[0].date), (date(2026, 11, 22), date(2026, 11, 24)));
}
