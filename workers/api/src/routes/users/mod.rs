//! People with an account, for who manages them: invited, listed, given roles, closed, given a new start.
//!
//! Each act needs a factor shown in the last ten minutes, is recorded before it is done, and holds on every worker
//! with the next request. Nobody changes their own account here, and the last administrator stays.
mod operator;
#[cfg(test)]
mod tests;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use hotline::audit::{EventType, Severity};
use hotline_domain::people::{Person, Reset, StaffChange};
use hotline_domain::policy::{Clearance, Permissions, Role};
use hotline_domain::store::Changed;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::app::Shared;
use crate::gate::Caller;
use crate::json::Json;
use crate::problem::{Problem, Reply};
use crate::routes::auth::timestamp;
use crate::routes::{ProblemBody, json};
use crate::trail::{self, Act};

pub(crate) use operator::act_on_people;

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Account {
    id: Uuid,
    username: String,
    roles: Vec<&'static str>,
    /// Of their own; none: as their roles are.
    clearance: Option<&'static str>,
    disabled: bool,
    /// Has a second factor.
    mfa: bool,
    must_change_password: bool,
    #[schema(value_type = String, format = DateTime)]
    created_at: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Accounts {
    users: Vec<Account>,
    /// For `after`, if there are more.
    next: Option<Uuid>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccountsQuery {
    /// The `next` of the page before.
    after: Option<Uuid>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Invitation {
    username: String,
    roles: Vec<String>,
}

/// The password is shown this once and opens nothing but its own replacement.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Invited {
    user: Account,
    one_time_password: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccountChange {
    roles: Option<Vec<String>>,
    /// A classification, or `BY_ROLE`.
    clearance: Option<String>,
    disabled: Option<bool>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccountReset {
    /// A new one-time password in place of the present one.
    #[serde(default)]
    password: bool,
    /// The second factor is taken away.
    #[serde(default)]
    factor: bool,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AccountStart {
    user: Account,
    one_time_password: Option<String>,
}

/// Everybody with an account, in the order in which they came.
#[utoipa::path(get, path = "/api/v1/users", tag = "users", params(AccountsQuery),
    responses((status = 200, body = Accounts), (status = 403, body = ProblemBody)))]
pub(crate) async fn list(
    State(app): State<Shared>,
    caller: Caller,
    query: Result<Query<AccountsQuery>, QueryRejection>,
) -> Reply {
    caller.must(Permissions::USER_MANAGE)?;
    let Query(query) = query.map_err(|_| Problem::bad_request("invalid-query", "A filter is unknown or malformed."))?;
    let page = app.domain.people.list(query.after, PAGE + 1).await.map_err(|error| app.broken(error))?;
    trail::reading(&app, &caller.visit, Act::new(EventType::DataAccess, "user.list", "")).await?;
    let more = page.len() > PAGE as usize;
    let users: Vec<Account> = page.into_iter().take(PAGE as usize).map(account).collect();
    let next = users.last().filter(|_| more).map(|last| last.id);
    Ok(json(StatusCode::OK, &Accounts { users, next }))
}

/// An account for somebody new.
#[utoipa::path(post, path = "/api/v1/users", tag = "users", request_body = Invitation,
    responses((status = 201, body = Invited), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody), (status = 409, body = ProblemBody)))]
pub(crate) async fn invite(
    State(app): State<Shared>,
    caller: Caller,
    Json { value: Invitation { username, roles }, .. }: Json<Invitation>,
) -> Reply {
    caller.must(Permissions::USER_MANAGE)?;
    app.must_be_fresh(&caller).await?;
    let username = check_name(&username).map_err(|reason| Problem::invalid("/username", reason))?;
    let roles = check_roles(&roles).map_err(|reason| Problem::invalid("/roles", reason))?;
    let act = || user_act("user.invite", "").details(json!({ "name": username, "roles": names(&roles) }));
    trail::change(&app, &caller.visit, act()).await?;
    match app.domain.people.invite(username, &roles).await.map_err(|error| app.broken(error))? {
        Some((person, password)) => {
            let body = Invited { user: account(person), one_time_password: password.to_string() };
            Ok(json(StatusCode::CREATED, &body))
        }
        None => {
            trail::not_done(&app, &caller.visit, act());
            Err(Problem::new(StatusCode::CONFLICT, "name-taken", "Conflict")
                .detail("Somebody has this name.")
                .at("/username"))
        }
    }
}

/// Gives roles, closes an account or opens it again.
#[utoipa::path(patch, path = "/api/v1/users/{userId}", tag = "users", request_body = AccountChange,
    params(("userId" = Uuid, Path, description = "Whose account")),
    responses((status = 200, body = Account), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
pub(crate) async fn change(
    State(app): State<Shared>,
    caller: Caller,
    Path(id): Path<String>,
    Json { value: change, .. }: Json<AccountChange>,
) -> Reply {
    let id = app.somebody_else(&caller, &id).await?;
    let roles = match &change.roles {
        Some(roles) => Some(check_roles(roles).map_err(|reason| Problem::invalid("/roles", reason))?),
        None => None,
    };
    let clearance = change.clearance.as_deref().map(check_clearance).transpose();
    let clearance = clearance.map_err(|reason| Problem::invalid("/clearance", reason))?;
    let details =
        json!({ "roles": roles.as_deref().map(names), "clearance": change.clearance, "disabled": change.disabled });
    let act = || user_act("user.change", id).details(details.clone());
    trail::change(&app, &caller.visit, act()).await?;
    let to = StaffChange { roles: roles.as_deref(), clearance, disabled: change.disabled };
    let changed = app.domain.people.change(id, to).await.map_err(|error| app.broken(error))?;
    if let Err(problem) = app.carry_through(changed).await {
        trail::not_done(&app, &caller.visit, act());
        return Err(problem);
    }
    Ok(json(StatusCode::OK, &account(app.account_of(id).await?)))
}

/// A new start for somebody who lost what they log in with. All their sessions end.
#[utoipa::path(post, path = "/api/v1/users/{userId}/reset", tag = "users", request_body = AccountReset,
    params(("userId" = Uuid, Path, description = "Whose account")),
    responses((status = 200, body = AccountStart), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody), (status = 404, body = ProblemBody)))]
pub(crate) async fn reset(
    State(app): State<Shared>,
    caller: Caller,
    Path(id): Path<String>,
    Json { value: AccountReset { password, factor }, .. }: Json<AccountReset>,
) -> Reply {
    let id = app.somebody_else(&caller, &id).await?;
    let act = || user_act("user.reset", id).details(json!({ "password": password, "factor": factor }));
    trail::change(&app, &caller.visit, act()).await?;
    let rest = app.admission.rest(caller.visit.ticket);
    let done = app.domain.people.reset(id, Reset { password, factor }).await;
    drop(rest);
    let (changed, one_time_password) = done.map_err(|error| app.broken(error))?;
    if let Err(problem) = app.carry_through(changed).await {
        trail::not_done(&app, &caller.visit, act());
        return Err(problem);
    }
    let one_time_password = one_time_password.map(|password| password.to_string());
    Ok(json(StatusCode::OK, &AccountStart { user: account(app.account_of(id).await?), one_time_password }))
}

impl crate::app::App {
    /// Whom an administrator may act on: not on themselves.
    async fn somebody_else(&self, caller: &Caller, id: &str) -> Reply<Uuid> {
        caller.must(Permissions::USER_MANAGE)?;
        self.must_be_fresh(caller).await?;
        let id = Uuid::try_parse(id).map_err(|_| Problem::not_found())?;
        match id == caller.principal.user {
            false => Ok(id),
            true => Err(Problem::new(StatusCode::FORBIDDEN, "own-account", "Insufficient permissions")
                .detail("Nobody gives themselves rights or takes their own away: another administrator does.")),
        }
    }

    async fn account_of(&self, id: Uuid) -> Reply<Person> {
        self.domain.people.by_id(id).await.map_err(|error| self.broken(error))?.ok_or_else(Problem::not_found)
    }

    /// What was changed in the store holds on every worker; what was not is a refusal.
    async fn carry_through(&self, changed: Changed) -> Reply<()> {
        match changed {
            Changed::Done { ended, living } => {
                self.refresh(&ended, &living).await;
                Ok(())
            }
            Changed::NotFound => Err(Problem::not_found()),
            Changed::Moved => Err(Problem::new(StatusCode::CONFLICT, "account-changed", "Conflict")
                .detail("The account has changed meanwhile; try again.")),
            Changed::LastAdministrator => Err(Problem::new(StatusCode::CONFLICT, "last-administrator", "Conflict")
                .detail("Nobody would be left who can manage users.")),
        }
    }
}

fn account(person: Person) -> Account {
    Account {
        id: person.id,
        roles: names(&person.roles),
        clearance: person.clearance.map(Clearance::name),
        disabled: person.disabled,
        mfa: person.has_factor,
        must_change_password: person.must_change_password,
        created_at: timestamp(person.created_at_ms),
        username: person.name,
    }
}

fn user_act(action: &'static str, subject: impl ToString) -> Act {
    Act::new(EventType::SystemChange, action, subject).severity(Severity::High)
}

fn names(roles: &[Role]) -> Vec<&'static str> {
    roles.iter().map(|role| role.name()).collect()
}

/// One line of visible text, so that it is the same wherever it is shown.
pub(super) fn check_name(name: &str) -> Result<&str, &'static str> {
    let name = name.trim();
    match name.chars().count() {
        0 => Err("is empty"),
        NAME_CHARS_MIN..=NAME_CHARS_MAX if !name.chars().any(is_unseen) => Ok(name),
        NAME_CHARS_MIN..=NAME_CHARS_MAX => Err("has characters that cannot be seen"),
        _ => Err("must have from 2 to 64 characters"),
    }
}

/// Controls, marks of direction and of no width: two names that look the same must be the same.
fn is_unseen(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// `BY_ROLE` gives back what somebody had of their own.
fn check_clearance(name: &str) -> Result<Option<Clearance>, &'static str> {
    match name {
        "BY_ROLE" => Ok(None),
        _ => Clearance::parse(name).map(Some).ok_or("is a classification such as RESTRICTED, or BY_ROLE"),
    }
}

fn check_roles(roles: &[String]) -> Result<Vec<Role>, &'static str> {
    let mut known = roles.iter().map(|name| Role::parse(name)).collect::<Option<Vec<_>>>().ok_or("names no role")?;
    known.sort_unstable_by_key(|role| role.name());
    known.dedup();
    if known.is_empty() { Err("needs one role or more") } else { Ok(known) }
}

const NAME_CHARS_MIN: usize = 2;
const NAME_CHARS_MAX: usize = 64;
const PAGE: u32 = 100;
