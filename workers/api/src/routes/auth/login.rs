//! Log-in: a name and a password, then a code where there is a second factor.
//!
//! Between the two the caller holds a challenge: signed, good for five minutes, a few codes and one log-in, on
//! whichever worker. It is void when the person changes. Who sends the code along with the password needs none.
use axum::extract::State;
use hotline::audit::EventType;
use hotline::config::Budget;
use hotline_domain::people::Person;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::ceremony::{self, PasskeyAnswer, PasskeyOptions, Purpose};
use super::{CODE_BYTES_MAX, LoggedIn, PASSWORD_BYTES_MAX, credentials, guard, logged_in};
use crate::app::Shared;
use crate::gate::{self, Claims, Payer, Visit, neighbourhood};
use crate::json::Json;
use crate::problem::{Problem, Reply};
use crate::routes::{ProblemBody, json};
use crate::trail::{self, Act};

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credentials {
    username: String,
    password: String,
    /// Of the authenticator app, or a recovery code: the second step in the same request.
    code: Option<String>,
}

/// The password was right; the second factor is asked for.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MfaChallenge {
    mfa_required: bool,
    /// For `POST /api/v1/auth/login/mfa`, within five minutes.
    challenge_id: String,
    /// Of `passkey`, `totp` and `recovery` those that the account has.
    methods: Vec<&'static str>,
    /// For a passkey of theirs.
    #[serde(skip_serializing_if = "Option::is_none")]
    passkey: Option<PasskeyOptions>,
    expires_in_seconds: u64,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct MfaAnswer {
    challenge_id: String,
    /// Six digits of the authenticator app, or a recovery code.
    code: Option<String>,
    /// Instead of a code.
    passkey: Option<PasskeyAnswer>,
}

/// Either a session, or what is still to be shown.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code)] // only described
pub(crate) enum LoginAnswer {
    LoggedIn(LoggedIn),
    MfaChallenge(MfaChallenge),
}

/// A session for a name and a password, or a challenge for the second factor. Unknown names and wrong passwords
/// look and take the same.
#[utoipa::path(post, path = "/api/v1/auth/login", tag = "auth", security(()), request_body = Credentials,
    responses((status = 200, body = LoginAnswer), (status = 401, body = ProblemBody), (status = 429, body = ProblemBody)))]
pub(crate) async fn login(
    State(app): State<Shared>,
    visit: Visit,
    Json { value: credentials, .. }: Json<Credentials>,
) -> Reply {
    let Credentials { username, password, code } = credentials;
    let (password, code) = (Zeroizing::new(password), code.map(Zeroizing::new));
    if username.len() > NAME_BYTES_MAX || password.len() > PASSWORD_BYTES_MAX {
        return Err(Problem::invalid("/username", "is too long, or the password is"));
    }
    if code.as_ref().is_some_and(|code| code.len() > CODE_BYTES_MAX) {
        return Err(Problem::invalid("/code", "is too long"));
    }
    charge_address(&app, &visit)?;
    let attempt = guard::attempt(&app, &visit, &username);
    let is_guarded = guard::may_try(&app, attempt, code.is_some()).await?;
    // The hash is computed on threads with a queue of their own.
    let rest = app.admission.rest(visit.ticket);
    let verified = app.domain.people.verify(&username, &password).await;
    drop(rest);
    let Some(person) = verified.map_err(|error| app.broken(error))? else {
        return guard::wrong(&app, &visit, attempt, "auth.login", json!({ "name": username })).await;
    };
    let is_in = match (person.has_factor, code) {
        (true, None) => return challenge(&app, &visit, &person).await,
        // Which half was wrong is not told, and neither is that it cannot be tried any more.
        (true, Some(code)) => match guard::take_code(&app, &visit, &person, &code).await {
            Ok(is_right) => is_right,
            Err(problem) if problem.status == StatusCode::TOO_MANY_REQUESTS => false,
            Err(problem) => return Err(problem),
        },
        // The right password alone is no way in where it may have been guessed.
        (false, _) => !is_guarded,
    };
    let factors = if person.has_factor { 2 } else { 1 };
    match is_in && app.domain.people.succeeded(attempt, factors > 1).await.map_err(|error| app.broken(error))? {
        true => enter(&app, &visit, &person, factors).await,
        false => guard::wrong(&app, &visit, attempt, "auth.login", json!({ "name": username })).await,
    }
}

/// The second step of a log-in.
#[utoipa::path(post, path = "/api/v1/auth/login/mfa", tag = "auth", security(()), request_body = MfaAnswer,
    responses((status = 200, body = LoggedIn), (status = 401, body = ProblemBody), (status = 429, body = ProblemBody)))]
pub(crate) async fn login_mfa(
    State(app): State<Shared>,
    visit: Visit,
    Json { value: answer, .. }: Json<MfaAnswer>,
) -> Reply {
    let MfaAnswer { challenge_id, code, passkey } = answer;
    let code = code.map(Zeroizing::new);
    if code.as_ref().is_some_and(|code| code.len() > CODE_BYTES_MAX) {
        return Err(Problem::invalid("/code", "is too long"));
    }
    let claims =
        app.tokens.verify(gate::Purpose::Challenge, &challenge_id, app.now_ms() / 1_000).map_err(|_| over())?;
    let tries = app.charge(Payer::Challenge(claims.session.as_u128()), CODES_FOR_A_CHALLENGE);
    if let Some(refusal) = tries.refusal() {
        app.meters.rate_limited(tries.name());
        return Err(refusal);
    }
    let person = app.domain.people.by_id(claims.user).await.map_err(|error| app.broken(error))?;
    let still_is = |person: &Person| claims.serial == epoch_mark(person) && person.has_factor && !person.disabled;
    let person = person.filter(still_is).ok_or_else(over)?;
    match (code, passkey) {
        (Some(code), None) => {
            if !guard::take_code(&app, &visit, &person, &code).await? {
                return guard::denied(&app, &visit, "auth.login.code", json!({ "user": person.id })).await;
            }
        }
        (None, Some(passkey)) => {
            let ceremony = passkey.ceremony(&app, Purpose::SecondFactor(claims.session))?;
            if let Err(not_shown) = passkey.shown(&app, &visit, ceremony, Some(person.id)).await? {
                return guard::denied(&app, &visit, "auth.login.passkey", not_shown.details()).await;
            }
        }
        _ => return Err(Problem::invalid("/code", "is needed, or /passkey instead of it")),
    }
    if !app.charge(Payer::ChallengeUsed(claims.session.as_u128()), ONCE).allowed() {
        return Err(over());
    }
    let attempt = guard::attempt(&app, &visit, &person.name);
    app.domain.people.succeeded(attempt, true).await.map_err(|error| app.broken(error))?;
    enter(&app, &visit, &person, 2).await
}

async fn challenge(app: &Shared, visit: &Visit, person: &Person) -> Reply {
    trail::change(app, visit, Act::new(EventType::Login, "auth.login.password", person.id).actor(person.id)).await?;
    let now_s = app.now_ms() / 1_000;
    let claims = Claims {
        user: person.id,
        session: Uuid::new_v4(),
        serial: epoch_mark(person),
        expires_at_s: now_s + CHALLENGE_SECONDS,
    };
    let challenge_id = app.tokens.sign(gate::Purpose::Challenge, &claims, now_s).ok_or_else(Problem::internal)?;
    let people = &app.domain.people;
    let has_app = people.has_app(person.id).await.map_err(|error| app.broken(error))?;
    let mut passkeys = people.passkeys(person.id).await.map_err(|error| app.broken(error))?;
    passkeys.retain(|passkey| !passkey.suspended);
    let passkey = match passkeys.is_empty() {
        true => None,
        false => {
            let begun = app.passkeys.begin(&credentials(&passkeys)).map_err(|_| Problem::internal())?;
            Some(ceremony::begin(app, Purpose::SecondFactor(claims.session), begun)?)
        }
    };
    let offered = [("passkey", passkey.is_some()), ("totp", has_app), ("recovery", true)];
    let methods = offered.into_iter().filter_map(|(method, is_there)| is_there.then_some(method)).collect();
    let expires_in_seconds = CHALLENGE_SECONDS;
    Ok(json(StatusCode::OK, &MfaChallenge { mfa_required: true, challenge_id, methods, passkey, expires_in_seconds }))
}

/// All that was asked for was right.
pub(super) async fn enter(app: &Shared, visit: &Visit, person: &Person, factors: u8) -> Reply {
    let act =
        Act::new(EventType::Login, "auth.login", person.id).actor(person.id).details(json!({ "factors": factors }));
    trail::change(app, visit, act).await?;
    let session = app.start_session(person, factors, None).await?.ok_or_else(guard::moved)?;
    logged_in(app, person, &session)
}

/// Every try counts, so that many names do not help a guesser.
pub(crate) fn charge_address(app: &Shared, visit: &Visit) -> Reply<()> {
    let charge = app.charge(Payer::LoginAddress(neighbourhood(visit.address)), app.config.rate.login);
    let Some(mut refusal) = charge.refusal() else { return Ok(()) };
    app.meters.rate_limited(charge.name());
    charge.write(&mut refusal.headers);
    Err(refusal)
}

/// What the password was right for; moves when the person changes.
fn epoch_mark(person: &Person) -> Uuid {
    Uuid::from_u128(u128::from(person.epoch))
}

fn over() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "challenge-over", "Invalid credentials")
        .detail("Log in with the password again.")
}

const CHALLENGE_SECONDS: u64 = 300;
/// Five at once, and one or two more while the challenge lasts.
const CODES_FOR_A_CHALLENGE: Budget = Budget { requests: 5, window_seconds: 600 };
/// Longer than a challenge lives.
const ONCE: Budget = Budget { requests: 1, window_seconds: 600 };
/// No account has a longer name.
const NAME_BYTES_MAX: usize = 256;
