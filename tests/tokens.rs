//! The key over the keys in a hardware security module: made there, never out of it, and every fault named.
use std::fs;
use std::process::Output;

use tempfile::TempDir;

use crate::support::{Hotline, Request, Role, SoftToken, TOKEN_PIN, binaries};

fn start(token: &SoftToken, folder: TempDir) -> Hotline {
    Hotline::start_by(folder, &token.settings(), token.command(&binaries().join("hotline")))
}

fn folder() -> TempDir {
    TempDir::with_prefix("hotline-").unwrap()
}

/// Starts what must not start; the exit code and all it said.
fn refused(token: &SoftToken, folder: &TempDir, settings: &str) -> (Option<i32>, String) {
    let config = folder.path().join("hotline.toml");
    let state = folder.path().join("state");
    let text = format!(
        "[server]\nbind = \"127.0.0.1:0\"\n[telemetry]\nmetrics_bind = \"127.0.0.1:0\"\n[paths]\nstate_dir = {state:?}\n{settings}"
    );
    fs::write(&config, text).unwrap();
    let mut command = token.command(&binaries().join("hotline"));
    let Output { status, stderr, .. } = command.args(["serve", "--config"]).arg(&config).output().unwrap();
    let said = String::from_utf8_lossy(&stderr).into_owned();
    assert!(!said.contains(TOKEN_PIN), "the PIN was told: {said}");
    (status.code(), said)
}

#[test]
fn data_is_read_again_through_the_token_and_no_key_lies_on_the_disk() {
    let token = SoftToken::new();
    let hotline = start(&token, folder());
    let admin = hotline.admin();
    let body = br#"{"title":"Locked out","narrative":"My landlord locked me out on Friday."}"#.to_vec();
    let made = admin.send(Request::new("POST", "/api/v1/cases").body("application/json", body)).expect(201);
    let id = made.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(token.objects().len(), 1);
    let log = fs::read_to_string(hotline.folder().join("log")).unwrap();
    assert!(log.contains("pkcs11:hotline test:hotline-kek-0001:"), "{log}");
    assert!(!log.contains(TOKEN_PIN));
    let keys = fs::read_dir(hotline.state_dir().join("keys")).unwrap();
    let names: Vec<_> = keys.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert!(!names.iter().any(|name| name.ends_with(".key")), "{names:?}");
    let (code, folder) = hotline.stop();
    assert_eq!(code, Some(0));
    let hotline = start(&token, folder);
    hotline.admin().get(&format!("/api/v1/cases/{id}")).expect(200);
}

#[test]
fn a_token_that_goes_away_keeps_nobody_from_working_or_starting() {
    let token = SoftToken::new();
    let hotline = start(&token, folder());
    let admin = hotline.admin();
    token.unplug();
    admin.get("/api/v1/cases").expect(200);
    let former = hotline.kill(Role::Api, 0);
    hotline.wait_for_successor(Role::Api, 0, former);
    for _ in 0..8 {
        admin.get("/api/v1/cases").expect(200);
    }
    hotline.configure(&format!("{}[limits]\njson_bytes_max = 200000", token.settings()));
    let reload = hotline.command(&["reload"]);
    assert!(reload.status.success(), "{}", String::from_utf8_lossy(&reload.stderr));
    // The next start needs it, says so, and is tried again by whoever started it.
    let (code, folder) = hotline.stop();
    assert_eq!(code, Some(0));
    let (code, said) = refused(&token, &folder, &token.settings());
    assert_eq!(code, Some(75), "{said}");
    assert!(said.contains("keys.pkcs11_token_label = \"hotline test\": no such token"), "{said}");
    token.plug_in();
    start(&token, folder).admin().get("/api/v1/cases").expect(200);
}

#[test]
fn a_wrong_pin_is_named_and_tried_once() {
    let token = SoftToken::new();
    let folder = folder();
    token.set_pin("1111111111");
    let (code, said) = refused(&token, &folder, &token.settings());
    assert_eq!(code, Some(78), "starting again would lock the token: {said}");
    assert!(said.contains("refused the PIN in") && said.contains("tried once"), "{said}");
    assert_eq!(said.matches("trying again").count(), 0, "{said}");
    assert!(!said.contains("1111111111"), "{said}");
    token.set_pin("");
    assert!(refused(&token, &folder, &token.settings()).1.contains("no PIN for the token"));
}

#[test]
fn a_module_or_token_that_is_not_there_is_named_with_what_would_be_right() {
    let token = SoftToken::new();
    let folder = folder();
    let missing = token.settings().replace("libsofthsm2.so", "nothing.so");
    let (code, said) = refused(&token, &folder, &missing);
    assert_eq!(code, Some(78));
    assert!(said.contains("keys.pkcs11_module = \"/usr/lib/softhsm/nothing.so\": is no file"), "{said}");
    let no_module = token.settings().replace("/usr/lib/softhsm/libsofthsm2.so", "/bin/true");
    let (code, said) = refused(&token, &folder, &no_module);
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("could not use keys.pkcs11_module = /bin/true"), "{said}");
    let (code, said) = refused(&token, &folder, &token.settings().replace("hotline test", "other"));
    assert_eq!(code, Some(75));
    assert!(said.contains("no such token; there are [\"hotline test\"]"), "{said}");
}

#[test]
fn a_key_that_is_gone_from_the_token_is_named_and_never_made_anew() {
    let token = SoftToken::new();
    let (_, folder) = start(&token, folder()).stop();
    token.wipe();
    let (code, said) = refused(&token, &folder, &token.settings());
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("does not hold the key hotline-kek-0001"), "{said}");
    assert!(token.objects().is_empty(), "a new key would hide the loss");
}

#[test]
fn an_installation_with_a_key_file_moves_into_a_token() {
    let hotline = Hotline::start("");
    let state = hotline.state_dir();
    let (_, folder) = hotline.stop();
    assert!(state.join("keys/kek-0001.key").exists());
    let token = SoftToken::new();
    let hotline = start(&token, folder);
    hotline.admin().get("/api/v1/cases").expect(200);
    assert!(!state.join("keys/kek-0001.key").exists(), "the file was destroyed when nothing needed it");
    assert_eq!(token.objects().len(), 1);
}
