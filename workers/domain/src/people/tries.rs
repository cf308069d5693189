//! Guessing takes ever longer, and locks nobody out but the guesser.
//!
//! Failures in a row are counted for a name from one neighbourhood (an IPv4 address, an IPv6 /64): after a few, each
//! further try there waits twice as long as the one before. What strangers do elsewhere does not delay anybody.
//! Counted over all places, a name takes a hundred failures in a row (SP 800-63B-4, 3.2.2). From then on a log-in
//! counts only from a place where the name has logged in before, or with its second factor shown at once.
//! A name that is nobody's is counted in the same way, so that the answers do not tell.
//!
//! Wrong codes of a second factor are counted apart, in the same two ways: only who knows the password can make
//! them. After a hundred a code of the app counts only from a known place; a recovery code is too long to guess.
use std::time::Duration;

use hotline::lifecycle::clock;
use uuid::Uuid;

use super::People;
use crate::store::{StoreError, SuccessWhen, TriesKeep, TriesRow};

/// Who tries: a name, wherever it may be used, from a neighbourhood.
#[derive(Clone, Copy)]
pub struct Attempt {
    name: [u8; 32],
    place: [u8; 32],
}

/// Whether a try is made at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Go,
    /// Too many have failed from here.
    Wait(Duration),
    /// Too many have failed from anywhere, and nobody has succeeded from here: something else has to vouch.
    OnlyVouched,
}

impl People {
    pub fn attempt(&self, name: &str, neighbourhood: u128) -> Attempt {
        self.attempt_on(self.name_index(name), neighbourhood)
    }

    /// Tries to guess the second factor of somebody whose password is known.
    pub fn code_attempt(&self, user: Uuid, neighbourhood: u128) -> Attempt {
        self.attempt_on(self.vault.blind_index("code-tries", &user.to_string()), neighbourhood)
    }

    fn attempt_on(&self, name: [u8; 32], neighbourhood: u128) -> Attempt {
        // Bound to the name: the table does not tell which people share a house.
        let place = format!("{} {neighbourhood:032x}", data_encoding::HEXLOWER.encode(&name));
        Attempt { name, place: self.vault.blind_index("log-in-place", &place) }
    }

    pub async fn verdict(&self, attempt: Attempt) -> Result<Verdict, StoreError> {
        let tries = self.store.tries(attempt.name, attempt.place).await?;
        Ok(verdict(&tries, clock::now_ms()))
    }

    pub async fn failed(&self, attempt: Attempt) -> Result<(), StoreError> {
        self.store.note_failure(attempt.name, attempt.place, clock::now_ms().cast_signed()).await
    }

    /// Everything that was asked for was right. False if too much has failed meanwhile for it to count: of guesses
    /// made at the same moment no more than a hundred can come before the right one.
    pub async fn succeeded(&self, attempt: Attempt, vouched: bool) -> Result<bool, StoreError> {
        let now_ms = clock::now_ms().cast_signed();
        let known_since_ms = now_ms - KNOWN_MS;
        let allowed = SuccessWhen { failures_max: FAILURES_MAX, known_since_ms, vouched };
        self.store.note_success(attempt.name, attempt.place, now_ms, allowed).await
    }

    /// Forgets what no longer delays or vouches for anybody.
    pub async fn forget_tries(&self) -> Result<u64, StoreError> {
        let now_ms = clock::now_ms().cast_signed();
        let keep = TriesKeep {
            failed_since_ms: now_ms - FORGIVEN_MS,
            succeeded_since_ms: now_ms - KNOWN_MS,
            names_since_ms: now_ms - KNOWN_MS,
        };
        self.store.purge_tries(keep).await
    }
}

fn verdict(tries: &TriesRow, now_ms: u64) -> Verdict {
    let now_ms = now_ms.cast_signed();
    let next_ms = tries.failed_here_at_ms + delay_ms(tries.failures_here);
    let forgiven = now_ms - tries.failed_here_at_ms >= FORGIVEN_MS;
    if now_ms < next_ms && !forgiven {
        return Verdict::Wait(Duration::from_millis((next_ms - now_ms).unsigned_abs()));
    }
    let is_known = tries.succeeded_here_at_ms > 0 && now_ms - tries.succeeded_here_at_ms < KNOWN_MS;
    match tries.failures >= FAILURES_MAX && !is_known {
        true => Verdict::OnlyVouched,
        false => Verdict::Go,
    }
}

/// From the last failure until the next try, after so many in a row.
fn delay_ms(failures: u32) -> i64 {
    let doublings = failures.saturating_sub(FREE_FAILURES);
    match doublings {
        0 => 0,
        _ => (1_000i64 << (doublings - 1).min(20)).min(DELAY_MS_MAX),
    }
}

/// Typing errors cost nothing.
const FREE_FAILURES: u32 = 5;
const DELAY_MS_MAX: i64 = 900_000;
/// As much as the guidelines allow.
const FAILURES_MAX: u32 = 100;
/// After a calm of a day a place begins anew.
const FORGIVEN_MS: i64 = 86_400_000;
/// For so long a place counts as one where somebody has logged in before.
const KNOWN_MS: i64 = 90 * 86_400_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{block_on, domain};

    const NOW_MS: u64 = 1_700_000_000_000;

    fn after(failures_here: u32, ago_ms: i64) -> TriesRow {
        let failed_here_at_ms = NOW_MS.cast_signed() - ago_ms;
        TriesRow { failures_here, failed_here_at_ms, succeeded_here_at_ms: 0, failures: failures_here }
    }

    #[test]
    fn the_schedule() {
        let seconds: Vec<i64> = (0..20).map(|failures| delay_ms(failures) / 1_000).collect();
        assert_eq!(seconds, [0, 0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900, 900]);
        assert_eq!(delay_ms(u32::MAX), DELAY_MS_MAX);
        assert_eq!(verdict(&TriesRow::default(), NOW_MS), Verdict::Go);
        assert_eq!(verdict(&after(5, 0), NOW_MS), Verdict::Go);
        assert_eq!(verdict(&after(8, 1_000), NOW_MS), Verdict::Wait(Duration::from_secs(3)));
        assert_eq!(verdict(&after(8, 4_000), NOW_MS), Verdict::Go);
        assert_eq!(verdict(&after(99, 900_000), NOW_MS), Verdict::Go);
        let clock_went_back = after(20, -3_600_000);
        assert!(matches!(verdict(&clock_went_back, NOW_MS), Verdict::Wait(_)));
    }

    #[test]
    fn beyond_the_bound_only_known_places_go_on() {
        let many = TriesRow { failures: FAILURES_MAX, ..TriesRow::default() };
        let known = TriesRow { succeeded_here_at_ms: NOW_MS.cast_signed() - KNOWN_MS + 1, ..many };
        let long_ago = TriesRow { succeeded_here_at_ms: NOW_MS.cast_signed() - KNOWN_MS, ..many };
        assert_eq!(verdict(&many, NOW_MS), Verdict::OnlyVouched);
        assert_eq!(verdict(&known, NOW_MS), Verdict::Go);
        assert_eq!(verdict(&long_ago, NOW_MS), Verdict::OnlyVouched);
    }

    #[test]
    fn strangers_lock_nobody_out_and_a_guess_beyond_the_bound_does_not_count() {
        let (domain, _folder) = domain();
        let people = &domain.people;
        let office = people.attempt("ana", 1);
        assert!(block_on(people.succeeded(office, false)).unwrap());
        for stranger in 0..u128::from(FAILURES_MAX) {
            let elsewhere = people.attempt(" Ana ", 1_000 + stranger);
            assert_eq!(block_on(people.verdict(elsewhere)).unwrap(), Verdict::Go, "try {stranger}");
            block_on(people.failed(elsewhere)).unwrap();
        }
        let elsewhere = people.attempt("ana", 9);
        assert_eq!(block_on(people.verdict(elsewhere)).unwrap(), Verdict::OnlyVouched);
        assert!(!block_on(people.succeeded(elsewhere, false)).unwrap(), "begun before, right after");
        assert_eq!(block_on(people.verdict(people.attempt("bob", 9))).unwrap(), Verdict::Go);
        assert_eq!(block_on(people.verdict(office)).unwrap(), Verdict::Go);
        assert!(block_on(people.succeeded(elsewhere, true)).unwrap(), "the second factor vouches");
        assert_eq!(block_on(people.verdict(people.attempt("ana", 10))).unwrap(), Verdict::Go, "counted anew");
        assert_eq!(block_on(people.forget_tries()).unwrap(), 0, "nothing is old");
    }

    #[test]
    fn a_place_that_fails_waits_and_another_does_not() {
        let (domain, _folder) = domain();
        let people = &domain.people;
        let (here, there) = (people.attempt("ana", 1), people.attempt("ana", 2));
        (0..12).for_each(|_| block_on(people.failed(here)).unwrap());
        assert!(matches!(block_on(people.verdict(here)).unwrap(), Verdict::Wait(_)));
        assert_eq!(block_on(people.verdict(there)).unwrap(), Verdict::Go);
    }
}
