//! Evidence as clients meet it: refused in whole or kept in whole, and nothing of it for those who are kept away.
use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use hotline::audit::Severity;
use serde_json::{Value, json};

use crate::testing::{Answer, Fixture, Lawyer};

const LIMIT: u64 = 200_000;

async fn scene(fixture: &Fixture) -> (Lawyer<'_>, String) {
    let lawyer = fixture.lawyer().await;
    let case = lawyer.post("/api/v1/cases", &json!({ "title": "a" })).await.expect(201).json();
    (lawyer, case["id"].as_str().unwrap().to_owned())
}

async fn fixture() -> Fixture {
    Fixture::start(|config| config.limits.evidence_bytes_max = LIMIT).await
}

/// The fields, then the file.
fn form(fields: &[(&str, &str)], file: Option<(&str, &[u8])>) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in fields {
        let head = format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        body.extend(head.into_bytes());
    }
    if let Some((name, content)) = file {
        let head = format!(
            "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\nContent-Type: text/html\r\n\r\n"
        );
        body.extend(head.into_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--B--\r\n");
    body
}

async fn upload(who: &Lawyer<'_>, body: Vec<u8>, key: Option<&str>) -> Answer {
    let mut request = http::Request::builder()
        .method("POST")
        .uri("/api/v1/evidence/upload")
        .header("host", "hotline.example")
        .header("content-type", "multipart/form-data; boundary=B")
        .header("authorization", format!("Bearer {}", who.token));
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    who.fixture.ask(request, body).await
}

fn sha256(content: &[u8]) -> String {
    HEXLOWER.encode(digest(&SHA256, content).as_ref())
}

#[tokio::test]
async fn a_file_is_taken_read_handed_over_and_sealed_and_every_hand_is_in_the_chain() {
    let fixture = fixture().await;
    let (lawyer, case) = scene(&fixture).await;
    let content: Vec<u8> = (0..40_000u32).flat_map(u32::to_le_bytes).collect();
    let fields = [
        ("caseId", case.as_str()),
        ("evidenceType", "document"),
        ("description", "the lease"),
        ("sha256", &sha256(&content)),
    ];
    let kept = upload(&lawyer, form(&fields, Some(("lease.pdf", &content))), None).await.expect(201);
    let item = kept.json();
    assert_eq!((&item["hash"], &item["bytes"]), (&json!(sha256(&content)), &json!(160_000)));
    assert_eq!((&item["fileName"], &item["mediaType"]), (&json!("lease.pdf"), &json!("application/octet-stream")));
    assert_eq!(item["chainOfCustody"][0]["event"], "received");
    let path = kept.header("location").to_owned();
    assert_eq!(kept.header("x-data-classification"), "CONFIDENTIAL; label=legal-privileged");

    let whole = lawyer.get(&format!("{path}/content")).await.expect(200);
    assert_eq!((whole.body.as_ref(), whole.header("content-length")), (content.as_slice(), "160000"));
    assert!(whole.header("content-disposition").starts_with("attachment; filename=\"lease.pdf\""));
    assert!(whole.header("content-security-policy").contains("sandbox"));
    let part = lawyer.request("GET", &format!("{path}/content")).header("range", "bytes=100000-100009");
    let part = fixture.ask(part, "").await.expect(206);
    assert_eq!(
        (part.body.as_ref(), part.header("content-range")),
        (&content[100_000..100_010], "bytes 100000-100009/160000")
    );
    let beyond = lawyer.request("GET", &format!("{path}/content")).header("range", "bytes=160000-");
    assert_eq!(fixture.ask(beyond, "").await.expect(416).header("content-range"), "bytes */160000");

    assert_eq!(lawyer.get(&format!("{path}/verify")).await.expect(200).json()["ok"], true);
    let given = json!({ "to": "forensic laboratory", "reason": "to recover what was deleted" });
    lawyer.post(&format!("{path}/transfer"), &given).await.expect(200);
    lawyer
        .post(&format!("{path}/transfer"), &json!({ "to": "", "reason": "to recover what was deleted" }))
        .await
        .expect(400);
    lawyer.post(&format!("{path}/seal"), &json!({ "reason": "short" })).await.expect(400);
    let sealed =
        lawyer.post(&format!("{path}/seal"), &json!({ "reason": "ready for the hearing" })).await.expect(200).json();
    assert_eq!(sealed["state"], "sealed");
    assert_eq!(lawyer.post(&format!("{path}/transfer"), &given).await.expect(409).json()["code"], "evidence-sealed");

    let told = lawyer.get(&path).await.expect(200).json();
    let chain = told["chainOfCustody"].as_array().unwrap();
    let events: Vec<&str> = chain.iter().map(|link| link["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["received", "downloaded", "downloaded", "verified", "transferred", "sealed"]);
    assert_eq!(
        (&chain[2]["note"], &chain[4]["note"]),
        (&json!("bytes 100000 to 100009"), &json!("to forensic laboratory: to recover what was deleted"))
    );
    assert!(fixture.app.audit.flush_blocking(std::time::Duration::from_secs(5)));
    for link in chain {
        let is_on_record =
            fixture.recorded.lock().iter().any(|record| record.request_id == link["requestId"].as_str().unwrap());
        assert!(is_on_record, "{link}");
    }
    let listed = lawyer.get(&format!("/api/v1/cases/{case}/evidence")).await.expect(200).json();
    assert_eq!(listed["evidence"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_wrong_with_an_upload_is_told_and_nothing_of_it_stays() {
    let fixture = fixture().await;
    let (lawyer, case) = scene(&fixture).await;
    let file = Some(("a.txt", &b"the lease"[..]));
    let good = [("caseId", case.as_str()), ("evidenceType", "document")];
    let with = |field: (&'static str, &'static str)| {
        let fields: Vec<_> = good.into_iter().filter(|(name, _)| *name != field.0).chain([field]).collect();
        form(&fields, file)
    };
    let too_much = vec![0; LIMIT as usize + 1];
    for (what, body, status) in [
        ("no file", form(&good, None), 400),
        ("empty", form(&good, Some(("a.txt", b""))), 400),
        ("no case", form(&good[1..], file), 400),
        ("no kind", form(&good[..1], file), 400),
        ("unknown kind", with(("evidenceType", "rumour")), 400),
        ("unknown field", with(("caseID", "x")), 400),
        ("no digest", with(("sha256", "abc")), 400),
        ("another digest", with(("sha256", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")), 422),
        ("no such case", with(("caseId", "482-109-375-614")), 404),
        ("too large", form(&good, Some(("a.bin", &too_much))), 413),
        ("broken", form(&good, file)[..200].to_vec(), 400),
    ] {
        let answer = upload(&lawyer, body, None).await;
        assert_eq!(answer.status, status, "{what}: {}", String::from_utf8_lossy(&answer.body));
    }
    let listed = lawyer.get(&format!("/api/v1/cases/{case}/evidence")).await.expect(200).json();
    assert_eq!(listed["evidence"], json!([]));
    let folder = fixture.app.config.paths.state_dir.join("blobs").join("evidence");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let files = || {
        let folders = std::fs::read_dir(&folder).unwrap().map(|folder| folder.unwrap().path());
        folders.map(|folder| std::fs::read_dir(folder).unwrap().count()).sum::<usize>()
    };
    while files() > 0 {
        assert!(std::time::Instant::now() < deadline, "something is left");
        tokio::task::yield_now().await;
    }
    fixture.deafen_scribe();
    upload(&lawyer, form(&good, file), None).await.expect(503);
    assert_eq!(files(), 0, "what cannot be recorded is not kept");
}

#[tokio::test]
async fn a_repeated_upload_is_one_file() {
    let fixture = fixture().await;
    let (lawyer, case) = scene(&fixture).await;
    let fields = [("caseId", case.as_str()), ("evidenceType", "other")];
    let first = upload(&lawyer, form(&fields, Some(("a", b"x"))), Some("k")).await.expect(201).json();
    let again = upload(&lawyer, form(&fields, Some(("a", b"x"))), Some("k")).await.expect(201);
    assert_eq!((&again.json()["evidenceId"], again.header("idempotency-replayed")), (&first["evidenceId"], "true"));
    upload(&lawyer, form(&fields, Some(("a", b"y"))), Some("k")).await.expect(422);
}

#[tokio::test]
async fn whoever_is_kept_from_the_case_finds_none_of_its_evidence() {
    let fixture = fixture().await;
    let (lawyer, case) = scene(&fixture).await;
    let fields = [("caseId", case.as_str()), ("evidenceType", "image")];
    let kept = upload(&lawyer, form(&fields, Some(("a.html", b"<script>alert(1)</script>"))), None).await.expect(201);
    assert_eq!((&kept.json()["active"], &kept.json()["mediaType"]), (&Value::Bool(true), &json!("text/html")));
    let path = kept.header("location").to_owned();
    assert_eq!(
        lawyer.get(&format!("{path}/content")).await.expect(200).header("content-type"),
        "application/octet-stream"
    );
    let (id, intake) = lawyer.colleague(&["intake"]).await;
    intake.get(&path).await.expect(200);
    let wall = json!({ "kind": "wall", "userId": id, "reason": "spouse of the opposing party" });
    lawyer.post(&format!("/api/v1/cases/{case}/guards"), &wall).await.expect(201);
    let reads = ["", "/content", "/verify"].map(|end| format!("{path}{end}"));
    for read in reads.iter().chain([&format!("/api/v1/cases/{case}/evidence")]) {
        intake.get(read).await.expect(404);
    }
    let act = json!({ "to": "me", "reason": "because I want to have it" });
    intake.post(&format!("{path}/transfer"), &act).await.expect(404);
    intake.post(&format!("{path}/seal"), &json!({ "reason": "because I want to" })).await.expect(404);
    upload(&intake, form(&fields, Some(("a", b"x"))), None).await.expect(404);
    let (_, auditor) = lawyer.colleague(&["auditor"]).await;
    for read in &reads {
        auditor.get(read).await.expect(403);
    }
    upload(&auditor, form(&fields, Some(("a", b"x"))), None).await.expect(403);
}

#[tokio::test]
async fn what_was_changed_on_the_disk_is_a_critical_record() {
    let fixture = fixture().await;
    let (lawyer, case) = scene(&fixture).await;
    let fields = [("caseId", case.as_str()), ("evidenceType", "audio")];
    let item = upload(&lawyer, form(&fields, Some(("a", &[7; 100_000]))), None).await.expect(201).json();
    let id = item["evidenceId"].as_str().unwrap();
    let blobs = fixture.app.config.paths.state_dir.join("blobs").join("evidence");
    let file = blobs.join(&id[id.len() - 2..]).join(id);
    let mut stored = std::fs::read(&file).unwrap();
    stored[70_000] ^= 1;
    std::fs::write(&file, stored).unwrap();
    let verdict = lawyer.get(&format!("/api/v1/evidence/{id}/verify")).await.expect(200).json();
    assert_eq!((&verdict["ok"], &verdict["checks"][0]["ok"]), (&Value::Bool(false), &Value::Bool(false)));
    assert!(fixture.app.audit.flush_blocking(std::time::Duration::from_secs(5)));
    let recorded = fixture.recorded.lock();
    let record = recorded.iter().find(|record| record.action == "evidence.verify").unwrap();
    assert_eq!(record.severity, Severity::Critical);
}
