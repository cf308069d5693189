//! Log-in and the own account from outside, with forged, replayed and outdated answers among them.
use data_encoding::BASE32_NOPAD;
use hotline::config::Mfa;
use hotline_domain::people::code_at;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::gate::{Claims, Purpose, Route};
use crate::testing::{Answer, Fixture, Lawyer, PASSWORD, json_request};

/// An authenticator app.
struct App {
    secret: Vec<u8>,
}

impl App {
    async fn enrol(person: &Lawyer<'_>) -> (Self, Vec<String>) {
        let told = person.post("/api/v1/auth/mfa/totp", &json!({})).await.expect(200).json();
        let app = Self { secret: BASE32_NOPAD.decode(told["secret"].as_str().unwrap().as_bytes()).unwrap() };
        assert!(told["uri"].as_str().unwrap().starts_with("otpauth://totp/hotline:admin?secret="));
        let confirmed = person.post("/api/v1/auth/mfa/totp/confirm", &json!({ "code": app.code(0) })).await.expect(200);
        let codes: Vec<String> = serde_json::from_value(confirmed.json()["recoveryCodes"].clone()).unwrap();
        assert_eq!(codes.len(), 10);
        (app, codes)
    }

    /// As it is shown so many steps from now.
    fn code(&self, steps_on: u64) -> String {
        code_at(&self.secret, hotline::lifecycle::clock::now_ms() / 1_000 + 30 * steps_on)
    }
}

fn by_password() -> Value {
    json!({ "username": "admin", "password": PASSWORD })
}

async fn challenge(fixture: &Fixture) -> String {
    let answer = fixture.post("/api/v1/auth/login", &by_password()).await.expect(200);
    assert_eq!(answer.header("set-cookie"), "");
    let told = answer.json();
    assert_eq!((&told["mfaRequired"], &told["token"]), (&json!(true), &Value::Null));
    assert_eq!(told["methods"], json!(["totp", "recovery"]));
    told["challengeId"].as_str().unwrap().to_owned()
}

async fn answer(fixture: &Fixture, challenge: &str, code: &str) -> Answer {
    fixture.post("/api/v1/auth/login/mfa", &json!({ "challengeId": challenge, "code": code })).await
}

#[tokio::test]
async fn a_second_factor_is_asked_for_and_every_code_works_once() {
    let fixture = Fixture::start(|_| ()).await;
    let admin = fixture.lawyer().await;
    let other = fixture.log_in("admin", PASSWORD).await;
    let (app, recovery) = App::enrol(&admin).await;
    admin.get("/api/v1/cases").await.expect(200);
    other.get("/api/v1/cases").await.expect(401);

    let first = challenge(&fixture).await;
    answer(&fixture, &first, &app.code(0)).await.expect(401); // it confirmed the app
    answer(&fixture, &first, "000000").await.expect(401);
    let code = app.code(1);
    let entered = answer(&fixture, &first, &code).await.expect(200);
    assert_eq!(entered.json()["assurance"], 2);
    assert!(entered.header("set-cookie").contains("HttpOnly"));
    fixture.holder_of(&entered.json()["token"]).get("/api/v1/cases").await.expect(200);

    let second = challenge(&fixture).await;
    answer(&fixture, &second, &code).await.expect(401); // replayed
    answer(&fixture, &first, &recovery[1]).await.expect(401); // the challenge is used up
    answer(&fixture, &second, &recovery[0]).await.expect(200);
    let third = challenge(&fixture).await;
    answer(&fixture, &third, &recovery[0]).await.expect(401); // replayed
    let at_once = json!({ "username": "admin", "password": PASSWORD, "code": recovery[2] });
    fixture.post("/api/v1/auth/login", &at_once).await.expect(200);
    fixture.post("/api/v1/auth/login", &at_once).await.expect(401);
    let state = admin.get("/api/v1/auth/mfa").await.expect(200).json();
    assert_eq!(state, json!({ "totp": true, "passkeys": 0, "recoveryCodesLeft": 7, "required": false }));
    let actions = fixture.actions();
    for action in ["auth.mfa.enrol", "auth.mfa.confirm", "auth.login.password", "auth.login.code"] {
        assert!(actions.iter().any(|recorded| recorded == action), "{action} in {actions:?}");
    }
    let told = fixture.recorded.lock().iter().map(|event| event.details.clone()).collect::<String>();
    assert!(!told.contains(&code) && !told.contains(&recovery[0]), "no code is recorded");
}

#[tokio::test]
async fn a_challenge_is_for_one_person_as_they_were_and_a_few_codes() {
    let fixture = Fixture::start(|_| ()).await;
    let admin = fixture.lawyer().await;
    let (app, recovery) = App::enrol(&admin).await;
    let principal = admin.principal().await;
    let now_s = fixture.app.now_ms() / 1_000;
    let claims = Claims {
        user: principal.user,
        session: Uuid::new_v4(),
        serial: Uuid::from_u128(u128::from(principal.epoch)),
        expires_at_s: now_s + 60,
    };
    let sign = |purpose, claims| fixture.app.tokens.sign(purpose, &claims, now_s).unwrap();
    assert_eq!(
        answer(&fixture, &sign(Purpose::Challenge, claims), "000000").await.json()["code"],
        "invalid-credentials"
    );
    for void in [
        String::new(),
        "a.b.c".to_owned(),
        admin.token.clone(),
        sign(Purpose::Bearer, claims),
        sign(Purpose::LiveTicket, claims),
        sign(Purpose::Challenge, Claims { expires_at_s: now_s, ..claims }),
        sign(Purpose::Challenge, Claims { user: Uuid::now_v7(), ..claims }),
        sign(Purpose::Challenge, Claims { serial: Uuid::nil(), ..claims }),
    ] {
        let refused = answer(&fixture, &void, &app.code(1)).await.expect(401);
        assert_eq!(refused.json()["code"], "challenge-over");
    }
    let opens = challenge(&fixture).await;
    let bearer = json_request("GET", "/api/v1/cases").header("authorization", format!("Bearer {opens}"));
    fixture.ask(bearer, "").await.expect(401);

    // A few codes, then no more, right or wrong.
    let guessed = challenge(&fixture).await;
    for n in 0..4 {
        answer(&fixture, &guessed, &format!("00000{n}")).await.expect(401);
    }
    // The delay of the name comes before the challenge's own end; another address has its own delay.
    let body = |code: &str| json!({ "challengeId": guessed, "code": code }).to_string();
    let mfa = || json_request("POST", "/api/v1/auth/login/mfa");
    fixture.ask_from("192.0.2.2", mfa(), body("000004")).await.expect(401);
    fixture.ask_from("192.0.2.3", mfa(), body(&recovery[0])).await.expect(429);

    // The person changes: what they proved before is void.
    let before = challenge(&fixture).await;
    let new = json!({ "oldPassword": PASSWORD, "newPassword": "umbrella kettle" });
    admin.post("/api/v1/auth/password", &new).await.expect(204);
    assert_eq!(answer(&fixture, &before, &recovery[0]).await.expect(401).json()["code"], "challenge-over");
}

#[tokio::test]
async fn who_must_have_a_second_factor_can_only_set_one_up() {
    let fixture = Fixture::start(|config| config.people.mfa = Mfa::Required).await;
    let admin = fixture.lawyer().await;
    let told = fixture.post("/api/v1/auth/login", &by_password()).await.expect(200).json();
    assert_eq!((&told["mfaEnrolmentRequired"], &told["user"]["permissions"]), (&json!(true), &json!([])));
    let mut refused = 0;
    for route in Route::ALL {
        let path = route.template().replace("{callId}", "c").replace("{caseId}", "1").replace("{sessionId}", "s");
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            if route.sets_in_order() || fixture.ask(json_request(method, &path), "").await.status != 401 {
                continue; // in order, or open to strangers
            }
            if route.is_for_callers() {
                fixture.ask(admin.request(method, &path), "").await.expect(401);
                continue; // they are not of the staff
            }
            let answer = fixture.ask(admin.request(method, &path), "").await.expect(403);
            assert_eq!(answer.json()["code"], "mfa-enrolment-required", "{method} {path}");
            refused += 1;
        }
    }
    assert!(refused > 50, "{refused}");
    let (app, _) = App::enrol(&admin).await;
    admin.get("/api/v1/cases").await.expect(200);
    let challenge = challenge(&fixture).await;
    let told = answer(&fixture, &challenge, &app.code(1)).await.expect(200).json();
    assert_eq!(told["mfaEnrolmentRequired"], false);
    admin.delete("/api/v1/auth/mfa/totp").await.expect(204);
    admin.get("/api/v1/cases").await.expect(403);
}

#[tokio::test]
async fn a_password_that_somebody_else_gave_is_replaced_first() {
    let fixture = Fixture::start(|_| ()).await;
    let password = zeroize::Zeroizing::new(PASSWORD.to_owned());
    fixture.app.domain.people.create_first_administrator(password, true).await.unwrap();
    let admin = fixture.log_in("admin", PASSWORD).await;
    let other = fixture.log_in("admin", PASSWORD).await;
    assert_eq!(admin.get("/api/v1/cases").await.expect(403).json()["code"], "password-change-required");
    let change = async |old: &str, new: &str| {
        admin.post("/api/v1/auth/password", &json!({ "oldPassword": old, "newPassword": new })).await
    };
    for (new, reason) in [
        ("short", "is too short: it needs 15 characters or more"),
        ("passwordpassword", "guessers try first"),
        ("hotline-hotline-admin", "the account's name or the service's"),
        (PASSWORD, "is the one that is to be replaced"),
    ] {
        let refused = change(PASSWORD, new).await.expect(400).json();
        assert_eq!(
            (refused["code"].as_str(), refused["pointer"].as_str()),
            (Some("password-refused"), Some("/newPassword"))
        );
        assert!(refused["detail"].as_str().unwrap().contains(reason), "{refused}");
    }
    assert_eq!(change("wrong", "umbrella kettle").await.expect(400).json()["pointer"], "/oldPassword");
    change(PASSWORD, "umbrella kettle").await.expect(204);
    admin.get("/api/v1/cases").await.expect(200);
    other.get("/api/v1/cases").await.expect(401);
    fixture.post("/api/v1/auth/login", &by_password()).await.expect(401);
    fixture.log_in("admin", "umbrella kettle").await.get("/api/v1/cases").await.expect(200);
}

#[tokio::test]
async fn sessions_are_seen_and_ended_by_whose_they_are() {
    let fixture = Fixture::start(|_| ()).await;
    let (one, two, three) =
        (fixture.lawyer().await, fixture.log_in("admin", PASSWORD).await, fixture.log_in("admin", PASSWORD).await);
    let listed = one.get("/api/v1/auth/sessions").await.expect(200).json()["sessions"].as_array().unwrap().clone();
    assert_eq!(listed.len(), 3);
    assert_eq!(listed.iter().filter(|session| session["current"] == true).count(), 1);
    let id_of = async |person: &Lawyer<'_>| person.principal().await.session.simple().to_string()[..12].to_owned();
    let second = id_of(&two).await;
    assert!(listed.iter().any(|session| session["id"] == second.as_str()));
    one.delete(&format!("/api/v1/auth/sessions/{second}")).await.expect(204);
    two.get("/api/v1/cases").await.expect(401);
    one.delete(&format!("/api/v1/auth/sessions/{second}")).await.expect(404);
    one.delete("/api/v1/auth/sessions/000000000000").await.expect(404);

    let (_, ana) =
        fixture.app.domain.people.invite("ana", &[hotline_domain::policy::Role::Intake]).await.unwrap().unwrap();
    let stranger = fixture.log_in("ana", &ana).await;
    let new = json!({ "oldPassword": *ana, "newPassword": "umbrella kettle" });
    stranger.post("/api/v1/auth/password", &new).await.expect(204);
    stranger.delete(&format!("/api/v1/auth/sessions/{}", id_of(&one).await)).await.expect(404);
    stranger.delete("/api/v1/auth/sessions").await.expect(204);
    one.delete("/api/v1/auth/sessions").await.expect(204);
    three.get("/api/v1/cases").await.expect(401);
    one.get("/api/v1/cases").await.expect(200);
    stranger.get("/api/v1/cases").await.expect(200);
}

/// Asks again after a step-up for as long as one is asked for: on a slow machine the second may be over at once.
async fn with_step_up(person: &Lawyer<'_>, path: &str, body: Value) -> Answer {
    loop {
        let answer = person.post(path, &body).await;
        if answer.status != 401 {
            return answer.expect(200);
        }
        assert_eq!(answer.json()["code"], "step-up-required");
        person.post("/api/v1/auth/step-up", &json!({ "password": PASSWORD })).await.expect(204);
    }
}

#[tokio::test]
async fn sensitive_acts_need_a_factor_shown_lately() {
    let fixture = Fixture::start(|config| config.people.step_up_seconds = 1).await;
    let admin = fixture.lawyer().await;
    let totp = "/api/v1/auth/mfa/totp";
    let refused = loop {
        let answer = admin.post(totp, &json!({})).await;
        if answer.status != 200 {
            break answer.expect(401);
        }
    };
    assert_eq!(refused.json()["code"], "step-up-required");
    assert!(refused.header("www-authenticate").contains("insufficient_user_authentication"));
    let step_up = async |body: Value| admin.post("/api/v1/auth/step-up", &body).await;
    step_up(json!({ "password": "wrong" })).await.expect(401);
    step_up(json!({})).await.expect(400);
    step_up(json!({ "code": "000000" })).await.expect(400);
    let told = with_step_up(&admin, totp, json!({})).await.json();
    let app = App { secret: BASE32_NOPAD.decode(told["secret"].as_str().unwrap().as_bytes()).unwrap() };
    let confirm = json!({ "code": app.code(0) });
    let told = with_step_up(&admin, "/api/v1/auth/mfa/totp/confirm", confirm).await.json();
    let recovery: Vec<String> = serde_json::from_value(told["recoveryCodes"].clone()).unwrap();
    step_up(json!({ "password": PASSWORD })).await.expect(400);
    step_up(json!({ "code": recovery[0] })).await.expect(204);
    step_up(json!({ "code": recovery[0] })).await.expect(401);

    // The operator's word for a machine is no factor.
    let minted = super::mint_token(&fixture.app, "admin", 60, 0).await;
    let hotline::wire::AdminReply::Token { token, .. } = minted else { panic!("refused") };
    let machine = fixture.holder_of(&token.into());
    machine.get("/api/v1/cases").await.expect(200);
    assert_eq!(machine.delete("/api/v1/auth/mfa/totp").await.expect(401).json()["code"], "step-up-required");
    machine.post("/api/v1/auth/step-up", &json!({ "code": recovery[1] })).await.expect(403);
}

#[tokio::test]
async fn a_stranger_delays_themselves_and_nobody_else() {
    let fixture = Fixture::start(|_| ()).await;
    fixture.lawyer().await;
    for name in ["admin", "nobody"] {
        let guess = json!({ "username": name, "password": "guess" }).to_string();
        let login = || json_request("POST", "/api/v1/auth/login");
        let mut told = Vec::new();
        while told.last() != Some(&429) {
            told.push(fixture.ask_from("203.0.113.9", login(), guess.clone()).await.status);
        }
        assert!(told.len() > 5 && told[..told.len() - 1].iter().all(|status| *status == 401), "{name}: {told:?}");
        let waits = fixture.ask_from("203.0.113.9", login(), guess.clone()).await.expect(429);
        assert!(waits.header("retry-after").parse::<u64>().unwrap() >= 1);
    }
    fixture.log_in("admin", PASSWORD).await;
}

#[tokio::test]
async fn beyond_the_bound_something_else_vouches_and_no_answer_tells_who_is_there() {
    let fixture = Fixture::start(|_| ()).await;
    let admin = fixture.lawyer().await;
    let (app, recovery) = App::enrol(&admin).await;
    let people = &fixture.app.domain.people;
    let (_, ana) = people.invite("ana", &[hotline_domain::policy::Role::Intake]).await.unwrap().unwrap();
    for stranger in 0..100 {
        for name in ["admin", "ana", "nobody"] {
            people.failed(people.attempt(name, stranger)).await.unwrap();
        }
    }
    let elsewhere = async |name: &str, password: &str, code: Option<&str>| {
        let mut body = json!({ "username": name, "password": password });
        if let Some(code) = code {
            body["code"] = code.into();
        }
        fixture.ask_from("203.0.113.9", json_request("POST", "/api/v1/auth/login"), body.to_string()).await
    };
    for (name, password) in [("admin", PASSWORD), ("admin", "wrong"), ("ana", &**ana), ("nobody", "wrong")] {
        let refused = elsewhere(name, password, None).await.expect(429);
        assert_eq!(refused.json()["code"], "log-in-guarded", "{name}");
    }
    // With a code, the right password is answered as the wrong one.
    let right = app.code(1);
    for (name, password, code) in [
        ("admin", PASSWORD, "000000"),
        ("admin", "wrong", &*right),
        ("ana", &**ana, "000000"),
        ("nobody", "x", "000000"),
    ] {
        let refused = elsewhere(name, password, Some(code)).await.expect(401);
        assert_eq!(refused.json()["code"], "invalid-credentials", "{name}");
    }
    challenge(&fixture).await; // from where the administrator logged in before
    elsewhere("admin", PASSWORD, Some(&recovery[0])).await.expect(200);

    // Wrong codes have a bound of their own; beyond it the app is not enough elsewhere.
    let user = admin.principal().await.user;
    for stranger in 0..100 {
        people.failed(people.code_attempt(user, stranger)).await.unwrap();
    }
    let pending = challenge(&fixture).await;
    let step = |code: &str| json!({ "challengeId": pending, "code": code }).to_string();
    let mfa = || json_request("POST", "/api/v1/auth/login/mfa");
    let refused = fixture.ask_from("203.0.113.10", mfa(), step(&right)).await.expect(429);
    assert_eq!(refused.json()["code"], "log-in-guarded");
    fixture.ask_from("203.0.113.10", mfa(), step(&recovery[1])).await.expect(200);
}

#[tokio::test]
async fn what_makes_no_sense_is_named_and_opens_nothing() {
    let fixture = Fixture::start(|_| ()).await;
    let admin = fixture.lawyer().await;
    let long = "9".repeat(65);
    let (name, huge) = ("x".repeat(257), "y".repeat(1_025));
    let as_stranger = [
        ("/api/v1/auth/login", json!({ "username": "admin", "password": PASSWORD, "code": long }), "/code"),
        (
            "/api/v1/auth/login",
            json!({ "username": "admin", "password": PASSWORD, "mfaRequired": false }),
            "/mfaRequired",
        ),
        ("/api/v1/auth/login", json!({ "username": ["admin"], "password": PASSWORD }), "/username"),
        ("/api/v1/auth/login", json!({ "username": name, "password": PASSWORD }), "/username"),
        ("/api/v1/auth/login", json!({ "username": "admin", "password": huge }), "/username"),
        ("/api/v1/auth/login/mfa", json!({ "challengeId": "x", "code": long }), "/code"),
        ("/api/v1/auth/login/mfa", json!({ "code": "000000" }), "/challengeId"),
        ("/api/v1/auth/login/mfa", json!({ "challengeId": "x", "code": 7 }), "/code"),
    ];
    for (path, body, pointer) in as_stranger {
        assert_eq!(fixture.post(path, &body).await.expect(400).json()["pointer"], pointer, "{path} {body}");
    }
    let as_admin = [
        ("/api/v1/auth/password", json!({ "oldPassword": huge, "newPassword": "umbrella kettle" }), "/oldPassword"),
        ("/api/v1/auth/password", json!({ "oldPassword": PASSWORD, "newPassword": "x".repeat(129) }), "/newPassword"),
        ("/api/v1/auth/password", json!({ "newPassword": "umbrella kettle" }), "/oldPassword"),
        ("/api/v1/auth/step-up", json!({ "code": "000000", "password": PASSWORD }), "/password"),
        ("/api/v1/auth/step-up", json!({ "user": "admin" }), "/user"),
        ("/api/v1/auth/mfa/totp/confirm", json!({ "code": "000000" }), "/code"),
        ("/api/v1/auth/mfa/totp/confirm", json!({ "code": "\u{0}" }), "/code"),
    ];
    for (path, body, pointer) in as_admin {
        assert_eq!(admin.post(path, &body).await.expect(400).json()["pointer"], pointer, "{path} {body}");
    }
    let state = admin.get("/api/v1/auth/mfa").await.expect(200).json();
    assert_eq!(state["totp"], false);
    admin.delete("/api/v1/auth/mfa/totp").await.expect(404);
    admin.post("/api/v1/auth/mfa/recovery-codes", &json!({})).await.expect(404);
}

#[tokio::test]
async fn answers_to_no_challenge_of_ours_are_refused_and_cost_what_a_log_in_costs() {
    let fixture = Fixture::start(|config| config.rate.login.requests = 6).await;
    let admin = fixture.lawyer().await; // one of the six, from the same address
    let begin = async || fixture.post("/api/v1/auth/login/passkey/options", &json!({})).await.expect(200).json();
    let options = begin().await;
    let id = options["ceremonyId"].as_str().unwrap();
    assert_ne!(begin().await["ceremonyId"], id);
    assert_eq!(options["publicKey"]["allowCredentials"], json!([]), "nobody is asked for, so nobody is named");
    let (name, sealed) = id.split_once('.').unwrap();
    let enter = async |ceremony: &str, credential: Value| {
        let body = json!({ "ceremonyId": ceremony, "credential": credential });
        fixture.post("/api/v1/auth/login/passkey", &body).await
    };
    let registration = admin.post("/api/v1/auth/passkeys/options", &json!({})).await.expect(200).json();
    let others = registration["ceremonyId"].as_str().unwrap();
    let swapped = format!("{}.{sealed}", others.split_once('.').unwrap().0);
    for ceremony in ["", &*swapped, others, &format!("{name}.{}", &sealed[1..])] {
        assert_eq!(enter(ceremony, json!({})).await.expect(401).json()["code"], "challenge-over", "{ceremony}");
    }
    assert_eq!(enter(id, json!({})).await.expect(401).json()["code"], "invalid-credentials");
    assert_eq!(enter(id, json!({})).await.expect(429).json()["code"], "rate-limited");

    // Without a passkey there is none to show; a name is needed, and one way at a time.
    admin.post("/api/v1/auth/step-up/options", &json!({})).await.expect(404);
    let own = admin.get("/api/v1/auth/passkeys").await.expect(200).json();
    assert_eq!(own, json!({ "passkeys": [] }));
    for (name, pointer) in [("", "/name"), ("x", "/name"), ("a\u{202e}b", "/name")] {
        let body = json!({ "name": name, "passkey": { "ceremonyId": others, "credential": {} } });
        assert_eq!(admin.post("/api/v1/auth/passkeys", &body).await.expect(400).json()["pointer"], pointer);
    }
    let body = json!({ "name": "key", "passkey": { "ceremonyId": id, "credential": {} } });
    admin.post("/api/v1/auth/passkeys", &body).await.expect(401); // made for a log-in
    let body = json!({ "name": "key", "passkey": { "ceremonyId": others, "credential": {} } });
    admin.post("/api/v1/auth/passkeys", &body).await.expect(400);
    let shown = json!({ "ceremonyId": id, "credential": {} });
    admin.post("/api/v1/auth/step-up", &json!({ "password": PASSWORD, "passkey": shown })).await.expect(400);
    for id in ["x", "0197b6a0-0000-7000-8000-000000000000"] {
        admin.delete(&format!("/api/v1/auth/passkeys/{id}")).await.expect(404);
    }
}
