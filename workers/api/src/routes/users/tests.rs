//! Administration from outside: who may, what holds at once, and what nobody may.
use hotline::wire::{AdminReply, PeopleAct};
use serde_json::{Value, json};

use crate::testing::{Answer, Fixture, Lawyer, PASSWORD};

async fn patch(who: &Lawyer<'_>, id: &str, change: Value) -> Answer {
    who.fixture.ask(who.request("PATCH", &format!("/api/v1/users/{id}")), change.to_string()).await
}

/// Invited by the administrator, with a password of their own.
async fn invited<'a>(admin: &Lawyer<'a>, name: &str, roles: &[&str]) -> (String, Lawyer<'a>) {
    let told = admin.post("/api/v1/users", &json!({ "username": name, "roles": roles })).await.expect(201).json();
    let one_time = told["oneTimePassword"].as_str().unwrap();
    let person = admin.fixture.log_in(name, one_time).await;
    let new = json!({ "oldPassword": one_time, "newPassword": format!("umbrella {PASSWORD}") });
    person.post("/api/v1/auth/password", &new).await.expect(204);
    (told["user"]["id"].as_str().unwrap().to_owned(), person)
}

#[tokio::test]
async fn rights_change_with_the_next_request() {
    let fixture = Fixture::start(|_| ()).await;
    let admin = fixture.lawyer().await;
    let (id, ana) = invited(&admin, "ana", &["attorney"]).await;
    ana.get("/api/v1/cases").await.expect(200);
    patch(&admin, &id, json!({ "roles": ["auditor"] })).await.expect(200);
    ana.get("/api/v1/cases").await.expect(403);
    patch(&admin, &id, json!({ "roles": ["intake", "auditor"] })).await.expect(200);
    ana.get("/api/v1/cases").await.expect(200);
    let listed = admin.get("/api/v1/users").await.expect(200).json();
    let names: Vec<&str> =
        listed["users"].as_array().unwrap().iter().map(|u| u["username"].as_str().unwrap()).collect();
    assert_eq!(names, ["admin", "ana"]);
    assert_eq!(listed["users"][1]["roles"], json!(["auditor", "intake"]));
    let closed = patch(&admin, &id, json!({ "disabled": true })).await.expect(200).json();
    assert_eq!(closed["disabled"], true);
    ana.get("/api/v1/cases").await.expect(401);
    let body = json!({ "username": "ana", "password": format!("umbrella {PASSWORD}") });
    fixture.post("/api/v1/auth/login", &body).await.expect(401);
    patch(&admin, &id, json!({ "disabled": false })).await.expect(200);
    ana.get("/api/v1/cases").await.expect(401); // what ended stays so
    fixture.post("/api/v1/auth/login", &body).await.expect(200);
    let actions = fixture.actions();
    for action in ["user.invite", "user.change", "user.list"] {
        assert!(actions.iter().any(|recorded| recorded == action), "{action}");
    }
}

#[tokio::test]
async fn a_new_start_ends_all_that_was_before() {
    let fixture = Fixture::start(|_| ()).await;
    let admin = fixture.lawyer().await;
    let (id, ana) = invited(&admin, "ana", &["attorney"]).await;
    let path = format!("/api/v1/users/{id}/reset");
    let told = admin.post(&path, &json!({ "password": true, "factor": true })).await.expect(200).json();
    ana.get("/api/v1/cases").await.expect(401);
    let body = json!({ "username": "ana", "password": format!("umbrella {PASSWORD}") });
    fixture.post("/api/v1/auth/login", &body).await.expect(401);
    let again = fixture.log_in("ana", told["oneTimePassword"].as_str().unwrap()).await;
    assert_eq!(again.get("/api/v1/cases").await.expect(403).json()["code"], "password-change-required");
    let told = admin.post(&path, &json!({ "factor": true })).await.expect(200).json();
    assert_eq!(told["oneTimePassword"], Value::Null);
}

#[tokio::test]
async fn nobody_gives_themselves_rights_and_nobody_is_the_last() {
    let fixture = Fixture::start(|_| ()).await;
    let admin = fixture.lawyer().await;
    let own = admin.principal().await.user.to_string();
    let (ana_id, ana) = invited(&admin, "ana", &["attorney"]).await;
    for change in [json!({ "roles": ["admin", "supervisor"] }), json!({ "disabled": true }), json!({})] {
        assert_eq!(patch(&admin, &own, change.clone()).await.expect(403).json()["code"], "own-account");
        patch(&ana, &own, change.clone()).await.expect(403);
        patch(&ana, &ana_id, change).await.expect(403);
    }
    admin.post(&format!("/api/v1/users/{own}/reset"), &json!({ "factor": true })).await.expect(403);
    ana.get("/api/v1/users").await.expect(403);
    ana.post("/api/v1/users", &json!({ "username": "eve", "roles": ["admin"] })).await.expect(403);

    // Two administrators; the second closes the first and is then the last.
    let (bob_id, bob) = invited(&admin, "bob", &["admin"]).await;
    patch(&bob, &own, json!({ "disabled": true })).await.expect(200);
    admin.get("/api/v1/users").await.expect(401);
    let close = super::act_on_people(&fixture.app, PeopleAct::Disable { name: "bob".to_owned() }, 0).await;
    assert!(matches!(close, AdminReply::Refused { reason } if reason.contains("Nobody would be left")));
    patch(&bob, &bob_id, json!({ "roles": ["attorney"] })).await.expect(403);
    bob.get("/api/v1/users").await.expect(200);
    assert!(fixture.app.audit.flush_blocking(std::time::Duration::from_secs(5)));
    let failed = |action: &str| {
        let recorded = fixture.recorded.lock();
        recorded.iter().any(|event| event.action == action && event.outcome == hotline::audit::Outcome::Failed)
    };
    assert!(failed("user.change"), "what was recorded and not done is taken back");
}

#[tokio::test]
async fn what_makes_no_account_is_named() {
    let fixture = Fixture::start(|_| ()).await;
    let admin = fixture.lawyer().await;
    for (name, roles, pointer) in [
        ("", json!(["intake"]), "/username"),
        (" x ", json!(["intake"]), "/username"),
        ("a\u{0}b", json!(["intake"]), "/username"),
        ("adm\u{200b}in", json!(["intake"]), "/username"),
        ("\u{202e}nimda", json!(["intake"]), "/username"),
        (&*"x".repeat(65), json!(["intake"]), "/username"),
        ("eve", json!([]), "/roles"),
        ("eve", json!(["root"]), "/roles"),
        ("eve", json!(["admin,attorney"]), "/roles"),
    ] {
        let refused = admin.post("/api/v1/users", &json!({ "username": name, "roles": roles })).await.expect(400);
        assert_eq!(refused.json()["pointer"], pointer, "{name:?} {roles}");
    }
    let taken = json!({ "username": " ADMIN ", "roles": ["intake"] });
    assert_eq!(admin.post("/api/v1/users", &taken).await.expect(409).json()["code"], "name-taken");
    for id in ["x", "00000000-0000-0000-0000-000000000000", "0197b6a0-0000-7000-8000-000000000000"] {
        patch(&admin, id, json!({ "disabled": true })).await.expect(404);
    }
}

#[tokio::test]
async fn the_operator_lets_people_in_and_is_named_in_the_log() {
    let fixture = Fixture::start(|_| ()).await;
    fixture.lawyer().await;
    let act = async |act: PeopleAct| super::act_on_people(&fixture.app, act, 1_000).await;
    let name = || "ana".to_owned();
    let added = act(PeopleAct::Add { name: name(), roles: vec!["attorney".to_owned()] }).await;
    let AdminReply::Person { one_time_password: Some(first), .. } = added else { panic!("refused") };
    let ana = fixture.log_in("ana", &first).await;
    let AdminReply::Person { one_time_password: Some(second), .. } =
        act(PeopleAct::Reset { name: name(), password: true, factor: false }).await
    else {
        panic!("refused")
    };
    ana.get("/api/v1/auth/mfa").await.expect(401);
    fixture.log_in("ana", &second).await;
    assert!(matches!(act(PeopleAct::Disable { name: name() }).await, AdminReply::Person { .. }));
    let AdminReply::People(people) = act(PeopleAct::List).await else { panic!("refused") };
    assert_eq!(people.iter().filter(|person| person.disabled).count(), 1);
    assert!(matches!(act(PeopleAct::Enable { name: name() }).await, AdminReply::Person { .. }));
    for refused in [
        PeopleAct::Add { name: name(), roles: vec!["attorney".to_owned()] },
        PeopleAct::Add { name: "eve".to_owned(), roles: vec!["root".to_owned()] },
        PeopleAct::Disable { name: "nobody".to_owned() },
    ] {
        assert!(matches!(act(refused).await, AdminReply::Refused { .. }));
    }
    let recorded = fixture.recorded.lock();
    let acts = recorded.iter().filter(|event| event.action.starts_with("user."));
    assert!(acts.clone().count() >= 6 && acts.clone().all(|event| event.actor == "uid:1000"));
    assert!(acts.into_iter().all(|event| !event.details.contains(&*first)), "no password is recorded");
}
