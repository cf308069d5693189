//! The caller's own passkeys: registered, named, looked at, taken away.
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use hotline::audit::{EventType, Outcome, Severity};
use hotline_domain::people::{Added, NewPasskey, PASSKEYS_MAX, Passkey, Person};
use hotline_domain::store::{Changed, Dropped};
use hotline_passkeys::Credential;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::ceremony::{self, PasskeyAnswer, PasskeyOptions, Purpose};
use super::{guard, timestamp};
use crate::app::Shared;
use crate::gate::Caller;
use crate::json::Json;
use crate::problem::{Problem, Reply};
use crate::routes::users::check_name;
use crate::routes::{ProblemBody, json};
use crate::trail::{self, Act};

#[derive(Serialize, ToSchema)]
pub(crate) struct OwnPasskeys {
    passkeys: Vec<OwnPasskey>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OwnPasskey {
    id: Uuid,
    name: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: String,
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<String>,
    /// Another device was seen to hold it too: it opens nothing any more and should be removed.
    suspended: bool,
}

/// A passkey that a device has made, under a name for its owner's eyes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Registration {
    /// From 2 to 64 characters: "laptop", "key on the ring".
    name: String,
    passkey: PasskeyAnswer,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Registered {
    id: Uuid,
    name: String,
    /// With the first second factor, shown this once; each opens the account one time in place of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery_codes: Option<Vec<String>>,
}

/// The caller's passkeys, in the order in which they were registered.
#[utoipa::path(get, path = "/api/v1/auth/passkeys", tag = "auth",
    responses((status = 200, body = OwnPasskeys), (status = 401, body = ProblemBody)))]
pub(crate) async fn list_passkeys(State(app): State<Shared>, caller: Caller) -> Reply {
    let user = caller.principal.user;
    let passkeys = app.domain.people.passkeys(user).await.map_err(|error| app.broken(error))?;
    trail::reading(&app, &caller.visit, Act::new(EventType::Access, "auth.passkey.list", user)).await?;
    let passkeys = passkeys.into_iter().map(|passkey| OwnPasskey {
        id: passkey.id,
        name: passkey.name,
        created_at: timestamp(passkey.created_at_ms),
        last_used_at: passkey.used_at_ms.map(timestamp),
        suspended: passkey.suspended,
    });
    Ok(json(StatusCode::OK, &OwnPasskeys { passkeys: passkeys.collect() }))
}

/// What a browser is to ask its device for a new passkey.
#[utoipa::path(post, path = "/api/v1/auth/passkeys/options", tag = "auth",
    responses((status = 200, body = PasskeyOptions), (status = 401, body = ProblemBody), (status = 409, body = ProblemBody)))]
pub(crate) async fn passkey_options(State(app): State<Shared>, caller: Caller) -> Reply {
    app.must_be_fresh(&caller).await?;
    let person = guard::person(&app, &caller).await?;
    let known = app.domain.people.passkeys(person.id).await.map_err(|error| app.broken(error))?;
    if known.len() >= PASSKEYS_MAX as usize {
        return Err(too_many(&app));
    }
    let act = Act::new(EventType::SystemChange, "auth.passkey.enrol", person.id).severity(Severity::Medium);
    trail::change(&app, &caller.visit, act).await?;
    let begun = app.passkeys.begin_registration(person.id, &person.name, &credentials(&known));
    let begun = begun.map_err(|_| Problem::internal())?;
    let options = ceremony::begin(&app, Purpose::Register(caller.principal.session), begun)?;
    Ok(json(StatusCode::OK, &options))
}

/// Registers a passkey. From now on a second factor is asked for; other sessions of the caller end, this one goes on
/// with both factors shown.
#[utoipa::path(post, path = "/api/v1/auth/passkeys", tag = "auth", request_body = Registration,
    responses((status = 201, body = Registered), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody), (status = 409, body = ProblemBody)))]
pub(crate) async fn register_passkey(
    State(app): State<Shared>,
    caller: Caller,
    Json { value: Registration { name, passkey }, .. }: Json<Registration>,
) -> Reply {
    let name = check_name(&name).map_err(|reason| Problem::invalid("/name", reason))?;
    app.must_be_fresh(&caller).await?;
    let person = guard::person(&app, &caller).await?;
    let session = caller.principal.session;
    let ceremony = passkey.ceremony(&app, Purpose::Register(session))?;
    let act = || Act::new(EventType::SystemChange, "auth.passkey.add", person.id).severity(Severity::Medium);
    let credential = match app.passkeys.finish_registration(&ceremony.state, passkey.credential()) {
        Ok(credential) => credential,
        Err(refusal) => {
            let denied = act().outcome(Outcome::Denied).details(json!({ "why": refusal.to_string() }));
            trail::change(&app, &caller.visit, denied).await?;
            return Err(Problem::invalid("/passkey/credential", "is not a new passkey of a verified user on our page"));
        }
    };
    let new = NewPasskey {
        name,
        credential_id: credential.id(),
        credential: credential.text(),
        sign_count: credential.sign_count(),
    };
    let added = app.domain.people.add_passkey(&person, new, session, ceremony.challenge).await;
    match added.map_err(|error| app.broken(error))? {
        Added::Done { id, recovery_codes, ended } => {
            app.refresh(&ended, &[session]).await;
            let details = json!({ "passkey": id, "sessionsEnded": ended.len() });
            trail::change(&app, &caller.visit, act().details(details)).await?;
            let codes = recovery_codes.map(|codes| codes.iter().map(|code| code.to_string()).collect());
            Ok(json(StatusCode::CREATED, &Registered { id, name: name.to_owned(), recovery_codes: codes }))
        }
        Added::Known => Err(Problem::new(StatusCode::CONFLICT, "passkey-exists", "Conflict")
            .detail("This passkey is registered already.")),
        Added::TooMany => Err(too_many(&app)),
        Added::Moved => Err(guard::moved()),
        Added::Replayed => Err(Problem::new(StatusCode::CONFLICT, "challenge-over", "Conflict")
            .detail("The challenge was answered before; ask for another.")),
    }
}

/// Takes a passkey away; the caller's other sessions end. Where the house asks for a second factor and this was the
/// last, nothing else is allowed until there is another.
#[utoipa::path(delete, path = "/api/v1/auth/passkeys/{passkeyId}", tag = "auth",
    params(("passkeyId" = Uuid, Path, description = "As the list names it")),
    responses((status = 204), (status = 401, body = ProblemBody), (status = 404, body = ProblemBody)))]
pub(crate) async fn remove_passkey(State(app): State<Shared>, caller: Caller, Path(id): Path<String>) -> Reply {
    app.must_be_fresh(&caller).await?;
    let person = guard::person(&app, &caller).await?;
    let own = app.domain.people.passkeys(person.id).await.map_err(|error| app.broken(error))?;
    let passkey = own.iter().find(|own| own.id.to_string() == id).ok_or_else(Problem::not_found)?;
    remove(&app, &caller, &person, Dropped::Passkey(passkey.id), "auth.passkey.remove").await
}

/// Any second factor of the caller's own.
pub(super) async fn remove(
    app: &Shared,
    caller: &Caller,
    person: &Person,
    what: Dropped,
    action: &'static str,
) -> Reply {
    let subject = match what {
        Dropped::Passkey(id) => id,
        Dropped::App | Dropped::All | Dropped::Nothing => person.id,
    };
    let act = || Act::new(EventType::SystemChange, action, subject).severity(Severity::High);
    trail::change(app, &caller.visit, act()).await?;
    let dropped = app.domain.people.drop_factor(person, what, caller.principal.session).await;
    match dropped.map_err(|error| app.broken(error))? {
        Changed::Done { ended, living } => {
            app.refresh(&ended, &living).await;
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        Changed::NotFound | Changed::Moved | Changed::LastAdministrator => {
            trail::not_done(app, &caller.visit, act());
            Err(guard::moved())
        }
    }
}

/// As the crate that judges them reads them; one that it cannot read is as good as not there.
pub(super) fn credentials(passkeys: &[Passkey]) -> Vec<Credential> {
    passkeys.iter().filter_map(|passkey| Credential::parse(&passkey.credential)).collect()
}

fn too_many(app: &Shared) -> Problem {
    app.meters.refused("passkeys");
    Problem::new(StatusCode::CONFLICT, "too-many-passkeys", "Conflict")
        .detail(format!("{PASSKEYS_MAX} passkeys are the most an account has; remove one first."))
}
