//! The routes from outside, over a real store, with a scribe that keeps what it is told.
use hotline::wire::AdminReply;
use serde_json::{Value, json};

use crate::testing::{Answer, Fixture, Lawyer, PASSWORD, json_request};

fn new_case() -> Value {
    json!({
        "title": "Deposit kept",
        "callerName": "Ana Ruiz",
        "contact": { "phone": "+1 555 0142", "safeToCall": true },
        "narrative": "The landlord kept the deposit and does not answer.",
        "jurisdiction": "US-CA",
    })
}

async fn put(lawyer: &Lawyer<'_>, path: &str, etag: Option<&str>, change: Value) -> Answer {
    let mut request = lawyer.request("PUT", path);
    if let Some(etag) = etag {
        request = request.header("if-match", etag);
    }
    lawyer.fixture.ask(request, change.to_string()).await
}

/// A second of silence.
fn wav() -> Vec<u8> {
    let samples = vec![0u8; 16_000];
    let mut wav = b"RIFF".to_vec();
    wav.extend_from_slice(&(36 + samples.len() as u32).to_le_bytes());
    wav.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    wav.extend_from_slice(&8_000u32.to_le_bytes());
    wav.extend_from_slice(&16_000u32.to_le_bytes());
    wav.extend_from_slice(b"\x02\0\x10\0data");
    wav.extend_from_slice(&(samples.len() as u32).to_le_bytes());
    wav.extend(samples);
    wav
}

fn form(fields: &[(&str, &str)], name: &str, audio: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in fields {
        body.extend(format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").into_bytes());
    }
    let head = format!(
        "--b\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"x\"\r\nContent-Type: audio/wav\r\n\r\n"
    );
    body.extend(head.into_bytes());
    body.extend_from_slice(audio);
    body.extend_from_slice(b"\r\n--b--\r\n");
    body
}

async fn upload(lawyer: &Lawyer<'_>, key: Option<&str>, content_type: &str, body: Vec<u8>) -> Answer {
    let mut request = http::Request::post("/api/v1/voice/process")
        .header("content-type", content_type)
        .header("authorization", format!("Bearer {}", lawyer.token));
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    lawyer.fixture.ask(request, body).await
}

const FORM: &str = "multipart/form-data; boundary=b";

#[tokio::test]
async fn login_answers_a_token_that_works_until_logout() {
    let fixture = Fixture::start(|_| ()).await;
    let lawyer = fixture.lawyer().await;
    lawyer.get("/api/v1/cases").await.expect(200);
    let answer = lawyer.fixture.ask(lawyer.request("POST", "/api/v1/auth/logout"), "").await.expect(204);
    assert!(answer.header("set-cookie").contains("Max-Age=0"));
    lawyer.get("/api/v1/cases").await.expect(401);
    let actions = fixture.actions();
    assert_eq!(actions[..3], ["auth.login", "case.list", "auth.logout"]);
}

#[tokio::test]
async fn a_wrong_name_and_a_wrong_password_look_the_same() {
    let fixture = Fixture::start(|_| ()).await;
    fixture.lawyer().await;
    let mut bodies = Vec::new();
    for (name, password) in [("admin", "wrong"), ("nobody", PASSWORD)] {
        let body = json!({ "username": name, "password": password }).to_string();
        let answer = fixture.ask(json_request("POST", "/api/v1/auth/login"), body).await.expect(401);
        assert_eq!(answer.header("set-cookie"), "");
        let mut body = answer.json();
        assert_eq!(body["error"], "Invalid credentials");
        body["requestId"] = Value::Null;
        body["timestamp"] = Value::Null;
        bodies.push(body);
    }
    assert_eq!(bodies[0], bodies[1]);
    assert_eq!(fixture.actions().iter().filter(|action| *action == "auth.login").count(), 3);
}

#[tokio::test]
async fn a_guesser_runs_out_of_tries_for_a_name_from_anywhere() {
    let fixture = Fixture::start(|config| config.rate.login.requests = 3).await;
    for status in [401, 401, 401, 429] {
        let body = json!({ "username": "admin", "password": "guess" }).to_string();
        fixture.ask(json_request("POST", "/api/v1/auth/login"), body).await.expect(status);
    }
}

#[tokio::test]
async fn a_cookie_counts_but_not_for_other_sites() {
    let fixture = Fixture::start(|_| ()).await;
    let lawyer = fixture.lawyer().await;
    let cookie = format!("__Host-session={}", lawyer.token);
    let by_cookie = |method: &str| json_request(method, "/api/v1/cases").header("cookie", &cookie);
    fixture.ask(by_cookie("GET"), "").await.expect(200);
    let body = new_case().to_string();
    fixture.ask(by_cookie("POST"), body.clone()).await.expect(403);
    fixture.ask(by_cookie("POST").header("origin", "https://evil.example"), body.clone()).await.expect(403);
    fixture.ask(by_cookie("POST").header("sec-fetch-site", "cross-site"), body.clone()).await.expect(403);
    fixture.ask(by_cookie("POST").header("origin", "https://hotline.example"), body.clone()).await.expect(201);
    fixture.ask(by_cookie("POST").header("sec-fetch-site", "same-origin"), body).await.expect(201);
}

#[tokio::test]
async fn a_lost_update_is_refused_and_an_unseen_one_too() {
    let fixture = Fixture::start(|_| ()).await;
    let lawyer = fixture.lawyer().await;
    let created = lawyer.post("/api/v1/cases", &new_case()).await.expect(201);
    let path = created.header("location").to_owned();
    let etag = created.header("etag").to_owned();
    put(&lawyer, &path, None, json!({ "title": "first" })).await.expect(428);
    put(&lawyer, &path, Some(&etag), json!({ "title": "first" })).await.expect(200);
    assert_eq!(
        put(&lawyer, &path, Some(&etag), json!({ "title": "second" })).await.expect(412).json()["code"],
        "lost-update"
    );
    assert_eq!(lawyer.get(&path).await.json()["title"], "first");
    put(&lawyer, "/api/v1/cases/0197b6a0-0000-7000-8000-000000000000", Some("*"), json!({})).await.expect(404);
    let current = lawyer.get(&path).await.header("etag").to_owned();
    let refused = put(&lawyer, &path, Some(&current), json!({ "state": "archived" })).await.expect(400);
    assert_eq!(refused.json()["pointer"], "/state");
}

#[tokio::test]
async fn the_cache_hits_and_a_write_makes_it_miss() {
    let fixture = Fixture::start(|_| ()).await;
    fixture.app.cache.open();
    let lawyer = fixture.lawyer().await;
    let created = lawyer.post("/api/v1/cases", &new_case()).await;
    let path = created.header("location").to_owned();
    let number = created.json()["caseNumber"].as_str().unwrap().to_owned();
    let first = lawyer.get(&path).await.expect(200);
    assert_eq!(first.header("x-cache"), "MISS");
    let second = lawyer.get(&path).await.expect(200);
    assert_eq!((second.header("x-cache"), &second.body), ("HIT", &first.body));
    assert!(second.header("x-cache-time").ends_with("ms"));
    let by_number = format!("/api/v1/cases/{number}");
    assert_eq!(lawyer.get(&by_number).await.json()["id"], first.json()["id"]);

    let unchanged = lawyer.request("GET", &path).header("if-none-match", first.header("etag"));
    let unchanged = fixture.ask(unchanged, "").await.expect(304);
    assert!(unchanged.body.is_empty());
    assert_eq!(unchanged.header("etag"), first.header("etag"));

    put(&lawyer, &path, Some(first.header("etag")), json!({ "title": "new" })).await.expect(200);
    for path in [&path, &by_number] {
        let after = lawyer.get(path).await.expect(200);
        assert_eq!((after.header("x-cache"), after.json()["title"].as_str()), ("MISS", Some("new")));
    }
    let reads = fixture.actions().iter().filter(|action| *action == "case.read").count();
    assert_eq!(reads, 6, "hits and 304s are in the log like any other reading");
}

#[tokio::test]
async fn what_is_top_secret_is_never_kept() {
    let fixture = Fixture::start(|_| ()).await;
    fixture.app.cache.open();
    let lawyer = fixture.lawyer().await;
    let mut secret = new_case();
    secret["classification"] = "TOP_SECRET".into();
    let path = lawyer.post("/api/v1/cases", &secret).await.expect(201).header("location").to_owned();
    let principal = lawyer.principal().await;
    fixture.app.domain.sessions.prove(principal.session, 2).await.unwrap();
    fixture.app.session_from_store(principal.session).await.ok().unwrap();
    for _ in 0..2 {
        let request = lawyer.request("GET", &path).header("x-purpose", "representation");
        let answer = fixture.ask(request, "").await.expect(200);
        assert_eq!(answer.header("x-cache"), "BYPASS");
        assert!(answer.header("x-data-classification").starts_with("TOP_SECRET"));
    }
}

#[tokio::test]
async fn a_retried_creation_answers_the_same_case() {
    let fixture = Fixture::start(|_| ()).await;
    let lawyer = fixture.lawyer().await;
    let create = async |body: &Value| {
        let request = lawyer.request("POST", "/api/v1/cases").header("idempotency-key", "k-1");
        fixture.ask(request, body.to_string()).await
    };
    let first = create(&new_case()).await.expect(201);
    assert_eq!(first.header("idempotency-replayed"), "");
    let again = create(&new_case()).await.expect(201);
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(first.body, again.body);
    let mut other = new_case();
    other["callerName"] = "Somebody Else".into();
    create(&other).await.expect(422);
    assert_eq!(lawyer.get("/api/v1/cases").await.json()["cases"].as_array().unwrap().len(), 1);
    assert_eq!(fixture.published.lock().iter().filter(|event| event.topic == "cases").count(), 1);
}

#[tokio::test]
async fn nothing_is_answered_that_could_not_be_recorded() {
    let fixture = Fixture::start(|config| config.audit.wait_ms_max = 50).await;
    let lawyer = fixture.lawyer().await;
    let path = lawyer.post("/api/v1/cases", &new_case()).await.expect(201).header("location").to_owned();
    let etag = lawyer.get(&path).await.header("etag").to_owned();
    fixture.deafen_scribe();
    let refused = put(&lawyer, &path, Some(&etag), json!({ "title": "unrecorded" })).await.expect(503);
    assert_eq!(refused.json()["code"], "audit-unavailable");
    lawyer.get(&path).await.expect(503);
    lawyer.post("/api/v1/cases", &new_case()).await.expect(503);
    let principal = lawyer.principal().await;
    let id = path.rsplit('/').next().unwrap();
    let case = fixture.app.visible_case(&principal, id).await.ok().flatten().unwrap();
    assert_eq!(case.title, "Deposit kept", "the record goes first");
}

#[tokio::test]
async fn bad_bodies_get_the_right_refusal() {
    let fixture = Fixture::start(|config| config.limits.json_bytes_max = 4_096).await;
    let lawyer = fixture.lawyer().await;
    let table: [(Vec<u8>, u16, &str); 8] = [
        (b"".to_vec(), 400, "empty-body"),
        (b"{".to_vec(), 400, "invalid-json"),
        (b"{\"title\":\"\xff\"}".to_vec(), 400, "invalid-utf8"),
        (br#"{"title":"x","admin":true}"#.to_vec(), 400, "invalid-field"),
        (br#"{"title":7}"#.to_vec(), 400, "invalid-field"),
        (br#"{"title":"  "}"#.to_vec(), 400, "invalid-field"),
        (format!("{{\"title\":{}1{}}}", "[".repeat(100), "]".repeat(100)).into_bytes(), 400, "too-deep"),
        (format!("{{\"title\":\"{}\"}}", "x".repeat(5_000)).into_bytes(), 413, "too-large"),
    ];
    for (body, status, code) in table {
        let shown = String::from_utf8_lossy(&body).into_owned();
        let answer = fixture.ask(lawyer.request("POST", "/api/v1/cases"), body).await;
        assert_eq!((answer.status, answer.json()["code"].as_str()), (status, Some(code)), "{shown}");
    }
    lawyer.get("/api/v1/cases?limit=0").await.expect(400);
    lawyer.get("/api/v1/cases?narrative=x").await.expect(400);
    lawyer.get("/api/v1/cases/1234").await.expect(404);
    assert_eq!(lawyer.get("/api/v1/cases").await.json()["cases"], json!([]), "nothing half-written");
}

#[tokio::test]
async fn a_recording_becomes_a_call_once() {
    let fixture = Fixture::start(|config| config.speech.synchronous_wait_ms = 1).await;
    let lawyer = fixture.lawyer().await;
    let body = form(&[("callerName", "Ana Ruiz"), ("consent", "true")], "audio", &wav());
    let first = upload(&lawyer, Some("k"), FORM, body.clone()).await.expect(202);
    let id = first.json()["callId"].as_str().unwrap().to_owned();
    assert_eq!(first.header("location"), format!("/api/v1/voice/status/{id}"));
    let status = lawyer.get(first.header("location")).await.expect(200).json();
    assert_eq!((status["callId"].as_str(), status["status"].as_str()), (Some(id.as_str()), Some("consented")));
    let again = upload(&lawyer, Some("k"), FORM, body).await.expect(202);
    assert_eq!((again.header("idempotency-replayed"), again.json()["callId"].as_str()), ("true", Some(id.as_str())));
    upload(&lawyer, Some("k"), FORM, form(&[], "audio", &wav()[..1_000])).await.expect(422);
    upload(&lawyer, None, "audio/wav", wav()).await.expect(202);
    let counts = fixture.app.domain.calls.counts().await.unwrap();
    assert_eq!(counts.ready, 2);
    lawyer.get("/api/v1/voice/status/0197b6a0-0000-7000-8000-000000000000").await.expect(404);
    lawyer.get("/api/v1/voice/status/nonsense").await.expect(404);
}

#[tokio::test]
async fn what_is_no_recording_is_refused_and_not_kept() {
    let fixture = Fixture::start(|config| config.limits.audio_bytes_max = 100_000).await;
    let lawyer = fixture.lawyer().await;
    let table: [(&str, Vec<u8>, u16); 11] = [
        (FORM, form(&[], "audio", b"this is no audio"), 415),
        (FORM, form(&[], "audio", b""), 400),
        (FORM, form(&[("consent", "maybe")], "audio", &wav()), 400),
        (FORM, form(&[("consent", "false")], "audio", &wav()), 422),
        (FORM, form(&[("surprise", "1")], "audio", &wav()), 400),
        (FORM, form(&[], "picture", &wav()), 400),
        (FORM, form(&[], "audio", &wav())[..500].to_vec(), 400),
        (FORM, b"garbage".to_vec(), 400),
        ("application/json", b"{}".to_vec(), 415),
        ("audio/wav", b"".to_vec(), 400),
        ("audio/wav", vec![0; 100_001], 413),
    ];
    for (content_type, body, status) in table {
        let shown = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
        let answer = upload(&lawyer, None, content_type, body).await;
        assert_eq!(answer.status, status, "{content_type} {shown}: {:?}", answer.body);
    }
    let counts = fixture.app.domain.calls.counts().await.unwrap();
    assert_eq!((counts.ready, counts.leased), (0, 0));
}

#[tokio::test]
async fn analysis_quotes_the_text_and_names_its_sources() {
    let fixture = Fixture::start(|_| ()).await;
    let lawyer = fixture.lawyer().await;
    let body = json!({ "text": "My landlord changed the locks and I have an eviction hearing tomorrow." });
    let analysis = lawyer.post("/api/v1/ai/analyze", &body).await.expect(200).json();
    let text = body["text"].as_str().unwrap();
    let issues = analysis["issues"].as_array().unwrap();
    assert!(!issues.is_empty());
    for span in issues.iter().flat_map(|issue| issue["spans"].as_array().unwrap()) {
        let at = |key: &str| span[key].as_u64().unwrap() as usize;
        assert_eq!(&text[at("start")..at("end")], span["text"].as_str().unwrap());
    }
    let steps = lawyer.post("/api/v1/ai/recommend", &body).await.expect(200).json();
    let same = lawyer.post("/api/v1/ai/recommend", &json!({ "analysis": analysis })).await.expect(200).json();
    assert_eq!(steps, same);
    assert!(!steps["steps"].as_array().unwrap().is_empty());
    for bad in [json!({}), json!({ "text": "" }), json!({ "text": "x", "caseId": "y" })] {
        lawyer.post("/api/v1/ai/analyze", &bad).await.expect(400);
    }
    lawyer.post("/api/v1/ai/analyze", &json!({ "caseId": "nonsense" })).await.expect(404);
}

#[tokio::test]
async fn a_live_ticket_works_once_and_is_no_token() {
    let fixture = Fixture::start(|_| ()).await;
    let lawyer = fixture.lawyer().await;
    let ticket = lawyer.post("/api/v1/live/ticket", &Value::Null).await.expect(200).json();
    let ticket = ticket["ticket"].as_str().unwrap();
    let bearer = json_request("GET", "/api/v1/cases").header("authorization", format!("Bearer {ticket}"));
    fixture.ask(bearer, "").await.expect(401);
    let path = format!("/ws?ticket={ticket}");
    // No upgrade is asked for, so the ticket is taken and the connection is not.
    fixture.ask(json_request("GET", &path), "").await.expect(426);
    fixture.ask(json_request("GET", &path), "").await.expect(401);
    fixture.ask(json_request("GET", "/ws"), "").await.expect(401);
    let forged = fixture.app.tokens.sign(
        crate::gate::Purpose::Bearer,
        &crate::gate::Claims {
            user: uuid::Uuid::nil(),
            session: uuid::Uuid::nil(),
            serial: uuid::Uuid::nil(),
            expires_at_s: u64::MAX,
        },
        0,
    );
    fixture.ask(json_request("GET", &format!("/ws?ticket={}", forged.unwrap())), "").await.expect(401);
}

#[tokio::test]
async fn a_minted_token_works_and_is_recorded_as_the_operators_act() {
    let fixture = Fixture::start(|_| ()).await;
    fixture.lawyer().await;
    let mint = async |user: &str, ttl_seconds: u64| super::mint_token(&fixture.app, user, ttl_seconds, 1_000).await;
    let AdminReply::Token { token, .. } = mint("admin", 60).await else { panic!("refused") };
    let machine = Lawyer { fixture: &fixture, token };
    machine.get("/api/v1/cases").await.expect(200);
    assert!(matches!(mint("nobody", 60).await, AdminReply::Refused { .. }));
    assert!(matches!(mint("admin", 0).await, AdminReply::Refused { .. }));
    assert!(matches!(mint("admin", u64::MAX).await, AdminReply::Refused { .. }));
    let recorded = fixture.recorded.lock();
    let minted = recorded.iter().find(|event| event.action == "token.mint").unwrap();
    assert_eq!(minted.actor, "uid:1000");
}

#[tokio::test]
async fn who_has_no_right_gets_403_and_no_hint() {
    let fixture = Fixture::start(|_| ()).await;
    let lawyer = fixture.lawyer().await;
    let path = lawyer.post("/api/v1/cases", &new_case()).await.header("location").to_owned();
    // The same session with no rights, as after a change of roles.
    let principal = lawyer.principal().await;
    let cell = fixture.app.board.session(principal.session.as_u128()).unwrap();
    fixture
        .app
        .board
        .put_session(principal.session.as_u128(), hotline::board::SessionCell { standing: 0, epoch: 2, ..cell });
    for (method, path) in [
        ("GET", "/api/v1/cases"),
        ("GET", path.as_str()),
        ("POST", "/api/v1/ai/analyze"),
        ("POST", "/api/v1/live/ticket"),
    ] {
        let body = if method == "POST" { r#"{"text":"x"}"# } else { "" };
        let answer = fixture.ask(lawyer.request(method, path), body).await.expect(403);
        assert_eq!(answer.json()["error"], "Insufficient permissions");
    }
    fixture.ask(lawyer.request("POST", "/api/v1/cases"), new_case().to_string()).await.expect(403);
    fixture.ask(lawyer.request("POST", "/api/v1/voice/process"), "").await.expect(403);
    assert!(fixture.app.audit.flush_blocking(std::time::Duration::from_secs(5)));
    assert_eq!(fixture.actions().iter().filter(|action| *action == "access.denied").count(), 6);
}

#[tokio::test]
async fn readiness_names_what_is_missing() {
    let fixture = Fixture::start(|_| ()).await;
    let report = fixture.ask(json_request("GET", "/health/ready"), "").await.expect(503).json();
    assert_eq!((report["store"].as_str(), report["background"].as_str()), (Some("ok"), Some("failing")));
    let health = fixture.ask(json_request("GET", "/health"), "").await.expect(200).json();
    let mut keys: Vec<&String> = health.as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(keys, ["environment", "status", "timestamp", "version"]);
}

#[tokio::test]
async fn who_runs_the_service_or_takes_calls_does_not_read_the_audit_log() {
    let fixture = Fixture::start(|_| ()).await;
    let lawyer = fixture.lawyer().await;
    for path in ["records/1", "log/checkpoint", "log/tile/0/000", "log/tile/entries/000"] {
        lawyer.get(&format!("/api/v1/audit/{path}")).await.expect(403);
    }
    fixture.ask(json_request("GET", "/api/v1/audit/log/checkpoint"), "").await.expect(401);
}
