//! Tokens as they should be, and every way we know of to pass another one off.
use super::*;
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

const NOW_S: u64 = 1_700_000_000;

fn key(version: u16) -> KeyBytes {
    KeyBytes { version, bytes: [version as u8; 32] }
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

fn hand_made(header: &Value, payload: &Value, secret: &[u8]) -> String {
    let signed = format!(
        "{}.{}",
        BASE64URL_NOPAD.encode(header.to_string().as_bytes()),
        BASE64URL_NOPAD.encode(payload.to_string().as_bytes())
    );
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
    let tag = aws_lc_rs::hmac::sign(&key, signed.as_bytes());
    format!("{signed}.{}", BASE64URL_NOPAD.encode(tag.as_ref()))
}

#[test]
fn a_token_survives_the_round_trip_and_a_key_rotation() {
    let old = Tokens::new(&[key(1)], TokenAlgorithm::Hs256);
    let token = old.sign(Purpose::Bearer, &claims(), NOW_S).unwrap();
    let rotated = Tokens::new(&[key(2), key(1)], TokenAlgorithm::Hs256);
    for _ in 0..2 {
        assert_eq!(rotated.verify(Purpose::Bearer, &token, NOW_S), Ok(claims()));
    }
    let newer = rotated.sign(Purpose::Bearer, &claims(), NOW_S).unwrap();
    assert_eq!(old.verify(Purpose::Bearer, &newer, NOW_S), Err(TokenError::UnknownKey));
}

#[test]
fn expiry_counts_for_remembered_tokens_too() {
    let tokens = Tokens::new(&[key(1)], TokenAlgorithm::Hs256);
    let token = tokens.sign(Purpose::Bearer, &claims(), NOW_S).unwrap();
    assert!(tokens.verify(Purpose::Bearer, &token, NOW_S + 59).is_ok());
    assert_eq!(tokens.verify(Purpose::Bearer, &token, NOW_S + 60), Err(TokenError::Expired));
}

#[test]
fn a_token_is_good_for_its_purpose_alone() {
    let tokens = Tokens::new(&[key(1)], TokenAlgorithm::Hs256);
    let purposes = [Purpose::Bearer, Purpose::LiveTicket, Purpose::Caller, Purpose::Challenge];
    for made_for in purposes {
        let token = tokens.sign(made_for, &claims(), NOW_S).unwrap();
        for used_as in purposes {
            let expected = if made_for == used_as { Ok(claims()) } else { Err(TokenError::Forged) };
            assert_eq!(tokens.verify(used_as, &token, NOW_S), expected, "{made_for:?} as {used_as:?}");
        }
    }
}

#[test]
fn the_confusion_table() {
    let tokens = Tokens::new(&[key(1)], TokenAlgorithm::Hs256);
    let secret = [1u8; 32];
    let good = json!({ "alg": "HS256", "typ": "JWT", "kid": "t1" });
    assert!(
        tokens.verify(Purpose::Bearer, &hand_made(&good, &payload(), &secret), NOW_S).is_ok(),
        "the maker is sound"
    );

    let headers = [
        json!({ "alg": "none", "kid": "t1" }),
        json!({ "alg": "None", "kid": "t1" }),
        json!({ "alg": "HS384", "kid": "t1" }),
        json!({ "alg": "RS256", "kid": "t1" }),
        json!({ "alg": "ES256", "kid": "t1" }),
        json!({ "alg": "EdDSA", "kid": "t1" }),
        json!({ "alg": "HS256" }),
        json!({ "alg": "HS256", "kid": "t2" }),
        json!({ "alg": "HS256", "kid": "../../dev/null" }),
        json!({ "alg": "HS256", "kid": ["t1"] }),
        json!({ "kid": "t1" }),
        json!([]),
    ];
    for header in headers {
        let token = hand_made(&header, &payload(), &secret);
        assert!(tokens.verify(Purpose::Bearer, &token, NOW_S).is_err(), "{header}");
    }
    for (name, value) in [
        ("iss", json!("evil")),
        ("aud", json!("other")),
        ("aud", Value::Null),
        ("sub", json!("admin")),
        ("sub", json!("' or 1=1")),
        ("jti", Value::Null),
        ("exp", json!("never")),
        ("exp", json!(-1)),
        ("exp", Value::Null),
    ] {
        let mut payload = payload();
        payload[name] = value.clone();
        let token = hand_made(&good, &payload, &secret);
        assert!(tokens.verify(Purpose::Bearer, &token, NOW_S).is_err(), "{name} = {value}");
    }
    for secret in [&b""[..], &[0; 32], &[2; 32], b"secret"] {
        assert!(tokens.verify(Purpose::Bearer, &hand_made(&good, &payload(), secret), NOW_S).is_err());
    }
}

#[test]
fn altered_tokens_are_refused_wherever_they_are_altered() {
    let tokens = Tokens::new(&[key(1)], TokenAlgorithm::Hs256);
    let token = tokens.sign(Purpose::Bearer, &claims(), NOW_S).unwrap();
    for at in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let altered = String::from_utf8(bytes).unwrap();
        assert!(tokens.verify(Purpose::Bearer, &altered, NOW_S).is_err(), "byte {at}");
    }
    for cut in
        ["", ".", "..", "...", &token[..token.len() - 1], &token[..token.rfind('.').unwrap() + 1], &format!("{token}.")]
    {
        assert!(tokens.verify(Purpose::Bearer, cut, NOW_S).is_err(), "{cut:?}");
    }
}

#[test]
fn the_memory_is_bounded() {
    let mut verified = Verified::default();
    for n in 0..3 * REMEMBERED_MAX {
        verified.remember(digest_of(&n.to_string()), claims());
        assert!(verified.new.len() + verified.old.len() <= REMEMBERED_MAX);
    }
}
