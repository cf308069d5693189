//! Passkeys, with a real browser and its virtual devices: what opens an account, and all that must not.
use serde_json::{Value, json};

use crate::support::{Answer, Browser, Client, Hotline, Request};

/// The staff must have a second factor; every request is a connection of its own, so both workers take part.
const REQUIRED: &str = "[people]\nmfa = \"required\"";
/// One page is ours; the others are on the same domain.
const CONSOLE: &str = "[people]\nmfa = \"required\"\npasskey_domain = \"hotline.example\"\npasskey_origins = [\"https://console.hotline.example\"]";

/// The product, a browser on one of its pages, and the administrator.
struct Stage {
    hotline: Hotline,
    browser: Browser,
    admin: Client,
}

impl Stage {
    fn set(settings: &str, page: &str) -> Self {
        let hotline = Hotline::start(settings);
        let browser = Browser::start(hotline.address);
        let stage = Self { admin: by_password(&hotline), hotline, browser };
        stage.go_to(page);
        stage
    }

    /// `localhost` is at the product's own port, other names at the usual one.
    fn go_to(&self, host: &str) {
        match host {
            "localhost" => self.browser.open(&format!("https://{host}:{}/health", self.hotline.address.port())),
            _ => self.browser.open(&format!("https://{host}/health")),
        }
    }

    fn post(&self, path: &str, body: &Value) -> Answer {
        self.hotline.client().post_json(path, body)
    }

    /// Registers a passkey of whichever device the browser has.
    fn register(&self, who: &Client, name: &str) -> Value {
        let options = who.post_json("/api/v1/auth/passkeys/options", &json!({})).expect(200).json();
        let credential = self.browser.create(&options["publicKey"]).unwrap();
        let passkey = answer(&options, credential);
        who.post_json("/api/v1/auth/passkeys", &json!({ "name": name, "passkey": passkey })).expect(201).json()
    }

    /// What a log-in by passkey sends.
    fn shown(&self) -> Value {
        let options = self.post("/api/v1/auth/login/passkey/options", &json!({})).expect(200).json();
        let credential = self.browser.get(&options["publicKey"]).unwrap();
        answer(&options, credential)
    }

    fn enter(&self, shown: &Value) -> Value {
        self.post("/api/v1/auth/login/passkey", shown).expect(200).json()
    }

    /// Refused as whatever is wrong is refused; why is for the log.
    #[track_caller]
    fn is_refused(&self, shown: &Value) {
        let refused = self.post("/api/v1/auth/login/passkey", shown).expect(401).json();
        assert_eq!((&refused["code"], &refused["detail"]), (&json!("invalid-credentials"), &Value::Null), "{refused}");
    }

    fn records(&self) -> String {
        let tail = self.hotline.command(&["audit", "tail", "--json", "-n", "100000"]);
        String::from_utf8_lossy(&tail.stdout).into_owned()
    }
}

fn by_password(hotline: &Hotline) -> Client {
    let body = json!({ "username": "admin", "password": ADMIN_PASSWORD });
    let session = hotline.client().post_json("/api/v1/auth/login", &body).expect(200).json();
    holder(hotline, &session)
}

fn holder(hotline: &Hotline, session: &Value) -> Client {
    hotline.client().with_token(session["token"].as_str().unwrap())
}

fn answer(options: &Value, credential: Value) -> Value {
    json!({ "ceremonyId": options["ceremonyId"], "credential": credential })
}

#[test]
fn a_passkey_alone_is_two_factors_on_every_worker() {
    let stage = Stage::set(REQUIRED, "localhost");
    let device = stage.browser.authenticator();
    assert_eq!(stage.admin.get("/api/v1/cases").expect(403).json()["code"], "mfa-enrolment-required");
    let registered = stage.register(&stage.admin, "laptop");
    assert_eq!(registered["recoveryCodes"].as_array().unwrap().len(), 10);
    for _ in 0..8 {
        stage.admin.get("/api/v1/cases").expect(200);
    }
    let shown = stage.shown();
    let session = stage.enter(&shown);
    assert_eq!((&session["assurance"], &session["user"]["username"]), (&json!(2), &json!("admin")));
    let admin = holder(&stage.hotline, &session);
    for _ in 0..8 {
        admin.get("/api/v1/cases").expect(200);
        stage.is_refused(&shown); // replayed, on one worker or the other
    }
    let listed = admin.get("/api/v1/auth/passkeys").expect(200).json()["passkeys"][0].clone();
    assert_eq!(
        (&listed["name"], &listed["suspended"]),
        (&json!("laptop"), &json!(false)),
        "a replay takes nothing away"
    );
    assert!(listed["lastUsedAt"].is_string());

    // After the password, in place of a code.
    let body = json!({ "username": "admin", "password": ADMIN_PASSWORD });
    let challenge = stage.post("/api/v1/auth/login", &body).expect(200).json();
    assert_eq!(challenge["methods"], json!(["passkey", "recovery"]));
    let credential = stage.browser.get(&challenge["passkey"]["publicKey"]).unwrap();
    let second =
        json!({ "challengeId": challenge["challengeId"], "passkey": answer(&challenge["passkey"], credential) });
    assert_eq!(stage.post("/api/v1/auth/login/mfa", &second).expect(200).json()["assurance"], 2);
    stage.post("/api/v1/auth/login/mfa", &second).expect(401);
    // What was made for one thing is good for no other.
    stage.post("/api/v1/auth/login/passkey", &second["passkey"]).expect(401);

    // For a step-up.
    let options = admin.post_json("/api/v1/auth/step-up/options", &json!({})).expect(200).json();
    let proof = json!({ "passkey": answer(&options, stage.browser.get(&options["publicKey"]).unwrap()) });
    admin.post_json("/api/v1/auth/step-up", &json!({ "password": ADMIN_PASSWORD })).expect(400);
    stage.admin.post_json("/api/v1/auth/step-up", &proof).expect(401); // another session's
    admin.post_json("/api/v1/auth/step-up", &proof).expect(204);
    admin.post_json("/api/v1/auth/step-up", &proof).expect(401);

    // The device that has one makes no other; taken away, it opens nothing.
    let options = admin.post_json("/api/v1/auth/passkeys/options", &json!({})).expect(200).json();
    assert!(stage.browser.create(&options["publicKey"]).unwrap_err().contains("InvalidState"));
    let shown = stage.shown();
    let path = format!("/api/v1/auth/passkeys/{}", registered["id"].as_str().unwrap());
    admin.send(Request::new("DELETE", &path)).expect(204);
    stage.is_refused(&shown);
    stage.admin.get("/api/v1/auth/mfa").expect(401); // other sessions have ended
    assert_eq!(admin.get("/api/v1/cases").expect(403).json()["code"], "mfa-enrolment-required");
    let records = stage.records();
    for action in ["enrol", "add", "list", "remove"] {
        assert!(records.contains(&format!("auth.passkey.{action}")), "{action}");
    }
    drop(device);
}

#[test]
fn a_device_that_does_not_verify_its_user_opens_and_registers_nothing() {
    let stage = Stage::set(REQUIRED, "localhost");
    let device = stage.browser.authenticator();
    let options = |path: &str| stage.admin.post_json(path, &json!({})).expect(200).json();
    let mut kept = options("/api/v1/auth/passkeys/options");
    // Without this wish the device would keep the passkey to itself below, and the product had nothing to refuse.
    kept["publicKey"]["extensions"] = json!({});
    let passkey = answer(&kept, stage.browser.create(&kept["publicKey"]).unwrap());
    stage.admin.post_json("/api/v1/auth/passkeys", &json!({ "name": "phone", "passkey": passkey })).expect(201);
    stage.enter(&stage.shown());

    let credential = device.credentials().remove(0);
    device.remove();
    let touched = stage.browser.authenticator_without_verification();
    touched.add(&credential);
    let body = json!({ "username": "admin", "password": ADMIN_PASSWORD });
    let challenge = stage.post("/api/v1/auth/login", &body).expect(200).json();
    let mut lax = challenge["passkey"].clone();
    assert_eq!(lax["publicKey"]["userVerification"], "required");
    assert!(stage.browser.get(&lax["publicKey"]).is_err(), "the browser keeps to what is asked");
    lax["publicKey"]["userVerification"] = "discouraged".into();
    let shown = answer(&lax, stage.browser.get(&lax["publicKey"]).unwrap());
    stage.is_refused(&json!({ "ceremonyId": options_of_a_log_in(&stage), "credential": shown["credential"] }));
    let second = json!({ "challengeId": challenge["challengeId"], "passkey": shown });
    let refused = stage.post("/api/v1/auth/login/mfa", &second).expect(401).json();
    assert_eq!(refused["code"], "invalid-credentials");
    let told = stage.records();
    assert!(told.contains("user-not-verified"), "{told}");

    let mut lax = options("/api/v1/auth/passkeys/options");
    lax["publicKey"]["authenticatorSelection"]["userVerification"] = "discouraged".into();
    lax["publicKey"]["extensions"] = json!({});
    lax["publicKey"]["excludeCredentials"] = json!([]);
    let passkey = answer(&lax, stage.browser.create(&lax["publicKey"]).unwrap());
    let registration = json!({ "name": "phone", "passkey": passkey });
    let refused = stage.admin.post_json("/api/v1/auth/passkeys", &registration).expect(400).json();
    assert_eq!(refused["pointer"], "/passkey/credential");
}

fn options_of_a_log_in(stage: &Stage) -> Value {
    stage.post("/api/v1/auth/login/passkey/options", &json!({})).expect(200).json()["ceremonyId"].clone()
}

#[test]
fn a_page_that_is_not_ours_gets_nothing_that_opens() {
    let stage = Stage::set(CONSOLE, "console.hotline.example");
    let _device = stage.browser.authenticator();
    stage.register(&stage.admin, "laptop");
    stage.enter(&stage.shown());
    for elsewhere in ["evil.hotline.example", "console.hotline.example.evil.hotline.example"] {
        stage.go_to(elsewhere);
        stage.is_refused(&stage.shown());
        let options = stage.admin.post_json("/api/v1/auth/passkeys/options", &json!({})).expect(200).json();
        let mut others = options.clone();
        others["publicKey"]["excludeCredentials"] = json!([]);
        let passkey = answer(&options, stage.browser.create(&others["publicKey"]).unwrap());
        let registration = json!({ "name": "phone", "passkey": passkey });
        stage.admin.post_json("/api/v1/auth/passkeys", &registration).expect(400);
    }
    stage.go_to("console.hotline.example");
    // On another domain the browser itself refuses.
    let options = stage.post("/api/v1/auth/login/passkey/options", &json!({})).expect(200).json();
    stage.browser.open(&format!("https://127.0.0.1:{}/health", stage.hotline.address.port()));
    assert!(stage.browser.get(&options["publicKey"]).unwrap_err().contains("SecurityError"));
}

#[test]
fn a_copied_passkey_is_suspended_and_the_password_alone_opens_nothing() {
    let stage = Stage::set(REQUIRED, "localhost");
    let device = stage.browser.authenticator();
    let codes = stage.register(&stage.admin, "key on the ring")["recoveryCodes"].clone();
    let before = device.credentials().remove(0);
    for _ in 0..3 {
        stage.enter(&stage.shown());
    }
    let after = device.credentials().remove(0);
    assert!(after["signCount"].as_u64() > before["signCount"].as_u64(), "this device counts");
    device.remove();
    let copy = stage.browser.authenticator();
    copy.add(&before);
    stage.is_refused(&stage.shown());
    copy.remove();
    // The device itself, too: who of the two is the owner is not ours to say.
    let device = stage.browser.authenticator();
    device.add(&after);
    stage.is_refused(&stage.shown());
    let listed = stage.admin.get("/api/v1/auth/passkeys").expect(200).json();
    assert_eq!(listed["passkeys"][0]["suspended"], true);
    assert!(stage.records().contains("auth.passkey.suspend"));

    let body = json!({ "username": "admin", "password": ADMIN_PASSWORD });
    let challenge = stage.post("/api/v1/auth/login", &body).expect(200).json();
    assert_eq!((&challenge["methods"], &challenge["passkey"]), (&json!(["recovery"]), &Value::Null));
    let code = json!({ "challengeId": challenge["challengeId"], "code": codes[0] });
    let admin = holder(&stage.hotline, &stage.post("/api/v1/auth/login/mfa", &code).expect(200).json());
    // Removed and registered anew, it is good again.
    let path = format!("/api/v1/auth/passkeys/{}", listed["passkeys"][0]["id"].as_str().unwrap());
    admin.send(Request::new("DELETE", &path)).expect(204);
    stage.register(&admin, "new key");
}

#[test]
fn closed_accounts_and_passkeys_of_nobody_are_refused_alike() {
    let stage = Stage::set("", "localhost");
    let device = stage.browser.authenticator();
    let invited = json!({ "username": "ana", "roles": ["attorney"] });
    let told = stage.admin.post_json("/api/v1/users", &invited).expect(201).json();
    let body = json!({ "username": "ana", "password": told["oneTimePassword"] });
    let ana = holder(&stage.hotline, &stage.post("/api/v1/auth/login", &body).expect(200).json());
    stage.register(&ana, "tablet");
    let session = stage.enter(&stage.shown());
    assert_eq!(session["user"]["username"], "ana");
    assert_eq!(session["user"]["mustChangePassword"], true, "a passkey does not replace a given password");
    let user = format!("/api/v1/users/{}", told["user"]["id"].as_str().unwrap());
    let patch = |change: Value| stage.admin.send(Request::new("PATCH", &user).json(&change));
    patch(json!({ "disabled": true })).expect(200);
    stage.is_refused(&stage.shown());
    patch(json!({ "disabled": false })).expect(200);
    stage.enter(&stage.shown());
    // The administrator gives her a new start: the passkey goes with it.
    let reset = format!("{user}/reset");
    stage.admin.post_json(&reset, &json!({ "factor": true })).expect(200);
    stage.is_refused(&stage.shown());
    device.remove();

    // Made in the browser, registered with nobody.
    let _device = stage.browser.authenticator();
    let options = stage.admin.post_json("/api/v1/auth/passkeys/options", &json!({})).expect(200).json();
    stage.browser.create(&options["publicKey"]).unwrap();
    stage.is_refused(&stage.shown());
}

const ADMIN_PASSWORD: &str = "correct horse battery staple";
