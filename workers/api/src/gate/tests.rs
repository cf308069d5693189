//! The gate from outside: one request in, one answer out, with everything real behind it but sockets.
use std::sync::atomic::Ordering;

use hotline::board::SessionCell;
use hotline_domain::policy::{Minute, Permissions, Role, Standing};
use http::Request;
use serde_json::json;

use crate::testing::Fixture;

fn get(path: &str) -> http::request::Builder {
    Request::get(path).header("host", "hotline.example")
}

#[tokio::test]
async fn every_answer_carries_the_headers_whatever_its_status() {
    let fixture = Fixture::start(|config| config.limits.audio_bytes_max = 10).await;
    let post = |path: &str| Request::post(path).header("host", "hotline.example");
    let json_post = |path: &str| post(path).header("content-type", "application/json");
    let answers = [
        (200, fixture.ask(get("/health"), "").await),
        (200, fixture.ask(get("/api/v1/openapi.json"), "").await),
        (400, fixture.ask(json_post("/api/v1/auth/login"), "{").await),
        (401, fixture.ask(get("/api/v1/cases"), "").await),
        (403, fixture.ask(json_post("/api/v1/auth/login").header("origin", "https://evil.example"), "{}").await),
        (404, fixture.ask(get("/nothing"), "").await),
        (405, fixture.ask(post("/health"), "").await),
        (413, fixture.ask(json_post("/api/v1/auth/login").header("content-length", "99999999"), "{}").await),
        (415, fixture.ask(post("/api/v1/auth/login"), "{}").await),
        (431, fixture.ask(get("/health").header("x-long", "x".repeat(17_000)), "").await),
    ];
    for (status, answer) in answers {
        assert_eq!(answer.status, status, "{:?}", answer.body);
        for (name, value) in [
            ("strict-transport-security", "max-age=31536000; includeSubDomains"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("x-xss-protection", "0"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cache-control", "no-store"),
            ("x-audit-required", "true"),
        ] {
            assert_eq!(answer.header(name), value, "{status} {name}");
        }
        assert!(answer.header("content-security-policy").contains("default-src 'none'"), "{status}");
        assert!(answer.header("server-timing").starts_with("app;dur="), "{status}");
        assert_eq!(answer.header("x-request-id").len(), 32, "{status}");
        assert!(!answer.header("x-data-classification").is_empty(), "{status}");
        for hidden in ["server", "x-powered-by", "x-process-id"] {
            assert_eq!(answer.header(hidden), "", "{status}");
        }
        if status >= 400 {
            assert_eq!(answer.header("content-type"), "application/problem+json", "{status}");
            let body = answer.json();
            assert_eq!(body["status"], status);
            assert_eq!(body["requestId"], answer.header("x-request-id"));
            assert!(body["error"].is_string() && body["timestamp"].is_string());
        }
    }
}

#[tokio::test]
async fn a_refused_method_names_those_that_are_not() {
    let fixture = Fixture::start(|_| ()).await;
    let answer = fixture.ask(Request::delete("/health"), "").await.expect(405);
    assert_eq!(answer.header("allow"), "GET,HEAD");
}

#[tokio::test]
async fn a_head_of_exactly_the_limit_passes() {
    let fixture = Fixture::start(|_| ()).await;
    let padding = |bytes: usize| "x".repeat(bytes - "/health".len() - "x-long".len() - 4);
    fixture.ask(Request::get("/health").header("x-long", padding(16_384)), "").await.expect(200);
    fixture.ask(Request::get("/health").header("x-long", padding(16_385)), "").await.expect(431);
    let mut many = Request::get("/health");
    for n in 0..101 {
        many = many.header(format!("x-{n}"), "1");
    }
    fixture.ask(many, "").await.expect(431);
}

#[tokio::test]
async fn the_anonymous_budget_is_exact_and_probes_are_free() {
    let fixture = Fixture::start(|config| config.rate.anonymous.requests = 3).await;
    for left in ["2", "1", "0"] {
        let answer = fixture.ask(get(DOCUMENT), "").await.expect(200);
        assert_eq!((answer.header("ratelimit-limit"), answer.header("ratelimit-remaining")), ("3", left));
    }
    let answer = fixture.ask(get(DOCUMENT), "").await.expect(429);
    assert_eq!(answer.json()["error"], "Rate limit exceeded");
    assert_eq!(answer.header("ratelimit-remaining"), "0");
    assert!(answer.header("retry-after").parse::<u64>().unwrap() > 0);
    fixture.ask(get("/health"), "").await.expect(200);
}

#[tokio::test]
async fn tokens_that_do_not_hold_are_challenged_and_recorded() {
    let fixture = Fixture::start(|_| ()).await;
    for (credential, challenge) in [
        ("", r#"Bearer realm="hotline""#),
        ("Bearer garbage", r#"Bearer realm="hotline", error="invalid_token""#),
        ("Basic YTpi", r#"Bearer realm="hotline", error="invalid_token""#),
    ] {
        let request = match credential {
            "" => get("/api/v1/cases"),
            value => get("/api/v1/cases").header("authorization", value),
        };
        let answer = fixture.ask(request, "").await.expect(401);
        assert_eq!(answer.header("www-authenticate"), challenge);
        assert_eq!(answer.json()["error"], "Unauthorized");
    }
    // A record that nobody waited for is behind one that somebody does.
    fixture
        .ask(
            Request::post("/api/v1/auth/login").header("content-type", "application/json"),
            json!({ "username": "x", "password": "y" }).to_string(),
        )
        .await
        .expect(401);
    assert_eq!(fixture.actions().iter().filter(|action| *action == "access.denied").count(), 3);
}

#[tokio::test]
async fn the_controls_are_claimed_only_while_they_hold() {
    let fixture = Fixture::start(|_| ()).await;
    assert_eq!(fixture.ask(get("/health"), "").await.header("x-legal-compliance"), "");
    fixture.app.controls_hold.store(true, Ordering::Relaxed);
    assert_eq!(fixture.ask(get("/health"), "").await.header("x-legal-compliance"), "SIMTRON-2024");
}

#[tokio::test]
async fn only_named_pages_may_read_from_elsewhere() {
    let fixture = Fixture::start(|_| ()).await;
    let preflight = |origin: &str| {
        Request::options("/api/v1/cases")
            .header("host", "hotline.example")
            .header("origin", origin)
            .header("access-control-request-method", "PUT")
    };
    let allowed = fixture.ask(preflight("https://console.example"), "").await.expect(204);
    assert_eq!(allowed.header("access-control-allow-origin"), "https://console.example");
    assert!(allowed.header("access-control-allow-headers").contains("If-Match"));
    for origin in ["https://evil.example", "null"] {
        let refused = fixture.ask(preflight(origin), "").await.expect(403);
        assert_eq!(refused.header("access-control-allow-origin"), "");
    }
}

#[tokio::test]
async fn a_refusal_says_what_is_held_against_the_request_and_so_does_its_record() {
    let fixture = Fixture::start(|config| config.rate.anonymous.requests = 2).await;
    let lawyer = fixture.lawyer().await;
    let refused = [
        (fixture.ask(get("/api/v1/cases"), "").await, 401, "AUTHENTICATION_FAILURE", "REQUIRE_REAUTHENTICATION"),
        (lawyer.get("/api/v1/audit/log/checkpoint").await, 403, "INSUFFICIENT_PRIVILEGES", "ACCESS_DENIED"),
        (fixture.ask(get(DOCUMENT), "").await, 429, "RATE_LIMIT_EXCEEDED", "TEMPORARY_BLOCK"),
    ];
    for (answer, status, violation, mitigation) in refused {
        let verdict =
            json!({ "isValid": false, "riskScore": 0, "violations": [violation], "mitigations": [mitigation] });
        assert_eq!(answer.expect(status).json()["security"], verdict);
    }
    let missing = lawyer.get("/api/v1/nothing").await.expect(404);
    assert!(missing.json()["security"].is_null(), "nothing is held against who asks for what is not there");
    lawyer.get("/api/v1/cases").await.expect(200);
    let recorded: Vec<String> = fixture.recorded.lock().iter().map(|event| event.details.clone()).collect();
    for violation in ["AUTHENTICATION_FAILURE", "INSUFFICIENT_PRIVILEGES"] {
        assert!(recorded.iter().any(|details| details.contains(violation)), "{violation}");
    }
}

#[tokio::test]
async fn every_role_reaches_what_it_may_and_nothing_else() {
    let fixture = Fixture::start(|_| ()).await;
    let caller = fixture.lawyer().await;
    let session = caller.principal().await.session.as_u128();
    let cell = fixture.app.board.session(session).unwrap();
    let routes = [
        ("GET", "/api/v1/cases", Some(Permissions::CASE_ACCESS)),
        ("POST", "/api/v1/cases", Some(Permissions::CASE_WRITE)),
        ("POST", "/api/v1/voice/process", Some(Permissions::CALL_PROCESS)),
        ("POST", "/api/v1/ai/analyze", Some(Permissions::AI_USE)),
        ("POST", "/api/v1/ai/recommend", Some(Permissions::AI_USE)),
        ("POST", "/api/v1/live/ticket", Some(Permissions::LIVE_SUBSCRIBE)),
        ("GET", "/api/v1/users", Some(Permissions::USER_MANAGE)),
        ("POST", "/api/v1/users", Some(Permissions::USER_MANAGE)),
        ("PATCH", "/api/v1/users/u", Some(Permissions::USER_MANAGE)),
        ("POST", "/api/v1/users/u/reset", Some(Permissions::USER_MANAGE)),
        ("GET", "/api/v1/audit/records/1", Some(Permissions::AUDIT_READ)),
        ("POST", "/api/v1/audit/records/1/acknowledgement", Some(Permissions::ALERT_ACKNOWLEDGE)),
        ("GET", "/api/v1/audit/log/checkpoint", Some(Permissions::AUDIT_READ)),
        ("GET", "/api/v1/audit/log/tile/0/000", Some(Permissions::AUDIT_READ)),
        // One's own account is everybody's own.
        ("GET", "/api/v1/auth/mfa", None),
        ("POST", "/api/v1/auth/mfa/totp/confirm", None),
        ("GET", "/api/v1/auth/sessions", None),
        ("DELETE", "/api/v1/auth/sessions/s", None),
        ("POST", "/api/v1/auth/password", None),
        ("POST", "/api/v1/auth/step-up", None),
    ];
    for (epoch, role) in (cell.epoch + 1..).zip(Role::ALL) {
        let standing = Standing::new(&[role], None, 1);
        let permissions = fixture.app.domain.access.permissions(standing, Minute::of_ms(fixture.app.now_ms()));
        fixture.app.board.put_session(session, SessionCell { standing: standing.to_bits(), epoch, ..cell });
        for (method, path, needed) in routes {
            // Bodies that make sense: a mistake in one is told before the right is looked at.
            let body = match path {
                "/api/v1/cases" => json!({ "title": "Deposit kept", "callerName": "Ana", "narrative": "It was kept." }),
                "/api/v1/ai/analyze" | "/api/v1/ai/recommend" => json!({ "text": "They kept my deposit." }),
                "/api/v1/users" => json!({ "username": "somebody", "roles": ["intake"] }),
                "/api/v1/auth/password" => json!({ "oldPassword": "x", "newPassword": "y" }),
                "/api/v1/auth/mfa/totp/confirm" => json!({ "code": "000000" }),
                _ => json!({}),
            };
            let status = fixture.ask(caller.request(method, path), body.to_string()).await.status;
            let may = needed.is_none_or(|needed| permissions.contain(needed));
            assert!(status != 401 && may != (status == 403), "{role} {method} {path}: {status}");
        }
    }
}

const DOCUMENT: &str = "/api/v1/openapi.json";
