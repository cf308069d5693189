//! What of a case its readers see, its versions, and its end, as clients meet them.
use hotline::audit::Outcome;
use serde_json::{Value, json};

use crate::testing::{Answer, Fixture, Lawyer};

async fn opened(lawyer: &Lawyer<'_>) -> String {
    let new = json!({
        "title": "a", "callerName": "Ann", "narrative": "He found me.",
        "contact": { "phone": "+1 555 0142", "address": "7 Elm Street" },
    });
    let case = lawyer.post("/api/v1/cases", &new).await.expect(201).json();
    format!("/api/v1/cases/{}", case["id"].as_str().unwrap())
}

async fn change(who: &Lawyer<'_>, case: &str, etag: &str, change: Value) -> Answer {
    let request = who.request("PUT", case).header("if-match", etag);
    who.fixture.ask(request, change.to_string()).await
}

#[tokio::test]
async fn a_copy_shows_no_more_and_no_less_than_its_reader_may_see_by_now() {
    let fixture = Fixture::start(|_| ()).await;
    fixture.app.cache.open();
    let lawyer = fixture.lawyer().await;
    let case = opened(&lawyer).await;
    let (id, intake) = lawyer.colleague(&["intake"]).await;
    for result in ["MISS", "HIT"] {
        let read = intake.get(&case).await.expect(200);
        assert_eq!((read.header("x-cache"), read.header("etag")), (result, "\"1.1\""));
        let body = read.json();
        assert_eq!((&body["contact"]["address"], &body["masked"]), (&Value::Null, &json!(["/contact/address"])));
        assert_eq!(body["contact"]["phone"], "+1 555 0142");
        let whole = lawyer.get(&case).await.expect(200);
        assert_eq!((whole.header("etag"), &whole.json()["contact"]["address"]), ("\"1\"", &json!("7 Elm Street")));
        assert_eq!(whole.json()["masked"], Value::Null);
    }
    let masked_list = intake.get("/api/v1/cases?sort=urgency").await.expect(200).json();
    assert_eq!(masked_list["cases"][0]["contact"]["address"], Value::Null);
    intake.get("/api/v1/cases?sort=size").await.expect(400);

    // A clearance of one's own shows the name no more; the copy from before is not believed.
    let request = lawyer.request("PATCH", &format!("/api/v1/users/{id}"));
    fixture.ask(request, json!({ "clearance": "RESTRICTED" }).to_string()).await.expect(200);
    assert_eq!(intake.get(&case).await.expect(200).json()["contact"]["address"], "7 Elm Street");

    // What somebody saw a part of can be changed by them, and the rest stays.
    let request = lawyer.request("PATCH", &format!("/api/v1/users/{id}"));
    fixture.ask(request, json!({ "clearance": "BY_ROLE" }).to_string()).await.expect(200);
    let etag = intake.get(&case).await.expect(200).header("etag").to_owned();
    let changed = change(&intake, &case, &etag, json!({ "contact": { "phone": "+1 555 0143" } })).await.expect(200);
    assert_eq!((changed.header("etag"), &changed.json()["contact"]["address"]), ("\"2.1\"", &Value::Null));
    let contact = lawyer.get(&case).await.expect(200).json()["contact"].clone();
    assert_eq!((&contact["phone"], &contact["address"]), (&json!("+1 555 0143"), &json!("7 Elm Street")));
}

#[tokio::test]
async fn every_version_is_told_to_readers_and_to_nobody_else() {
    let fixture = Fixture::start(|_| ()).await;
    let lawyer = fixture.lawyer().await;
    let case = opened(&lawyer).await;
    change(&lawyer, &case, "\"1\"", json!({ "title": "b", "state": "open" })).await.expect(200);
    let told = lawyer.get(&format!("{case}/versions")).await.expect(200).json();
    assert_eq!(told["versions"][0]["changed"], json!(["state", "title"]));
    assert_eq!((&told["versions"][1]["version"], &told["nextCursor"]), (&json!(1), &Value::Null));
    let page = lawyer.get(&format!("{case}/versions?limit=1")).await.expect(200).json();
    assert_eq!((page["versions"].as_array().unwrap().len(), &page["nextCursor"]), (1, &json!("2")));
    lawyer.get(&format!("{case}/versions?limit=0")).await.expect(400);
    let first = lawyer.get(&format!("{case}/versions/1")).await.expect(200).json();
    assert_eq!((&first["title"], &first["state"]), (&json!("a"), &json!("new")));
    for nowhere in ["3", "0", "-1", "x"] {
        lawyer.get(&format!("{case}/versions/{nowhere}")).await.expect(404);
    }
    let (id, intake) = lawyer.colleague(&["intake"]).await;
    assert_eq!(
        intake.get(&format!("{case}/versions/1")).await.expect(200).json()["masked"],
        json!(["/contact/address"])
    );
    let wall = json!({ "kind": "wall", "userId": id, "reason": "spouse of the opposing party" });
    lawyer.post(&format!("{case}/guards"), &wall).await.expect(201);
    for path in ["versions", "versions/1"] {
        intake.get(&format!("{case}/{path}")).await.expect(404);
    }
}

#[tokio::test]
async fn what_was_kept_for_its_years_is_disposed_of_by_somebody_else_than_who_archived_it() {
    let fixture = Fixture::start(|config| config.cases.retention_years = 0).await;
    fixture.app.cache.open();
    let lawyer = fixture.lawyer().await;
    let case = opened(&lawyer).await;
    let disposition = format!("{case}/disposition");
    let why = json!({ "reason": "kept for its years, nothing is pending" });
    let (_, both) = lawyer.colleague(&["attorney", "custodian"]).await;
    let (_, custodian) = lawyer.colleague(&["custodian"]).await;
    let kept = custodian.post(&disposition, &why).await.expect(409).json();
    assert!(kept["detail"].as_str().unwrap().contains("not archived"), "{kept}");
    change(&both, &case, "*", json!({ "state": "closed" })).await.expect(200);
    change(&both, &case, "*", json!({ "state": "archived" })).await.expect(200);
    assert_eq!(both.get(&case).await.expect(200).json()["state"], "archived");

    let due = custodian.get("/api/v1/dispositions").await.expect(200).json();
    assert!(case.ends_with(due["cases"][0]["caseId"].as_str().unwrap()));
    lawyer.get("/api/v1/dispositions").await.expect(403);
    lawyer.post(&disposition, &why).await.expect(403);
    custodian.get(&case).await.expect(403);
    custodian.post(&disposition, &json!({ "reason": "because" })).await.expect(400);
    both.post(&disposition, &why).await.expect(403);

    let hold = json!({ "kind": "hold", "reason": "preservation order of 2 May" });
    let hold = custodian.post(&format!("{case}/guards"), &hold).await.expect(201).json();
    let kept = custodian.post(&disposition, &why).await.expect(409).json();
    assert!(kept["detail"].as_str().unwrap().contains("legal hold"), "{kept}");
    custodian.delete(&format!("{case}/guards/{}", hold["id"].as_str().unwrap())).await.expect(204);

    let certificate = custodian.post(&disposition, &why).await.expect(200).json();
    assert_eq!((&certificate["cases"], &certificate["retentionYears"]), (&json!(1), &json!(0)));
    both.get(&case).await.expect(410);
    custodian.post(&disposition, &why).await.expect(410);
    assert_eq!(custodian.get("/api/v1/dispositions").await.expect(200).json()["cases"], json!([]));
    assert!(fixture.app.audit.flush_blocking(std::time::Duration::from_secs(5)));
    let recorded = fixture.recorded.lock();
    let done: Vec<_> = recorded.iter().filter(|record| record.action == "case.dispose").collect();
    assert_eq!(done.last().unwrap().request_id, certificate["requestId"].as_str().unwrap());
    assert_eq!(done.last().unwrap().outcome, Outcome::Allowed);
}
