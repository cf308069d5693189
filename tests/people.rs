//! Second factors, sessions and the administration of people, over several workers: what one worker has taken or
//! changed, the other one knows.
use aws_lc_rs::hmac;
use data_encoding::BASE32_NOPAD;
use serde_json::{Value, json};
use tungstenite::Message;

use crate::live::{next_json, open};
use crate::support::{Answer, Client, Hotline, Request};

/// The staff must have a second factor; every request below is a connection of its own, so both workers take part.
const REQUIRED: &str = "[people]\nmfa = \"required\"";

fn log_in(hotline: &Hotline, name: &str, password: &str) -> Value {
    let body = json!({ "username": name, "password": password });
    hotline.client().post_json("/api/v1/auth/login", &body).expect(200).json()
}

fn admin(hotline: &Hotline) -> Client {
    let session = log_in(hotline, "admin", ADMIN_PASSWORD);
    hotline.client().with_token(session["token"].as_str().unwrap())
}

/// What an authenticator app shows so many steps from now; an app of our own, so that the product's is not its own judge.
fn code(secret: &[u8], steps_on: u64) -> String {
    let step = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() / 30 + steps_on;
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret), &step.to_be_bytes());
    let at = usize::from(tag.as_ref()[19] & 15);
    let word = tag.as_ref()[at..at + 4].iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte));
    format!("{:06}", (word & 0x7fff_ffff) % 1_000_000)
}

/// Sets an authenticator app up; gives its secret and the recovery codes.
fn enrol(person: &Client) -> (Vec<u8>, Vec<String>) {
    let told = person.post_json("/api/v1/auth/mfa/totp", &json!({})).expect(200).json();
    let secret = BASE32_NOPAD.decode(told["secret"].as_str().unwrap().as_bytes()).unwrap();
    let confirm = json!({ "code": code(&secret, 0) });
    let told = person.post_json("/api/v1/auth/mfa/totp/confirm", &confirm).expect(200).json();
    (secret, serde_json::from_value(told["recoveryCodes"].clone()).unwrap())
}

fn patch(client: &Client, path: &str, body: &Value) -> Answer {
    client.send(Request::new("PATCH", path).json(body))
}

#[test]
fn staff_set_a_second_factor_up_before_anything_else() {
    let hotline = Hotline::start(REQUIRED);
    let session = log_in(&hotline, "admin", ADMIN_PASSWORD);
    assert_eq!(session["mfaEnrolmentRequired"], true);
    let admin = hotline.client().with_token(session["token"].as_str().unwrap());
    for _ in 0..8 {
        assert_eq!(admin.get("/api/v1/cases").expect(403).json()["code"], "mfa-enrolment-required");
    }
    enrol(&admin);
    for _ in 0..8 {
        admin.get("/api/v1/cases").expect(200);
    }
    assert_eq!(log_in(&hotline, "admin", ADMIN_PASSWORD)["mfaRequired"], true);
    // A machine that the operator vouches for goes on.
    hotline.admin().get("/api/v1/cases").expect(200);
}

#[test]
fn a_reload_that_asks_for_a_second_factor_holds_for_sessions_that_are_there() {
    let hotline = Hotline::start("");
    let admin = admin(&hotline);
    (0..6).for_each(|_| drop(admin.get("/api/v1/cases").expect(200)));
    hotline.configure(REQUIRED);
    let reload = hotline.command(&["reload"]);
    assert!(reload.status.success(), "{}", String::from_utf8_lossy(&reload.stderr));
    for _ in 0..6 {
        assert_eq!(admin.get("/api/v1/cases").expect(403).json()["code"], "mfa-enrolment-required");
    }
    enrol(&admin);
    (0..6).for_each(|_| drop(admin.get("/api/v1/cases").expect(200)));
}

#[test]
fn a_code_is_taken_once_whichever_worker_is_asked_and_over_a_restart() {
    let hotline = Hotline::start(REQUIRED);
    let (secret, recovery) = enrol(&admin(&hotline));
    let next = code(&secret, 1);
    let try_code = |hotline: &Hotline, code: &str| {
        let challenge = log_in(hotline, "admin", ADMIN_PASSWORD)["challengeId"].clone();
        let body = json!({ "challengeId": challenge, "code": code });
        hotline.client().post_json("/api/v1/auth/login/mfa", &body).status
    };
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..4).map(|_| scope.spawn(|| try_code(&hotline, &next))).collect();
        tries.into_iter().map(|each| each.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, 200 | 401)), "{statuses:?}");
    assert_eq!(try_code(&hotline, &recovery[0]), 200);
    let folder = hotline.kill_supervisor();
    let again = Hotline::start_in(folder, REQUIRED);
    assert_eq!(try_code(&again, &next), 401);
    assert_eq!(try_code(&again, &recovery[0]), 401);
    assert_eq!(try_code(&again, &recovery[1]), 200);
}

#[test]
fn a_session_that_is_ended_elsewhere_loses_its_live_connections() {
    let hotline = Hotline::start("");
    let (desk, phone) = (admin(&hotline), admin(&hotline));
    let bearer = [("Authorization", format!("Bearer {}", phone.token().unwrap()))];
    // Several, so that some are on either worker.
    let mut sockets: Vec<_> = (0..6).map(|_| open(&phone, &bearer, phone.connect().unwrap()).unwrap()).collect();
    for socket in &mut sockets {
        assert_eq!(next_json(socket)["type"], "connected");
    }
    desk.send(Request::new("DELETE", "/api/v1/auth/sessions")).expect(204);
    for _ in 0..8 {
        phone.get("/api/v1/cases").expect(401);
        desk.get("/api/v1/cases").expect(200);
    }
    for mut socket in sockets {
        loop {
            match socket.read() {
                Ok(Message::Close(_)) | Err(_) => break,
                Ok(_) => {}
            }
        }
    }
}

#[test]
fn rights_that_are_given_and_taken_hold_on_every_worker_at_once() {
    let hotline = Hotline::start("");
    let admin = admin(&hotline);
    let invitation = json!({ "username": "ana", "roles": ["attorney"] });
    let invited = admin.post_json("/api/v1/users", &invitation).expect(201).json();
    let one_time = invited["oneTimePassword"].as_str().unwrap();
    let session = log_in(&hotline, "ana", one_time);
    let ana = hotline.client().with_token(session["token"].as_str().unwrap());
    ana.get("/api/v1/cases").expect(403);
    let change = json!({ "oldPassword": one_time, "newPassword": "umbrella kettle" });
    ana.post_json("/api/v1/auth/password", &change).expect(204);
    let account = format!("/api/v1/users/{}", invited["user"]["id"].as_str().unwrap());
    for (roles, status) in [("auditor", 403), ("intake", 200), ("auditor", 403), ("attorney", 200)] {
        patch(&admin, &account, &json!({ "roles": [roles] })).expect(200);
        for _ in 0..6 {
            ana.get("/api/v1/cases").expect(status);
        }
    }
    patch(&admin, &account, &json!({ "disabled": true })).expect(200);
    for _ in 0..6 {
        ana.get("/api/v1/cases").expect(401);
    }
    // A machine has the administrator's rights and no factor.
    let refused = patch(&hotline.admin(), &account, &json!({ "disabled": false })).expect(401);
    assert_eq!(refused.json()["code"], "step-up-required");
}

#[test]
fn the_operator_lets_people_in_from_the_command_line() {
    let hotline = Hotline::start(REQUIRED);
    let run = |args: &[&str]| {
        let output = hotline.command(&[&["user"], args, &["--json"]].concat());
        let told = serde_json::from_slice::<Value>(&output.stdout).unwrap_or_default();
        (output.status.success(), told)
    };
    let (_, added) = run(&["add", "ana", "--role", "attorney", "--role", "auditor"]);
    let password = added["oneTimePassword"].as_str().unwrap_or_else(|| panic!("{added}")).to_owned();
    let session = log_in(&hotline, "ana", &password);
    assert_eq!(session["user"]["mustChangePassword"], true);
    let ana = hotline.client().with_token(session["token"].as_str().unwrap());
    ana.get("/api/v1/auth/mfa").expect(200);
    assert!(run(&["disable", "ana"]).0);
    ana.get("/api/v1/auth/mfa").expect(401);
    let (_, listed) = run(&["list"]);
    assert_eq!(listed["users"][1]["disabled"], true, "{listed}");
    assert!(run(&["enable", "ana"]).0);
    let (_, reset) = run(&["reset", "ana"]);
    assert_ne!(reset["oneTimePassword"].as_str().unwrap(), password);
    for refused in [&["disable", "admin"][..], &["add", "ana", "--role", "attorney"], &["reset", "nobody"]] {
        assert!(!run(refused).0, "{refused:?}");
    }
    let tail = hotline.command(&["audit", "tail", "--json", "-n", "100000"]);
    let log = String::from_utf8_lossy(&tail.stdout).into_owned();
    assert!(log.contains("user.reset") && !log.contains(&password));
}

#[test]
fn no_secret_of_a_factor_lies_in_clear() {
    let hotline = Hotline::start(REQUIRED);
    let (secret, recovery) = enrol(&admin(&hotline));
    let spelled = BASE32_NOPAD.encode(&secret);
    let (folder, log) = (hotline.state_dir(), hotline.folder().join("log"));
    let files = crate::secrecy::files(&folder);
    for file in files.into_iter().chain([log]) {
        let bytes = std::fs::read(&file).unwrap_or_default();
        for needle in [&secret[..], spelled.as_bytes(), recovery[0].as_bytes()] {
            assert!(!bytes.windows(needle.len()).any(|window| window == needle), "in {}", file.display());
        }
    }
}

const ADMIN_PASSWORD: &str = "correct horse battery staple";
