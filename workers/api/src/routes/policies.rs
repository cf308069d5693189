//! `hotline policy`: what the policies in force say, told to an operator with what it was made of.
use hotline::audit::EventType;
use hotline::wire::{AdminReply, Explained, PolicyAsk, PolicyQuestion, PolicyTold};
use hotline_domain::policy::{Action, Actor, Circumstances, Matter, Minute, Purpose, Standing, Who, matrix};
use hotline_domain::store::StoreError;
use serde_json::json;
use uuid::Uuid;

use crate::app::Shared;
use crate::trail::{self, Act};

pub(crate) async fn tell_policy(app: &Shared, ask: PolicyAsk, uid: u32) -> AdminReply {
    let told = match ask {
        PolicyAsk::Matrix => {
            let policy = app.domain.access.policy();
            Ok(PolicyTold::Matrix { digest: policy.digest().to_owned(), matrix: matrix(policy) })
        }
        PolicyAsk::Explain(question) => explain(app, question, uid).await.map(PolicyTold::Explained),
    };
    told.map_or_else(|reason| AdminReply::Refused { reason }, AdminReply::Policy)
}

async fn explain(app: &Shared, question: PolicyQuestion, uid: u32) -> Result<Explained, String> {
    let PolicyQuestion { user, action, case, purpose, factors } = question;
    let action = Action::parse(&action).ok_or_else(|| format!("{action:?} is no action; there are {}", actions()))?;
    let purpose = purpose.map(|name| Purpose::parse(&name).ok_or_else(|| unknown_purpose(&name))).transpose()?;
    if case.is_some() && !action.concerns_matters() {
        return Err(format!("{} is not asked of single cases", action.name()));
    }
    // Whom and which case, but not what came of it: that follows from the records of both.
    let details = json!({ "user": user, "action": action.name(), "case": case });
    let act = Act::new(EventType::DataAccess, "policy.explain", case.as_deref().unwrap_or_default()).details(details);
    trail::operator(app, uid, act).await.map_err(|_| "the request could not be recorded".to_owned())?;

    let person = app.domain.people.find(&user).await.map_err(unasked)?;
    let person = person.ok_or_else(|| format!("there is no user {user:?}"))?;
    let matter = match &case {
        None => None,
        Some(case) => {
            let matter = app.domain.cases.matter(case).await.map_err(unasked)?;
            Some(matter.ok_or_else(|| format!("there is no case {case:?}"))?)
        }
    };
    let standing = Standing::new(&person.roles, person.clearance, factors);
    let when = Circumstances { minute: Minute::of_ms(app.now_ms()), purpose };
    let actor = Actor { who: Who { user: person.id, standing }, when };
    let decision = app.domain.access.explain(&actor, action, matter.as_ref());
    Ok(Explained {
        allowed: decision.allowed,
        reasons: decision.reasons.into_iter().map(|reason| (reason.policy, reason.why)).collect(),
        errors: decision.errors,
        facts: facts(&actor, matter.as_ref()),
        digest: app.domain.access.policy().digest().to_owned(),
    })
}

fn facts(actor: &Actor, matter: Option<&Matter>) -> Vec<(String, String)> {
    let Who { user, standing, .. } = actor.who;
    let roles: Vec<&str> = standing.roles().map(|role| role.name()).collect();
    let mut facts = vec![
        ("user", user.to_string()),
        ("roles", roles.join(", ")),
        ("clearance", standing.clearance.name().to_owned()),
        ("factors", standing.factors.to_string()),
        ("purpose", actor.when.purpose.map_or("none", Purpose::name).to_owned()),
    ];
    if let Some(matter) = matter {
        let among = |users: &[Uuid]| match (users.is_empty(), users.contains(&user)) {
            (true, _) => "nobody",
            (false, true) => "this user, and maybe others",
            (false, false) => "others",
        };
        let granted = matter.grants.iter().any(|grant| grant.user == user);
        facts.extend([
            ("matter", matter.id.to_string()),
            ("classification", matter.classification.name().to_owned()),
            ("state", matter.state.clone()),
            ("walled off", among(&matter.walled).to_owned()),
            ("team", among(&matter.team).to_owned()),
            ("held", matter.held.to_string()),
            ("withheld", matter.withheld.join(", ")),
            ("broke the glass", granted.to_string()),
        ]);
    }
    facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn actions() -> String {
    Action::ALL.iter().map(|action| action.name()).collect::<Vec<_>>().join(", ")
}

fn unknown_purpose(name: &str) -> String {
    format!("{name:?} is no purpose; there are {}", Purpose::ALL.map(Purpose::name).join(", "))
}

fn unasked(error: StoreError) -> String {
    tracing::error!(%error, "could not do what the operator asked");
    "the store could not be asked".to_owned()
}
