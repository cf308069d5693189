//! Who one is: log-in, tokens, log-out. A forged token never gets further than the gate.
use data_encoding::BASE64URL_NOPAD;
use serde_json::json;

use crate::support::{Hotline, Request};

fn log_in(hotline: &Hotline) -> serde_json::Value {
    let body = json!({ "username": "admin", "password": "correct horse battery staple" });
    hotline.client().post_json("/api/v1/auth/login", &body).expect(200).json()
}

#[test]
fn a_log_in_gives_a_token_that_works_on_every_worker_until_log_out() {
    let hotline = Hotline::start("");
    let session = log_in(&hotline);
    assert_eq!(session["user"]["username"], "admin");
    assert!(session["expiresAt"].as_str().unwrap().ends_with('Z'));
    let staff = hotline.client().with_token(session["token"].as_str().unwrap());
    for _ in 0..8 {
        staff.get("/api/v1/cases").expect(200);
    }
    staff.send(Request::new("POST", "/api/v1/auth/logout")).expect(204);
    for _ in 0..8 {
        staff.get("/api/v1/cases").expect(401);
    }
}

#[test]
fn a_session_survives_the_death_of_everything() {
    let hotline = Hotline::start("");
    let token = log_in(&hotline)["token"].as_str().unwrap().to_owned();
    let ended = log_in(&hotline)["token"].as_str().unwrap().to_owned();
    hotline.client().with_token(&ended).send(Request::new("POST", "/api/v1/auth/logout")).expect(204);
    let folder = hotline.kill_supervisor();
    let again = Hotline::start_in(folder, "");
    again.client().with_token(&token).get("/api/v1/cases").expect(200);
    again.client().with_token(&ended).get("/api/v1/cases").expect(401);
}

#[test]
fn wrong_name_and_wrong_password_look_the_same() {
    let hotline = Hotline::start("");
    let answer = |name: &str| {
        let body = json!({ "username": name, "password": "wrong password, long enough" });
        let answer = hotline.client().post_json("/api/v1/auth/login", &body).expect(401);
        let mut body = answer.json();
        body["requestId"].take();
        body["timestamp"].take();
        body
    };
    assert_eq!(answer("admin"), answer("nobody"));
    assert_eq!(answer("admin")["error"], "Invalid credentials");
}

#[test]
fn forged_expired_and_confused_tokens_are_refused() {
    let hotline = Hotline::start("");
    let token = log_in(&hotline)["token"].as_str().unwrap().to_owned();
    let parts: Vec<&str> = token.split('.').collect();
    let claims = BASE64URL_NOPAD.decode(parts[1].as_bytes()).unwrap();
    let header = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
    let flipped =
        parts[2].replacen(parts[2].chars().next().unwrap(), if parts[2].starts_with('A') { "B" } else { "A" }, 1);
    let mut later: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    later["exp"] = json!(4_102_444_800u64);
    let forged = [
        String::new(),
        "a.b.c".to_owned(),
        "\u{fffd}".to_owned(),
        format!("{}.{}.", header(r#"{"alg":"none","typ":"JWT"}"#), parts[1]),
        format!("{}.{}.{}", header(r#"{"alg":"none"}"#), parts[1], parts[2]),
        format!("{}.{}.{}", header(r#"{"alg":"RS256","typ":"JWT"}"#), parts[1], parts[2]),
        format!("{}.{}.{}", header(r#"{"alg":"HS256","kid":"999"}"#), parts[1], parts[2]),
        format!("{}.{}.{}", parts[0], parts[1], flipped),
        format!("{}.{}.{}", parts[0], BASE64URL_NOPAD.encode(later.to_string().as_bytes()), parts[2]),
        "x".repeat(9_000),
    ];
    for token in forged {
        let request = Request::new("GET", "/api/v1/cases").header("Authorization", &format!("Bearer {token}"));
        let answer = hotline.client().send(request).expect(401);
        assert!(answer.header("WWW-Authenticate").is_some_and(|value| value.starts_with("Bearer")));
    }
    hotline.client().get("/api/v1/cases").expect(401);
    hotline.client().with_token(&token).get("/api/v1/cases").expect(200);
}

#[test]
fn an_automation_token_expires_and_is_recorded() {
    let hotline = Hotline::start("");
    let output = hotline.command(&["token", "--user", "admin", "--ttl", "1s", "--json"]);
    let token: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let staff = hotline.client().with_token(token["token"].as_str().unwrap());
    crate::assert_eventually!(staff.get("/api/v1/cases").status == 401);
    let refused = hotline.command(&["token", "--user", "nobody", "--ttl", "1h"]);
    assert!(!refused.status.success());
    let tail = hotline.command(&["audit", "tail", "--json", "-n", "100000"]);
    assert!(String::from_utf8_lossy(&tail.stdout).contains("token.mint"));
}

#[test]
fn a_cookie_alone_may_not_write_from_another_site() {
    let hotline = Hotline::start("");
    let body = json!({ "username": "admin", "password": "correct horse battery staple" });
    let answer = hotline.client().post_json("/api/v1/auth/login", &body).expect(200);
    let cookie = answer.header("Set-Cookie").unwrap();
    for attribute in ["__Host-", "HttpOnly", "Secure", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(attribute), "{attribute} in the cookie's attributes");
    }
    let cookie = cookie.split(';').next().unwrap();
    let origin = format!("https://localhost:{}", hotline.address.port());
    let create = |origin: &str| {
        let request = Request::new("POST", "/api/v1/cases").header("Cookie", cookie).header("Origin", origin);
        hotline.client().send(request.json(&crate::cases::new_case("Ana Ruiz")))
    };
    create("https://evil.example").expect(403);
    hotline.client().send(Request::new("GET", "/api/v1/cases").header("Cookie", cookie)).expect(200);
    let _ = origin;
}
