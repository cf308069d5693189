//! Who may ask how often: budgets on the board, exact over all workers, and the headers that tell.
use std::hash::{DefaultHasher, Hash, Hasher};

use hotline::board::{Board, Taken};
use hotline::config::Budget;
use http::StatusCode;
use http::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};

use crate::problem::Problem;

/// Whose budget it is. The variants never share a cell.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) enum Payer {
    /// An IPv4 address or an IPv6 /64.
    Address(u128),
    User(u128),
    /// Log-ins from one address.
    LoginAddress(u128),
    /// Codes for one half of a log-in.
    Challenge(u128),
    /// A log-in's first half that opens once.
    ChallengeUsed(u128),
    /// Uploads of one user.
    Voice(u128),
    /// Requests that one user marked as an emergency.
    Emergency(u128),
    /// Messages of one live session.
    Live(u128),
    /// A ticket that works once.
    Ticket(u128),
}

/// What was taken from which budget; becomes the answer's headers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Charge {
    budget: Budget,
    taken: Taken,
    name: &'static str,
}

/// Takes one request from the payer's budget.
pub(crate) fn charge(board: &Board, boot_id: u64, payer: Payer, budget: Budget, now_ms: u64) -> Charge {
    let taken = board.take(key(boot_id, payer), budget, 1, now_ms);
    Charge { budget, taken, name: payer.name() }
}

impl Charge {
    pub(crate) fn allowed(&self) -> bool {
        self.taken.allowed
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// The refusal, if it is one.
    pub(crate) fn refusal(&self) -> Option<Problem> {
        if self.taken.allowed {
            return None;
        }
        let retry_s = self.taken.retry_after_ms.div_ceil(1_000).max(1);
        Some(
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate-limited", "Rate limit exceeded")
                .detail("Too many requests, please try again later")
                .member("message", "Too many requests, please try again later")
                .member("retryAfterSeconds", retry_s)
                .header(RETRY_AFTER, HeaderValue::from(retry_s)),
        )
    }

    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        headers.insert(&LIMIT, HeaderValue::from(self.budget.requests));
        headers.insert(&REMAINING, HeaderValue::from(self.taken.remaining));
        headers.insert(&RESET, HeaderValue::from(self.taken.reset_ms.div_ceil(1_000)));
        let policy = format!("{};w={}", self.budget.requests, self.budget.window_seconds);
        if let Ok(policy) = HeaderValue::try_from(policy) {
            headers.insert(&POLICY, policy);
        }
    }
}

impl Payer {
    fn name(self) -> &'static str {
        match self {
            Self::Address(_) => "anonymous",
            Self::User(_) => "authenticated",
            Self::LoginAddress(_) => "login",
            Self::Challenge(_) | Self::ChallengeUsed(_) => "second-factor",
            Self::Voice(_) => "voice",
            Self::Emergency(_) => "emergency",
            Self::Live(_) => "live",
            Self::Ticket(_) => "ticket",
        }
    }
}

/// The same on every worker of one boot: they run one build, and its hasher has fixed keys.
fn key(boot_id: u64, payer: Payer) -> u64 {
    let mut hasher = DefaultHasher::new();
    (boot_id, payer).hash(&mut hasher);
    hasher.finish()
}

static LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
static REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
static RESET: HeaderName = HeaderName::from_static("ratelimit-reset");
static POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_700_000_000_000;
    const BUDGET: Budget = Budget { requests: 2, window_seconds: 60 };

    #[test]
    fn the_third_of_two_is_refused_with_when_to_come_back() {
        let (board, _fd) = Board::create(1).unwrap();
        let ask = || charge(&board, 1, Payer::Address(5), BUDGET, NOW_MS);
        assert!(ask().refusal().is_none());
        let mut headers = HeaderMap::new();
        ask().write(&mut headers);
        assert_eq!(headers["ratelimit-limit"], "2");
        assert_eq!(headers["ratelimit-remaining"], "0");
        assert_eq!(headers["ratelimit-reset"], "60");
        assert_eq!(headers["ratelimit-policy"], "2;w=60");
        let refusal = ask().refusal().unwrap();
        assert_eq!((refusal.status.as_u16(), refusal.error), (429, "Rate limit exceeded"));
        assert_eq!(refusal.headers[RETRY_AFTER], "30");
        assert_eq!(refusal.members["message"], "Too many requests, please try again later");
    }

    #[test]
    fn payers_of_different_kinds_never_share() {
        let (board, _fd) = Board::create(1).unwrap();
        let once = Budget { requests: 1, window_seconds: 60 };
        let payers = [
            Payer::Address(5),
            Payer::User(5),
            Payer::LoginAddress(5),
            Payer::Challenge(5),
            Payer::ChallengeUsed(5),
            Payer::Voice(5),
            Payer::Ticket(5),
        ];
        for payer in payers {
            assert!(charge(&board, 1, payer, once, NOW_MS).allowed(), "{payer:?}");
            assert!(!charge(&board, 1, payer, once, NOW_MS).allowed(), "{payer:?}");
        }
    }
}
