//! `hotline user`: the operator's way in, over the admin socket. The kernel vouches for who asks, so no factor is
//! asked for; every act is recorded under their account.
use hotline::audit::Outcome;
use hotline::wire::{AdminReply, PeopleAct, PersonLine};
use hotline_domain::people::{Person, Reset, StaffChange};
use serde_json::{Value, json};

use super::{check_name, check_roles, names, user_act};
use crate::app::Shared;
use crate::trail;

pub(crate) async fn act_on_people(app: &Shared, act: PeopleAct, uid: u32) -> AdminReply {
    let done = match act {
        PeopleAct::List => list(app, uid).await,
        PeopleAct::Add { name, roles } => add(app, uid, &name, &roles).await,
        PeopleAct::Reset { name, password, factor } => reset(app, uid, &name, Reset { password, factor }).await,
        PeopleAct::Disable { name } => close(app, uid, &name, true).await,
        PeopleAct::Enable { name } => close(app, uid, &name, false).await,
    };
    done.unwrap_or_else(|reason| AdminReply::Refused { reason })
}

async fn list(app: &Shared, uid: u32) -> Result<AdminReply, String> {
    record(app, uid, "user.list", "", &Value::Null).await?;
    let people = app.domain.people.list(None, LISTED_MAX).await.map_err(unasked)?;
    let line = |person: Person| PersonLine {
        roles: names(&person.roles).into_iter().map(str::to_owned).collect(),
        disabled: person.disabled,
        mfa: person.has_factor,
        must_change_password: person.must_change_password,
        name: person.name,
    };
    Ok(AdminReply::People(people.into_iter().map(line).collect()))
}

async fn add(app: &Shared, uid: u32, name: &str, roles: &[String]) -> Result<AdminReply, String> {
    let name = check_name(name).map_err(|reason| format!("the name {reason}"))?;
    let roles = check_roles(roles).map_err(|reason| format!("--role {reason}"))?;
    let details = json!({ "name": name, "roles": names(&roles) });
    record(app, uid, "user.invite", "", &details).await?;
    match app.domain.people.invite(name, &roles).await.map_err(unasked)? {
        Some((person, password)) => {
            Ok(AdminReply::Person { name: person.name, one_time_password: Some(password.to_string()) })
        }
        None => {
            take_back(app, uid, "user.invite", "", &details).await?;
            Err(format!("somebody is called {name:?} already"))
        }
    }
}

async fn reset(app: &Shared, uid: u32, name: &str, what: Reset) -> Result<AdminReply, String> {
    let person = find(app, name).await?;
    let (id, details) = (person.id.to_string(), json!({ "password": what.password, "factor": what.factor }));
    record(app, uid, "user.reset", &id, &details).await?;
    let (changed, password) = app.domain.people.reset(person.id, what).await.map_err(unasked)?;
    if let Err(problem) = app.carry_through(changed).await {
        take_back(app, uid, "user.reset", &id, &details).await?;
        return Err(problem.detail.to_string());
    }
    Ok(AdminReply::Person { name: person.name, one_time_password: password.map(|password| password.to_string()) })
}

async fn close(app: &Shared, uid: u32, name: &str, disabled: bool) -> Result<AdminReply, String> {
    let person = find(app, name).await?;
    let (id, details) = (person.id.to_string(), json!({ "disabled": disabled }));
    record(app, uid, "user.change", &id, &details).await?;
    let change = StaffChange { disabled: Some(disabled), ..StaffChange::default() };
    let changed = app.domain.people.change(person.id, change).await.map_err(unasked)?;
    if let Err(problem) = app.carry_through(changed).await {
        take_back(app, uid, "user.change", &id, &details).await?;
        return Err(problem.detail.to_string());
    }
    Ok(AdminReply::Person { name: person.name, one_time_password: None })
}

async fn find(app: &Shared, name: &str) -> Result<Person, String> {
    app.domain.people.find(name).await.map_err(unasked)?.ok_or_else(|| format!("there is no user {name:?}"))
}

async fn record(app: &Shared, uid: u32, action: &'static str, subject: &str, details: &Value) -> Result<(), String> {
    let act = user_act(action, subject).details(details.clone());
    trail::operator(app, uid, act).await.map_err(|_| UNRECORDED.to_owned())
}

/// What was recorded was not done after all.
async fn take_back(app: &Shared, uid: u32, action: &'static str, subject: &str, details: &Value) -> Result<(), String> {
    let act = user_act(action, subject).details(details.clone()).outcome(Outcome::Failed);
    trail::operator(app, uid, act).await.map_err(|_| UNRECORDED.to_owned())
}

fn unasked(error: hotline_domain::store::StoreError) -> String {
    tracing::error!(%error, "could not do what the operator asked");
    "the store could not be asked".to_owned()
}

const UNRECORDED: &str = "the request could not be recorded";
/// More are listed by the API, page by page.
const LISTED_MAX: u32 = 1_000;
