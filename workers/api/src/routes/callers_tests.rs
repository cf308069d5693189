//! Somebody who called sees their own case, only that, only so much of it, and only while they may.
use serde_json::json;

use crate::testing::{Fixture, Lawyer, json_request};

const CASE: &str = "/api/v1/caller/case";

async fn log_in(fixture: &Fixture, number: &str, secret: &str) -> crate::testing::Answer {
    fixture.post("/api/v1/caller/login", &json!({ "caseNumber": number, "secret": secret })).await
}

#[tokio::test]
async fn a_number_and_a_secret_show_how_the_case_stands_and_nothing_else() {
    let fixture = Fixture::start(|_| ()).await;
    let lawyer = fixture.lawyer().await;
    let new = json!({ "title": "Deposit kept", "callerName": "Ana Ruiz", "narrative": "They kept my deposit.",
        "contact": { "phone": "+1 555 0142" } });
    let case = lawyer.post("/api/v1/cases", &new).await.expect(201).json();
    let path = format!("/api/v1/cases/{}", case["id"].as_str().unwrap());
    let number = case["caseNumber"].as_str().unwrap();
    let access = lawyer.post(&format!("{path}/caller-access"), &json!({})).await.expect(201).json();
    let secret = access["secret"].as_str().unwrap();
    assert_eq!(access["caseNumber"], number);

    let refused = log_in(&fixture, number, "aaaaa-aaaaa-aaaaa-aaaaa").await.expect(401).json();
    let nobody = log_in(&fixture, "000-000-000-000", secret).await.expect(401).json();
    assert_eq!(refused["detail"], nobody["detail"], "nothing tells whether there is such a case");
    let told = log_in(&fixture, number, secret).await.expect(200).json();
    let caller = fixture.holder_of(&told["token"]);
    let seen = caller.get(CASE).await.expect(200);
    assert_eq!(seen.json()["state"], "new");
    for secret in ["Ruiz", "deposit", "0142"] {
        assert!(!String::from_utf8_lossy(&seen.body).contains(secret), "{secret}");
    }
    for (method, other) in [
        ("GET", path.as_str()),
        ("PUT", path.as_str()),
        ("GET", "/api/v1/cases"),
        ("POST", "/api/v1/ai/analyze"),
        ("POST", "/api/v1/live/ticket"),
        ("GET", "/api/v1/auth/sessions"),
        ("POST", "/api/v1/auth/password"),
        ("GET", "/api/v1/users"),
    ] {
        fixture.ask(caller.request(method, other), "{}").await.expect(401);
    }
    lawyer.get(CASE).await.expect(401);
    fixture.ask(json_request("GET", CASE), "").await.expect(401);

    // Another secret takes the place of the first, whoever came with it is out; and so it ends.
    let again = lawyer.post(&format!("{path}/caller-access"), &json!({})).await.expect(201).json();
    caller.get(CASE).await.expect(401);
    log_in(&fixture, number, secret).await.expect(401);
    let told = log_in(&fixture, number, again["secret"].as_str().unwrap()).await.expect(200).json();
    let caller = Lawyer { fixture: &fixture, token: told["token"].as_str().unwrap().to_owned() };
    caller.get(CASE).await.expect(200);
    lawyer.delete(&format!("{path}/caller-access")).await.expect(204);
    caller.get(CASE).await.expect(401);
    lawyer.delete(&format!("{path}/caller-access")).await.expect(404);
    let actions = fixture.actions();
    for action in ["caller.access.give", "caller.login", "caller.case", "caller.access.end"] {
        assert!(actions.iter().any(|known| known == action), "{action}");
    }
}

#[tokio::test]
async fn guessing_secrets_is_paid_for_by_the_guesser() {
    let fixture = Fixture::start(|config| config.rate.login.requests = 3).await;
    let lawyer = fixture.lawyer().await;
    let mut refused = 0;
    for _ in 0..6 {
        refused += u32::from(log_in(&fixture, "482-109-375-614", "guess").await.status == 429);
    }
    assert!(refused >= 3);
    lawyer.get("/api/v1/cases").await.expect(200);
}
