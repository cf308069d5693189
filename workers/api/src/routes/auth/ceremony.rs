//! A passkey's challenge, and what is made of the answer.
//!
//! No worker remembers a challenge: the caller holds it, sealed, bound to what it is for and good for five minutes,
//! so any worker may be asked. Whatever is answered to it takes it in the store, in the transaction of its effect, so
//! it is good once. A device's count that does not grow suspends its passkey; an answer that is merely repeated does
//! not, or whoever overhears one could take a colleague's passkey away.
use data_encoding::BASE64URL_NOPAD;
use hotline::audit::{EventType, Severity};
use hotline::vault::{Aad, KeyClass};
use hotline_domain::people::{Passkey, Person, challenge_use};
use hotline_domain::store::{ChallengeUse, PasskeyTaken};
use hotline_passkeys::{Begun, Credential, Refusal};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::app::Shared;
use crate::gate::Visit;
use crate::problem::{Problem, Reply};
use crate::trail::{self, Act};

/// What a browser is to ask its devices.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PasskeyOptions {
    /// To be sent along with the answer, within five minutes.
    ceremony_id: String,
    /// For `navigator.credentials`, as `parseCreationOptionsFromJSON` or `parseRequestOptionsFromJSON` read it.
    #[schema(value_type = Object)]
    public_key: Value,
    expires_in_seconds: u64,
}

/// What a device answered.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct PasskeyAnswer {
    ceremony_id: String,
    /// As `PublicKeyCredential.toJSON()` gives it.
    #[schema(value_type = Object)]
    credential: Value,
}

/// What a ceremony is for. One for one thing is good for no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Purpose {
    /// Of a session: a new passkey.
    Register(Uuid),
    /// Of nobody yet.
    LogIn,
    /// Of a log-in whose password was right.
    SecondFactor(Uuid),
    /// Of a session: a factor shown again.
    StepUp(Uuid),
}

/// A ceremony whose answer has come.
pub(super) struct Ceremony {
    pub(super) challenge: ChallengeUse,
    pub(super) state: String,
}

/// A passkey was shown and was not good; told to the log alone.
pub(super) struct NotShown {
    user: Option<Uuid>,
    why: &'static str,
}

#[derive(Serialize, Deserialize)]
struct Sealed {
    purpose: Purpose,
    expires_at_s: u64,
    state: String,
}

/// Gives a ceremony into the caller's hands.
pub(super) fn begin(app: &Shared, purpose: Purpose, begun: Begun) -> Reply<PasskeyOptions> {
    let id = Uuid::new_v4();
    let sealed = Sealed { purpose, expires_at_s: app.now_ms() / 1_000 + SECONDS, state: begun.state };
    let sealed = serde_json::to_vec(&sealed).map_err(|_| Problem::internal())?;
    let sealed = app.vault.seal(KeyClass::Person, &place(&id.to_string()), &sealed).map_err(|_| Problem::internal())?;
    let ceremony_id = format!("{}.{}", id.simple(), BASE64URL_NOPAD.encode(&sealed));
    Ok(PasskeyOptions { ceremony_id, public_key: begun.options, expires_in_seconds: SECONDS })
}

impl PasskeyAnswer {
    /// The ceremony it belongs to, if it was for this and is not over.
    pub(super) fn ceremony(&self, app: &Shared, purpose: Purpose) -> Reply<Ceremony> {
        self.opened(app, purpose).ok_or_else(|| {
            Problem::new(StatusCode::UNAUTHORIZED, "challenge-over", "Invalid credentials")
                .detail("The challenge is over, or was for something else; ask for another.")
        })
    }

    fn opened(&self, app: &Shared, purpose: Purpose) -> Option<Ceremony> {
        let (id, sealed) = self.ceremony_id.split_once('.').filter(|(_, sealed)| sealed.len() <= SEALED_CHARS_MAX)?;
        let id = Uuid::try_parse(id).ok()?;
        let sealed = BASE64URL_NOPAD.decode(sealed.as_bytes()).ok()?;
        let sealed = app.vault.open(KeyClass::Person, &place(&id.to_string()), &sealed).ok()?;
        let sealed: Sealed = serde_json::from_slice(&sealed).ok()?;
        let is_good = sealed.purpose == purpose && app.now_ms() / 1_000 < sealed.expires_at_s;
        let challenge = challenge_use(id, sealed.expires_at_s);
        is_good.then_some(Ceremony { challenge, state: sealed.state })
    }

    pub(super) fn credential(&self) -> &Value {
        &self.credential
    }

    /// Whose passkey this is and that it was here, now, with its user verified; for `expected`, if somebody is.
    pub(super) async fn shown(
        &self,
        app: &Shared,
        visit: &Visit,
        ceremony: Ceremony,
        expected: Option<Uuid>,
    ) -> Reply<Result<(Person, Passkey), NotShown>> {
        let not_shown = |user, why| Ok(Err(NotShown { user, why }));
        let claimed = match app.passkeys.claimed(&self.credential) {
            Ok(claimed) => claimed,
            Err(refusal) => return not_shown(None, name_of(refusal)),
        };
        let people = &app.domain.people;
        let found = people.passkey(&claimed.credential_id).await.map_err(|error| app.broken(error))?;
        let Some(passkey) = found else { return not_shown(None, "unknown") };
        let user = Some(passkey.user);
        // A log-in by passkey alone needs the device to say whose account it is.
        let is_theirs = match expected {
            Some(_) => expected == user && (claimed.user.is_none() || claimed.user == user),
            None => claimed.user == user,
        };
        if !is_theirs {
            return not_shown(user, "another-account");
        }
        if passkey.suspended {
            return not_shown(user, "suspended");
        }
        let person = people.by_id(passkey.user).await.map_err(|error| app.broken(error))?;
        let Some(person) = person.filter(|person| !person.disabled) else { return not_shown(user, "closed") };
        let credential = Credential::parse(&passkey.credential).ok_or_else(Problem::internal)?;
        let taken = match app.passkeys.finish(&ceremony.state, &self.credential, &credential) {
            Ok(now) => {
                let (text, count) = (now.text(), now.sign_count());
                people.take_passkey(&passkey, text, count, ceremony.challenge).await
            }
            Err(Refusal::Cloned) => people
                .suspend_passkey(&passkey, ceremony.challenge)
                .await
                .map(|was_first| if was_first { PasskeyTaken::Cloned } else { PasskeyTaken::Replayed }),
            Err(refusal) => return not_shown(user, name_of(refusal)),
        };
        match taken.map_err(|error| app.broken(error))? {
            PasskeyTaken::Done => Ok(Ok((person, passkey))),
            PasskeyTaken::Replayed => not_shown(user, "replayed"),
            PasskeyTaken::Gone => not_shown(user, "gone"),
            PasskeyTaken::Cloned => {
                let act = Act::new(EventType::SystemChange, "auth.passkey.suspend", passkey.id)
                    .severity(Severity::High)
                    .actor("hotline")
                    .details(json!({ "user": passkey.user, "why": "its device's count did not grow: there are two" }));
                trail::change(app, visit, act).await?;
                not_shown(user, "cloned")
            }
        }
    }
}

impl NotShown {
    pub(super) fn details(&self) -> Value {
        json!({ "user": self.user, "why": self.why })
    }
}

fn name_of(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Malformed => "malformed",
        Refusal::Unverified => "user-not-verified",
        Refusal::ForeignOrigin => "foreign-origin",
        Refusal::Cloned => "cloned",
        Refusal::Forged => "forged",
    }
}

fn place(row: &str) -> Aad<'_> {
    Aad { table: "passkeys", row, column: "ceremony", version: 1 }
}

/// As long as the other half of a log-in.
const SECONDS: u64 = 300;
/// What is sealed has some hundred bytes; a new passkey's has the names of nine others.
const SEALED_CHARS_MAX: usize = 32_768;
