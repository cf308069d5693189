//! How tokens are signed, changed under a running service: nobody is logged out, and others verify with what is
//! published.
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use crate::support::{Client, Hotline};

const EDDSA: &str = "[sessions]\ntoken_algorithm = \"EdDSA\"";

fn header(token: &Client) -> Value {
    let first = token.token().unwrap().split('.').next().unwrap();
    serde_json::from_slice(&BASE64URL_NOPAD.decode(first.as_bytes()).unwrap()).unwrap()
}

fn published(hotline: &Hotline) -> Vec<Value> {
    let answer = hotline.client().get("/api/v1/auth/jwks.json").expect(200);
    assert_eq!(answer.header("content-type"), Some("application/jwk-set+json"));
    assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
    answer.json()["keys"].as_array().unwrap().clone()
}

/// As a stranger does who knows the key set alone.
fn verifies(keys: &[Value], token: &Client) -> bool {
    let kid = &header(token)["kid"];
    let Some(key) = keys.iter().find(|key| key["kid"] == *kid && key["crv"] == "Ed25519") else { return false };
    let x = BASE64URL_NOPAD.decode(key["x"].as_str().unwrap().as_bytes()).unwrap();
    let (message, signature) = token.token().unwrap().rsplit_once('.').unwrap();
    let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
    UnparsedPublicKey::new(&ED25519, x).verify(message.as_bytes(), &signature).is_ok()
}

/// Asked often enough for every worker to take part.
fn is_let_in(token: &Client) {
    for _ in 0..12 {
        token.get("/api/v1/auth/mfa").expect(200);
    }
}

fn reload(hotline: &Hotline, settings: &str) {
    hotline.configure(settings);
    let told = hotline.command(&["reload"]);
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
}

#[test]
fn a_change_of_algorithm_logs_nobody_out_and_others_can_verify() {
    let hotline = Hotline::start("");
    let before = hotline.admin();
    assert_eq!(header(&before), json!({ "typ": "JWT", "alg": "HS256", "kid": "t1" }));
    assert!(published(&hotline).is_empty(), "a secret is not published");

    reload(&hotline, EDDSA);
    is_let_in(&before);
    let after = hotline.admin();
    assert_eq!(header(&after), json!({ "typ": "JWT", "alg": "EdDSA", "kid": "e1" }));
    is_let_in(&after);
    let keys = published(&hotline);
    assert!(verifies(&keys, &after) && !verifies(&keys, &before));
    assert!(keys.iter().all(|key| key.get("d").is_none() && key.get("k").is_none()), "{keys:?}");

    let rotated = hotline.command(&["keys", "rotate", "token"]);
    assert!(rotated.status.success(), "{}", String::from_utf8_lossy(&rotated.stderr));
    let newer = hotline.admin();
    assert_eq!(header(&newer)["kid"], "e2");
    let keys = published(&hotline);
    assert!(verifies(&keys, &newer) && verifies(&keys, &after), "{keys:?}");
    for token in [&before, &after, &newer] {
        is_let_in(token);
    }

    reload(&hotline, "");
    assert_eq!(header(&hotline.admin())["kid"], "t2");
    assert!(published(&hotline).is_empty());
    for token in [&before, &after, &newer] {
        is_let_in(token);
    }
    // Destroyed, a version lets nobody in by either of its keys.
    let destroyed = hotline.command(&["keys", "destroy", "token", "1"]);
    assert!(destroyed.status.success(), "{}", String::from_utf8_lossy(&destroyed.stderr));
    reload(&hotline, EDDSA);
    for token in [&before, &after] {
        token.get("/api/v1/auth/mfa").expect(401);
    }
    is_let_in(&newer);
    assert_eq!(published(&hotline).len(), 1);
}
