//! Who is kept from a case meets nothing of it, on any way; and what was done is on record.
use hotline::audit::{Outcome, Severity};
use serde_json::{Value, json};

use crate::testing::{Answer, Fixture, Lawyer};

const WHY: &str = "spouse of the opposing party";

struct Scene<'a> {
    lawyer: Lawyer<'a>,
    colleague: Lawyer<'a>,
    colleague_id: String,
    case: String,
}

/// A lawyer with a case, and a supervisor beside them.
async fn scene<'a>(fixture: &'a Fixture, classification: &str) -> Scene<'a> {
    let lawyer = fixture.lawyer().await;
    let (colleague_id, colleague) = lawyer.colleague(&["supervisor"]).await;
    let new = json!({ "title": "a", "narrative": "They kept my deposit.", "classification": classification });
    let case = lawyer.post("/api/v1/cases", &new).await.expect(201).json();
    Scene { lawyer, colleague, colleague_id, case: format!("/api/v1/cases/{}", case["id"].as_str().unwrap()) }
}

impl Scene<'_> {
    async fn place(&self, guard: Value) -> Answer {
        self.lawyer.post(&format!("{}/guards", self.case), &guard).await
    }

    async fn wall(&self) -> String {
        let guard = json!({ "kind": "wall", "userId": self.colleague_id, "reason": WHY });
        let placed = self.place(guard).await.expect(201).json();
        placed["id"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn a_wall_holds_with_the_answer_for_cached_copies_and_every_way_in() {
    let fixture = Fixture::start(|_| ()).await;
    fixture.app.cache.open();
    let scene = scene(&fixture, "CONFIDENTIAL").await;
    scene.colleague.get(&scene.case).await.expect(200);
    let hit = scene.colleague.get(&scene.case).await.expect(200);
    assert_eq!(hit.header("x-cache"), "HIT");
    let wall = scene.wall().await;

    scene.colleague.get(&scene.case).await.expect(404);
    assert_eq!(scene.colleague.get("/api/v1/cases").await.expect(200).json()["cases"], json!([]));
    let id = scene.case.rsplit('/').next().unwrap();
    scene.colleague.post("/api/v1/ai/analyze", &json!({ "caseId": id })).await.expect(404);
    scene.colleague.get(&format!("{}/guards", scene.case)).await.expect(404);
    let glass = json!({ "reason": "I want to see this very much" });
    scene.colleague.post(&format!("{}/break-glass", scene.case), &glass).await.expect(404);
    let change = scene.colleague.request("PUT", &scene.case).header("if-match", "*");
    fixture.ask(change, r#"{"title":"b"}"#).await.expect(404);
    let down = format!("{}/guards/{wall}", scene.case);
    scene.colleague.delete(&down).await.expect(404);
    scene.lawyer.get(&scene.case).await.expect(200);

    let withheld = |record: &&hotline::audit::Event| record.action == "access.withheld";
    assert!(fixture.app.audit.flush_blocking(std::time::Duration::from_secs(5)));
    {
        let recorded = fixture.recorded.lock();
        let record = recorded.iter().find(withheld).unwrap();
        assert_eq!((record.outcome, record.subject.as_str()), (Outcome::Denied, id));
        assert!(record.details.contains("rail-wall"), "{}", record.details);
    }
    scene.lawyer.delete(&down).await.expect(204);
    scene.lawyer.delete(&down).await.expect(404);
    scene.colleague.get(&scene.case).await.expect(200);
    let told = scene.lawyer.get(&format!("{}/guards", scene.case)).await.expect(200).json();
    assert_eq!((&told["guards"][0]["kind"], &told["guards"][0]["reason"]), (&json!("wall"), &json!(WHY)));
    assert!(told["guards"][0]["endedAt"].is_string());
}

#[tokio::test]
async fn broken_glass_opens_what_clearance_closes_and_is_a_critical_record() {
    let fixture = Fixture::start(|_| ()).await;
    let scene = scene(&fixture, "TOP_SECRET").await;
    scene.colleague.get(&scene.case).await.expect(404);
    let glass = format!("{}/break-glass", scene.case);
    scene.colleague.post(&glass, &json!({ "reason": "because" })).await.expect(400);
    scene.colleague.get(&scene.case).await.expect(404);
    let reason = json!({ "reason": "the caller is in danger and their lawyer cannot be reached" });
    // What is TOP_SECRET takes two factors even then.
    scene.colleague.post(&glass, &reason).await.expect(201);
    scene.colleague.get(&scene.case).await.expect(404);
    let principal = scene.colleague.principal().await;
    fixture.app.domain.sessions.prove(principal.session, 2).await.unwrap();
    fixture.app.session_from_store(principal.session).await.ok().unwrap();
    scene.colleague.get(&scene.case).await.expect(200);

    let (_, intake) = scene.lawyer.colleague(&["intake"]).await;
    intake.post(&glass, &reason).await.expect(403);
    let recorded = fixture.recorded.lock();
    let broken = recorded.iter().find(|record| record.action == "case.break-glass").unwrap();
    assert_eq!(broken.severity, Severity::Critical);
    assert!(broken.details.contains("cannot be reached"));
}

#[tokio::test]
async fn what_is_top_secret_takes_a_purpose_and_two_factors() {
    let fixture = Fixture::start(|_| ()).await;
    let scene = scene(&fixture, "TOP_SECRET").await;
    let read = async |purpose: Option<&str>| {
        let mut request = scene.lawyer.request("GET", &scene.case);
        if let Some(purpose) = purpose {
            request = request.header("x-purpose", purpose);
        }
        fixture.ask(request, "").await.status
    };
    assert_eq!(read(Some("representation")).await, 404, "one factor");
    let principal = scene.lawyer.principal().await;
    fixture.app.domain.sessions.prove(principal.session, 2).await.unwrap();
    fixture.app.session_from_store(principal.session).await.ok().unwrap();
    assert_eq!(read(Some("representation")).await, 200);
    assert_eq!(read(None).await, 404, "no purpose");
    assert_eq!(read(Some("curiosity")).await, 400, "no such purpose");
}

#[tokio::test]
async fn holds_and_consents_are_kept_and_the_reader_is_told_why() {
    let fixture = Fixture::start(|_| ()).await;
    let scene = scene(&fixture, "CONFIDENTIAL").await;
    let hold = json!({ "kind": "hold", "reason": "preservation order of 2 May" });
    assert_eq!(scene.place(hold.clone()).await.expect(403).json()["error"], "Insufficient permissions");
    let path = format!("{}/guards", scene.case);
    scene.colleague.post(&path, &hold).await.expect(201);
    scene.place(json!({ "kind": "withheld", "what": "analysis", "reason": WHY })).await.expect(201);

    let id = scene.case.rsplit('/').next().unwrap();
    let analysis = scene.lawyer.post("/api/v1/ai/analyze", &json!({ "caseId": id })).await.expect(403).json();
    assert!(analysis["detail"].as_str().unwrap().contains("client does not want"), "{analysis}");
    let state = async |state: &str| {
        let request = scene.lawyer.request("PUT", &scene.case).header("if-match", "*");
        fixture.ask(request, json!({ "state": state }).to_string()).await
    };
    state("closed").await.expect(200);
    let archived = state("archived").await.expect(403).json();
    assert!(archived["detail"].as_str().unwrap().contains("legal hold"), "{archived}");

    // Who keeps holds learns nothing else of what stands there, and nothing of the case.
    let (_, custodian) = scene.lawyer.colleague(&["custodian"]).await;
    let told = custodian.get(&path).await.expect(200).json();
    assert_eq!(told["guards"].as_array().unwrap().iter().filter(|guard| guard["kind"] != "hold").count(), 0);
    custodian.get(&scene.case).await.expect(403);
    let consent = &scene.lawyer.get(&path).await.expect(200).json()["guards"][1]["id"];
    custodian.delete(&format!("{path}/{}", consent.as_str().unwrap())).await.expect(403);
}

#[tokio::test]
async fn a_clearance_of_ones_own_counts_from_the_next_request() {
    let fixture = Fixture::start(|_| ()).await;
    let scene = scene(&fixture, "CONFIDENTIAL").await;
    scene.colleague.get(&scene.case).await.expect(200);
    let account = format!("/api/v1/users/{}", scene.colleague_id);
    let change = async |clearance: &str| {
        let request = scene.lawyer.request("PATCH", &account);
        fixture.ask(request, json!({ "clearance": clearance }).to_string()).await
    };
    assert_eq!(change("INTERNAL").await.expect(200).json()["clearance"], "INTERNAL");
    scene.colleague.get(&scene.case).await.expect(404);
    change("COSMIC").await.expect(400);
    assert_eq!(change("BY_ROLE").await.expect(200).json()["clearance"], Value::Null);
    scene.colleague.get(&scene.case).await.expect(200);
}
