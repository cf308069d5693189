//! Attacks on signed tokens, as Project Wycheproof and the literature have them, made with keys of our own: its JWS
//! vectors carry payloads that are no claims, under key names that are none of ours, so that everything in them is
//! refused before what they are about. Its vectors for the two algorithms beneath are tried as they are.
use aws_lc_rs::hmac;
use data_encoding::{BASE64, BASE64_MIME, BASE64URL, BASE64URL_NOPAD};
use hotline::config::TokenAlgorithm::{EdDsa, Hs256};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;

const NOW_S: u64 = 1_700_000_000;

fn version(version: u16) -> KeyBytes {
    KeyBytes { version, bytes: [version as u8; 32] }
}

fn both() -> [Tokens; 2] {
    [Hs256, EdDsa].map(|algorithm| Tokens::new(&[version(2), version(1)], algorithm))
}

fn claims() -> Claims {
    Claims { user: Uuid::from_u128(1), session: Uuid::from_u128(2), serial: Uuid::nil(), expires_at_s: NOW_S + 60 }
}

fn payload() -> Value {
    json!({
        "iss": "hotline", "aud": "hotline-api", "sub": Uuid::from_u128(1), "jti": Uuid::from_u128(2),
        "iat": NOW_S, "exp": NOW_S + 60
    })
}

fn encoded(text: &str) -> String {
    BASE64URL_NOPAD.encode(text.as_bytes())
}

/// Signed by the right key of ours under the name, whatever the header says: what an attacker could do at best.
fn signed(header: &str, payload: &str, kid: &str) -> String {
    let message = format!("{}.{}", encoded(header), encoded(payload));
    let tokens = &both()[0];
    let key = tokens.keys.iter().find(|key| key.id == kid).unwrap();
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key.encoding, key.algorithm()).unwrap();
    format!("{message}.{signature}")
}

fn by_hmac(header: &Value, secret: &[u8]) -> String {
    let message = format!("{}.{}", encoded(&header.to_string()), encoded(&payload().to_string()));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
    format!("{message}.{}", BASE64URL_NOPAD.encode(tag.as_ref()))
}

#[track_caller]
fn refused(token: &str) {
    for tokens in both() {
        let told = tokens.verify(Purpose::Bearer, token, NOW_S);
        assert!(told.is_err(), "{:?} takes {token}", tokens.signs_with);
    }
}

/// Header and key name of each kind.
const KINDS: [(&str, &str); 2] = [("HS256", "t2"), ("EdDSA", "e2")];

#[test]
fn the_maker_of_attacks_is_sound() {
    for (alg, kid) in KINDS {
        for header in [json!({ "alg": alg, "kid": kid, "typ": "JWT" }), json!({ "kid": kid, "alg": alg })] {
            for tokens in both() {
                let token = signed(&header.to_string(), &payload().to_string(), kid);
                assert_eq!(tokens.verify(Purpose::Bearer, &token, NOW_S), Ok(claims()), "{header}");
            }
        }
    }
}

#[test]
fn a_change_of_algorithm_ends_no_session_and_the_key_says_which_it_is() {
    let [former, now] = both();
    let (old, new) = (former.sign(Purpose::Bearer, &claims(), NOW_S), now.sign(Purpose::Bearer, &claims(), NOW_S));
    let (old, new) = (old.unwrap(), new.unwrap());
    assert_ne!(old, new);
    for tokens in [&former, &now] {
        for token in [&old, &new] {
            assert_eq!(tokens.verify(Purpose::Bearer, token, NOW_S), Ok(claims()));
            assert_eq!(tokens.verify(Purpose::Bearer, token, NOW_S + 60), Err(TokenError::Expired));
        }
    }
    // Whoever lacks a version of the data key verifies nothing of it, in either way.
    let later = Tokens::new(&[version(3)], EdDsa);
    for token in [&old, &new] {
        assert_eq!(later.verify(Purpose::Bearer, token, NOW_S), Err(TokenError::UnknownKey));
    }
    assert!(former.public_keys().is_empty(), "a secret has no public half");
    let named: Vec<Value> = now.public_keys().iter().map(|key| json!(key)["kid"].clone()).collect();
    assert_eq!(named, [json!("e2"), json!("e1")]);
}

#[test]
fn no_algorithm_but_the_keys_own() {
    let forms = ["none", "None", "NONE", "nOnE", "", "hs256", "Hs256", "HS384", "HS512", "RS256", "PS256", "ES256"];
    for alg in forms.into_iter().chain(["eddsa", "Ed25519", "HS256 ", "EdDSA\0", "HS256", "EdDSA"]) {
        for (_, kid) in KINDS.into_iter().filter(|(own, _)| *own != alg) {
            let header = json!({ "alg": alg, "kid": kid }).to_string();
            refused(&signed(&header, &payload().to_string(), kid));
            refused(&format!("{}.{}.", encoded(&header), encoded(&payload().to_string())));
            refused(&format!("{}.{}", encoded(&header), encoded(&payload().to_string())));
        }
    }
    for odd in [json!(null), json!(["HS256"]), json!({}), json!(0)] {
        refused(&signed(&json!({ "alg": odd, "kid": "t2" }).to_string(), &payload().to_string(), "t2"));
    }
}

#[test]
fn a_public_key_is_no_secret_to_sign_with() {
    let published = json!(both()[1].public_keys()[0]);
    let x = published["x"].as_str().unwrap();
    let raw = BASE64URL_NOPAD.decode(x.as_bytes()).unwrap();
    let info = [&hex("302a300506032b6570032100")[..], &raw].concat();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", BASE64.encode(&info));
    let forms =
        [raw, info, pem.trim_end().into(), pem.into_bytes(), x.into(), published.to_string().into_bytes(), vec![]];
    for secret in forms {
        for kid in ["e2", "t2", "e1", "t1"] {
            refused(&by_hmac(&json!({ "alg": "HS256", "kid": kid }), &secret));
            refused(&by_hmac(&json!({ "alg": "EdDSA", "kid": kid }), &secret));
        }
    }
    // A signature of one kind under the name of the other.
    let body = payload().to_string();
    refused(&signed(r#"{"alg":"HS256","kid":"t2"}"#, &body, "e2"));
    refused(&signed(r#"{"alg":"EdDSA","kid":"e2"}"#, &body, "t2"));
    refused(&signed(r#"{"alg":"EdDSA","kid":"t2"}"#, &body, "e2"));
    refused(&signed(r#"{"alg":"HS256","kid":"e2"}"#, &body, "t2"));
}

#[test]
fn a_header_brings_no_key_and_asks_for_nothing() {
    let own = json!(both()[1].public_keys()[0]);
    for (alg, kid) in KINDS {
        for (name, value) in [
            ("jwk", own.clone()),
            ("jku", json!("https://evil.example/jwks.json")),
            ("x5u", json!("https://evil.example/chain.pem")),
            ("x5c", json!(["MIIB"])),
            ("x5t", json!("AAAA")),
            ("crit", json!(["exp"])),
            ("crit", json!([])),
            ("b64", json!(false)),
            ("b64", json!(true)),
            ("cty", json!("JWT")),
            ("zip", json!("DEF")),
            ("enc", json!("A256GCM")),
            ("typ", json!("at+jwt")),
            ("typ", json!("jwt ")),
            ("typ", json!(7)),
            ("kid", json!(["t2"])),
            ("kid", json!("t02")),
            ("kid", json!("../t2")),
            ("kid", json!("t2' or '1'='1")),
            ("kid", json!("")),
        ] {
            let mut header = json!({ "alg": alg, "kid": kid });
            header[name] = value;
            refused(&signed(&header.to_string(), &payload().to_string(), kid));
        }
        let body = payload().to_string();
        for header in [
            format!(r#"{{"alg":"{alg}","kid":"{kid}","kid":"{kid}"}}"#),
            format!(r#"{{"alg":"none","alg":"{alg}","kid":"{kid}"}}"#),
            format!(r#"{{"alg":"{alg}","kid":"{kid}"}}{{}}"#),
            format!(r#"{{"alg":"{alg}","kid":"{kid}",}}"#),
            format!("\u{feff}{{\"alg\":\"{alg}\",\"kid\":\"{kid}\"}}"),
            format!(r#"[{{"alg":"{alg}","kid":"{kid}"}}]"#),
        ] {
            refused(&signed(&header, &body, kid));
        }
        let twice = body.replacen('{', r#"{"sub":"00000000-0000-0000-0000-000000000009","#, 1);
        refused(&signed(&format!(r#"{{"alg":"{alg}","kid":"{kid}"}}"#), &twice, kid));
        let mut more = payload();
        more["admin"] = true.into();
        refused(&signed(&format!(r#"{{"alg":"{alg}","kid":"{kid}"}}"#), &more.to_string(), kid));
    }
}

#[test]
fn a_token_has_one_spelling_and_three_parts() {
    for tokens in both() {
        let token = tokens.sign(Purpose::Bearer, &claims(), NOW_S).unwrap();
        let parts: Vec<&str> = token.split('.').collect();
        let [header, body, signature] = parts[..] else { panic!() };
        let raw = BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
        let last = |change: fn(u8) -> u8| {
            let mut text = signature.to_owned().into_bytes();
            *text.last_mut().unwrap() = change(*text.last().unwrap());
            String::from_utf8(text).unwrap()
        };
        let spelled = [BASE64URL.encode(&raw), BASE64.encode(&raw), BASE64_MIME.encode(&raw), hex_of(&raw)];
        for signature in spelled.into_iter().filter(|spelled| spelled != signature) {
            refused(&format!("{header}.{body}.{signature}"));
        }
        // The bits beyond the last byte: another letter for the same bytes.
        refused(&format!("{header}.{body}.{}", last(|letter| letter + 1)));
        for odd in [
            format!("{header}.{body}.{signature}\n"),
            format!(" {token}"),
            format!("{header}.{body}. {signature}"),
            format!("{header}.{body}.{signature}%00"),
            format!("{header}.{body}.{signature}."),
            format!("{header}.{body}..{signature}"),
            format!("{header}.{body}.{signature}.{signature}.{signature}"),
            format!("{header}.{signature}"),
            format!("{header}.{body}.{}", &signature[..signature.len() / 2]),
            format!("{header}.{body}.{signature}{signature}"),
            format!("{header}..{signature}"),
            format!(".{body}.{signature}"),
            format!("{header}.{}.{signature}", encoded(&token)),
            json!({ "payload": body, "protected": header, "signature": signature }).to_string(),
        ] {
            refused(&odd);
        }
        // A token within a token, rightly signed.
        let (alg, kid) = KINDS[usize::from(tokens.signs_with == EdDsa)];
        refused(&signed(&json!({ "alg": alg, "kid": kid }).to_string(), &json!(token).to_string(), kid));
        let long = json!({ "alg": alg, "kid": kid, "typ": "x".repeat(100_000) }).to_string();
        refused(&signed(&long, &payload().to_string(), kid));
        let deep = format!(r#"{{"alg":"{alg}","kid":{}"{kid}"{}}}"#, "[".repeat(500), "]".repeat(500));
        refused(&signed(&deep, &payload().to_string(), kid));
    }
}

/// S + L is as good as S to a verifier that does not look; and so are points of small order.
#[test]
fn a_signature_has_one_form() {
    let token = both()[1].sign(Purpose::Bearer, &claims(), NOW_S).unwrap();
    let (message, signature) = token.rsplit_once('.').unwrap();
    let mut other = BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
    let order = hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    let mut carry = 0u16;
    for (byte, add) in other[32..].iter_mut().zip(order) {
        carry += u16::from(*byte) + u16::from(add);
        *byte = carry as u8;
        carry >>= 8;
    }
    refused(&format!("{message}.{}", BASE64URL_NOPAD.encode(&other)));
    for form in [[0; 64], [0xff; 64]] {
        refused(&format!("{message}.{}", BASE64URL_NOPAD.encode(&form)));
    }
    let mut small = [0; 64];
    small[0] = 1;
    refused(&format!("{message}.{}", BASE64URL_NOPAD.encode(&small)));
}

/// Project Wycheproof (C2SP): every case of Ed25519, and of HMAC-SHA256 with whole tags.
#[test]
fn the_algorithms_pass_project_wycheproof() {
    let right = |message: &[u8], signature: &[u8], key: &DecodingKey, algorithm| {
        jsonwebtoken::crypto::verify(&BASE64URL_NOPAD.encode(signature), message, key, algorithm).unwrap_or(false)
    };
    let set = wycheproof::eddsa::TestSet::load(wycheproof::eddsa::TestName::Ed25519).unwrap();
    let mut tried = 0;
    for group in set.test_groups {
        let key = DecodingKey::from_ed_der(&group.key.pk);
        for test in group.tests {
            let is_valid = test.result == wycheproof::TestResult::Valid;
            assert_eq!(right(&test.msg, &test.sig, &key, Algorithm::EdDSA), is_valid, "Ed25519 case {}", test.tc_id);
            tried += 1;
        }
    }
    let set = wycheproof::mac::TestSet::load(wycheproof::mac::TestName::HmacSha256).unwrap();
    for group in set.test_groups.into_iter().filter(|group| group.tag_size == 256) {
        for test in group.tests {
            let key = DecodingKey::from_secret(&test.key);
            let is_valid = test.result == wycheproof::TestResult::Valid;
            assert_eq!(right(&test.msg, &test.tag, &key, Algorithm::HS256), is_valid, "HMAC case {}", test.tc_id);
            tried += 1;
        }
    }
    assert!(tried > 200, "{tried} cases");
}

fn hex(text: &str) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap()
}

fn hex_of(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}
