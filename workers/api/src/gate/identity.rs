//! Who is calling: a token names a session, and the session on the board says what it may do.
//!
//! The board answers in nanoseconds and knows revocations at once; a session it does not hold is
//! asked of the store and put there. A session ends after its absolute life or when it was idle.
use axum::extract::FromRequestParts;
use hotline::board::SessionCell;
use hotline::config::Mfa;
use hotline_domain::policy::{Actor, Circumstances, Minute, Permissions, Purpose, Role, Standing, Who};
use http::header::{AUTHORIZATION, COOKIE};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use uuid::Uuid;

use super::headers::X_PURPOSE;
use super::token::Purpose as TokenPurpose;
use super::{Claims, Route, Visit};
use crate::app::Shared;
use crate::problem::{Problem, Reply};

/// What the caller brought to be recognised by.
#[derive(Clone, Copy)]
pub(crate) enum Credential<'a> {
    None,
    Bearer(&'a str),
    Cookie(&'a str),
    /// Something in `Authorization` that is no bearer token.
    Unusable,
}

/// Somebody whose session lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Principal {
    pub(crate) user: Uuid,
    pub(crate) session: Uuid,
    pub(crate) standing: Standing,
    /// What the policies let this standing do at all, this minute.
    pub(crate) permissions: Permissions,
    /// When, and what for.
    pub(crate) when: Circumstances,
    /// Of somebody who called: the one case they see something of.
    pub(crate) own_case: Option<Uuid>,
    /// Moves when the rights do.
    pub(crate) epoch: u32,
    pub(crate) expires_at_ms: u64,
    /// What is to be set in order first; until then there are no permissions.
    pub(crate) owes: Option<Owed>,
}

/// What keeps somebody from everything but setting it in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owed {
    /// The password was given by somebody else.
    Password,
    /// The house asks its staff for a second factor.
    Factor,
}

impl Owed {
    pub(crate) fn of(lacks_factor: bool, must_change_password: bool, mfa: Mfa) -> Option<Self> {
        match (must_change_password, lacks_factor && mfa == Mfa::Required) {
            (true, _) => Some(Self::Password),
            (false, true) => Some(Self::Factor),
            (false, false) => None,
        }
    }

    pub(super) fn refusal(self) -> Problem {
        let (code, detail) = match self {
            Self::Password => ("password-change-required", "Replace the password first: POST /api/v1/auth/password."),
            Self::Factor => (
                "mfa-enrolment-required",
                "Set up a second factor first: a passkey (POST /api/v1/auth/passkeys/options) or an app (POST /api/v1/auth/mfa/totp).",
            ),
        };
        Problem::new(StatusCode::FORBIDDEN, code, "Insufficient permissions").detail(detail)
    }
}

/// Extractor: a principal must be there. The gate has seen to it; a handler only says that it needs one.
pub(crate) struct Caller {
    pub(crate) principal: Principal,
    pub(crate) visit: Visit,
}

impl Principal {
    pub(crate) fn may(&self, permission: Permissions) -> bool {
        self.permissions.contain(permission)
    }

    pub(crate) fn actor(&self) -> Actor {
        Actor { who: self.who(), when: self.when }
    }

    pub(crate) fn who(&self) -> Who {
        Who { user: self.user, standing: self.standing }
    }
}

impl Caller {
    /// 403 without the permission.
    pub(crate) fn must(&self, permission: Permissions) -> Reply<()> {
        match self.principal.may(permission) {
            true => Ok(()),
            false => Err(Problem::forbidden()),
        }
    }
}

impl<'a> Credential<'a> {
    pub(crate) fn find(headers: &'a HeaderMap) -> Self {
        if let Some(value) = headers.get(AUTHORIZATION) {
            let bearer = value.to_str().ok().and_then(|value| value.split_once(' '));
            return match bearer {
                Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Self::Bearer(token.trim()),
                _ => Self::Unusable,
            };
        }
        let cookies = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
        let mut pairs = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        match pairs.find(|(name, _)| *name == SESSION_COOKIE) {
            Some((_, token)) => Self::Cookie(token),
            None => Self::None,
        }
    }
}

/// The principal, or the challenge that a private route answers with.
pub(super) async fn resolve(
    app: &Shared,
    credential: &Credential<'_>,
    purpose: Option<Purpose>,
    route: Route,
) -> Result<Principal, Problem> {
    let token = match credential {
        Credential::None => return Err(Problem::unauthorized(CHALLENGE)),
        Credential::Unusable => return Err(Problem::unauthorized(INVALID)),
        Credential::Bearer(token) | Credential::Cookie(token) => token,
    };
    // Tokens of callers are good for their own routes, and no others are good for those.
    let kind = if route.is_for_callers() { TokenPurpose::Caller } else { TokenPurpose::Bearer };
    let claims = app.tokens.verify(kind, token, app.now_ms() / 1_000).map_err(|error| {
        app.meters.refused("token");
        tracing::debug!(reason = error.name(), "token refused");
        Problem::unauthorized(INVALID)
    })?;
    let principal = match kind {
        TokenPurpose::Caller => follower(app, claims).await?,
        _ => principal(app, claims.user, claims.session).await?,
    };
    Ok(Principal { when: Circumstances { purpose, ..principal.when }, ..principal })
}

/// Somebody who called, while what lets them in still stands.
async fn follower(app: &Shared, claims: Claims) -> Result<Principal, Problem> {
    let Claims { user: guard, serial: case, expires_at_s, .. } = claims;
    let matter = app.matter(case).await.map_err(|error| app.broken(error))?;
    if !matter.is_some_and(|matter| matter.followers.contains(&guard)) {
        return Err(Problem::unauthorized(INVALID));
    }
    let standing = Standing::new(&[Role::Caller], None, 1);
    let minute = Minute::of_ms(app.now_ms());
    Ok(Principal {
        user: guard,
        session: guard,
        standing,
        permissions: app.domain.access.permissions(standing, minute),
        when: Circumstances { minute, purpose: None },
        own_case: Some(case),
        epoch: 0,
        expires_at_ms: expires_at_s * 1_000,
        owes: None,
    })
}

/// What the request is for, if it says so.
pub(super) fn purpose(headers: &HeaderMap) -> Result<Option<Purpose>, Problem> {
    let Some(value) = headers.get(&X_PURPOSE) else { return Ok(None) };
    let known = value.to_str().ok().and_then(|name| Purpose::parse(name.trim()));
    known.map(Some).ok_or_else(|| {
        let names = Purpose::ALL.map(Purpose::name).join(", ");
        Problem::bad_request("invalid-purpose", format!("X-Purpose is one of {names}."))
    })
}

/// A living session of that user, or the challenge.
pub(crate) async fn principal(app: &Shared, user: Uuid, session: Uuid) -> Result<Principal, Problem> {
    let now_ms = app.now_ms();
    let cell = match app.board.session(session.as_u128()) {
        Some(cell) => cell,
        None => app.session_from_store(session).await?.ok_or_else(|| Problem::unauthorized(INVALID))?,
    };
    if !lives(&cell, user, now_ms, app.config.sessions.idle_seconds) {
        app.meters.refused("session");
        return Err(Problem::unauthorized(INVALID));
    }
    app.board.touch_session(session.as_u128(), now_ms);
    if is_worth_noting(cell.last_seen_ms, now_ms) {
        app.note_session_use(session, now_ms);
    }
    let standing = Standing::from_bits(cell.standing);
    let minute = Minute::of_ms(now_ms);
    let owes = Owed::of(cell.lacks_factor, cell.must_change_password, app.config.people.mfa);
    Ok(Principal {
        user,
        session,
        standing,
        permissions: if owes.is_some() { Permissions::NONE } else { app.domain.access.permissions(standing, minute) },
        when: Circumstances { minute, purpose: None },
        own_case: None,
        epoch: cell.epoch,
        expires_at_ms: cell.expires_at_ms,
        owes,
    })
}

/// True once for each minute of use: for the first use in it. (A session of a machine counts as seen
/// until it expires, so there is nothing to note.)
fn is_worth_noting(seen_ms: u64, now_ms: u64) -> bool {
    seen_ms / NOTE_EVERY_MS < now_ms / NOTE_EVERY_MS
}

/// Whether a session may still be used by the user that the token names.
pub(crate) fn lives(cell: &SessionCell, user: Uuid, now_ms: u64, idle_seconds: u64) -> bool {
    let idle_ms = idle_seconds.saturating_mul(1_000);
    let rested_ms = now_ms.saturating_sub(cell.last_seen_ms);
    !cell.revoked && cell.user == user.as_u128() && now_ms < cell.expires_at_ms && rested_ms < idle_ms
}

impl FromRequestParts<Shared> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _app: &Shared) -> Result<Self, Problem> {
        let visit = parts.extensions.get::<Visit>().cloned().ok_or_else(Problem::internal)?;
        let principal = visit.principal.ok_or_else(|| Problem::unauthorized(CHALLENGE))?;
        Ok(Self { principal, visit })
    }
}

impl FromRequestParts<Shared> for Visit {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _app: &Shared) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(Problem::internal)
    }
}

/// `__Host-`: only over TLS, only to this host, never from a subdomain.
pub(crate) const SESSION_COOKIE: &str = "__Host-session";

const CHALLENGE: &str = r#"Bearer realm="hotline""#;
const INVALID: &str = r#"Bearer realm="hotline", error="invalid_token""#;
/// The store learns at most once a minute that a session is in use.
const NOTE_EVERY_MS: u64 = 60_000;

#[cfg(test)]
use hotline_domain::policy::Action;

#[cfg(test)]
impl Principal {
    pub(crate) fn example(user: u128) -> Self {
        Self {
            user: Uuid::from_u128(user),
            session: Uuid::from_u128(user + 1_000),
            standing: Standing::new(&[Role::Attorney, Role::Supervisor], None, 2),
            permissions: Action::ALL.iter().copied().collect(),
            when: Circumstances { minute: Minute::of_ms(0), purpose: None },
            own_case: None,
            epoch: 1,
            expires_at_ms: u64::MAX,
            owes: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_700_000_000_000;
    const HOUR_S: u64 = 3_600;

    fn cell() -> SessionCell {
        SessionCell {
            user: 1,
            standing: 0,
            epoch: 1,
            expires_at_ms: NOW_MS + 24 * HOUR_S * 1_000,
            last_seen_ms: NOW_MS,
            revoked: false,
            must_change_password: false,
            lacks_factor: false,
        }
    }

    #[test]
    fn a_session_ends_by_age_rest_and_revocation() {
        let user = Uuid::from_u128(1);
        let lives_at = |cell: &SessionCell, ms: u64| lives(cell, user, ms, HOUR_S);
        assert!(lives_at(&cell(), NOW_MS + 3_599_000), "59:59 of rest");
        assert!(!lives_at(&cell(), NOW_MS + 3_601_000), "60:01 of rest");
        let busy = SessionCell { last_seen_ms: NOW_MS + 24 * HOUR_S * 1_000, ..cell() };
        assert!(lives_at(&busy, NOW_MS + 86_399_000), "23:59:59 old");
        assert!(!lives_at(&busy, NOW_MS + 86_401_000), "24:00:01 old");
        assert!(!lives_at(&SessionCell { revoked: true, ..cell() }, NOW_MS));
        assert!(!lives(&cell(), Uuid::from_u128(2), NOW_MS, HOUR_S), "another user's token");
        let machine = SessionCell { last_seen_ms: cell().expires_at_ms, ..cell() };
        assert!(lives_at(&machine, NOW_MS + 3_601_000), "machines may rest: they count as seen until they expire");
    }

    #[test]
    fn steady_use_is_noted_once_a_minute() {
        let mut seen_ms = NOW_MS;
        let noted = (1..=60u64).filter(|n| {
            let now_ms = NOW_MS + n * 10_000;
            is_worth_noting(std::mem::replace(&mut seen_ms, now_ms), now_ms)
        });
        assert_eq!(noted.count(), 10, "ten minutes, used every ten seconds");
        assert!(!is_worth_noting(NOW_MS + 1_000_000, NOW_MS));
    }

    #[test]
    fn credentials_are_found_where_they_may_be() {
        let found = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            match Credential::find(&headers) {
                Credential::Bearer(token) => format!("bearer {token}"),
                Credential::Cookie(token) => format!("cookie {token}"),
                Credential::Unusable => "unusable".to_owned(),
                Credential::None => "none".to_owned(),
            }
        };
        assert_eq!(found("authorization", "Bearer abc"), "bearer abc");
        assert_eq!(found("authorization", "bearer abc"), "bearer abc");
        assert_eq!(found("authorization", "Basic abc"), "unusable");
        assert_eq!(found("authorization", "Bearer"), "unusable");
        assert_eq!(found("cookie", "a=b; __Host-session=abc; c=d"), "cookie abc");
        assert_eq!(found("cookie", "session=abc; x__Host-session=abc"), "none");
        assert_eq!(found("x-token", "abc"), "none");
    }
}
