//! Bearer tokens: HS256 with a key id, naming a session; and a bounded memory of verified ones.
//!
//! The token proves only which session is meant; whether that session lives and what it may do is
//! asked of the board each time. Verification costs 2 µs, so tokens that were found good are
//! remembered by the digest of their exact bytes; their expiry is compared with the clock on every use.
use std::collections::HashMap;

use aws_lc_rs::digest;
use hotline::wire::KeyBytes;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Signs and verifies. One for each worker; all share the keys.
pub(crate) struct Tokens {
    keys: Vec<Key>,
    validation: Validation,
    verified: Mutex<Verified>,
}

/// What a token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claims {
    pub(crate) user: Uuid,
    pub(crate) session: Uuid,
    /// Tells two tickets of one session apart; nil in a bearer token.
    pub(crate) serial: Uuid,
    pub(crate) expires_at_s: u64,
}

/// What a token is good for. A ticket from a URL must never pass for a bearer token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Bearer,
    LiveTicket,
    /// The first half of a log-in: the password was right. `session` names the try, `serial` the person's epoch.
    Challenge,
}

/// Why a token is refused; for counters, not for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenError {
    Malformed,
    UnknownKey,
    Forged,
    Expired,
}

struct Key {
    id: String,
    encoding: EncodingKey,
    decoding: DecodingKey,
}

/// Two halves: when the new one is full it becomes the old one, and the old one is forgotten.
#[derive(Default)]
struct Verified {
    new: HashMap<[u8; 32], Claims>,
    old: HashMap<[u8; 32], Claims>,
}

#[derive(Serialize, Deserialize)]
struct Payload {
    iss: String,
    aud: String,
    sub: Uuid,
    jti: Uuid,
    #[serde(default, skip_serializing_if = "Uuid::is_nil")]
    serial: Uuid,
    iat: u64,
    exp: u64,
}

impl Tokens {
    /// `versions` newest first; the newest signs, all of them verify.
    pub(crate) fn new(versions: &[KeyBytes]) -> Self {
        let keys = versions.iter().map(|version| Key {
            id: format!("t{}", version.version),
            encoding: EncodingKey::from_secret(&version.bytes),
            decoding: DecodingKey::from_secret(&version.bytes),
        });
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // The clock is ours, see `verify`: one clock for tokens and sessions, and tests can move it.
        validation.validate_exp = false;
        validation.leeway = 0;
        Self { keys: keys.collect(), validation, verified: Mutex::default() }
    }

    pub(crate) fn sign(&self, purpose: Purpose, claims: &Claims, now_s: u64) -> Option<String> {
        let key = self.keys.first()?;
        let header = Header { kid: Some(key.id.clone()), ..Header::new(Algorithm::HS256) };
        let payload = Payload {
            iss: ISSUER.to_owned(),
            aud: purpose.audience().to_owned(),
            sub: claims.user,
            jti: claims.session,
            serial: claims.serial,
            iat: now_s,
            exp: claims.expires_at_s,
        };
        jsonwebtoken::encode(&header, &payload, &key.encoding).ok()
    }

    pub(crate) fn verify(&self, purpose: Purpose, token: &str, now_s: u64) -> Result<Claims, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Malformed);
        }
        let remembers = purpose == Purpose::Bearer;
        let name = digest_of(token);
        let known = if remembers { self.verified.lock().find(&name) } else { None };
        let claims = match known {
            Some(claims) => claims,
            None => self.verify_bytes(purpose, token)?,
        };
        if claims.expires_at_s <= now_s {
            return Err(TokenError::Expired);
        }
        if known.is_none() && remembers {
            self.verified.lock().remember(name, claims);
        }
        Ok(claims)
    }

    fn verify_bytes(&self, purpose: Purpose, token: &str) -> Result<Claims, TokenError> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Malformed)?;
        if header.alg != Algorithm::HS256 {
            return Err(TokenError::Forged);
        }
        // A token without a key id is none of ours, and trying all keys would be guessing for the caller.
        let id = header.kid.ok_or(TokenError::UnknownKey)?;
        let key = self.keys.iter().find(|key| key.id == id).ok_or(TokenError::UnknownKey)?;
        let mut validation = self.validation.clone();
        validation.set_audience(&[purpose.audience()]);
        let token =
            jsonwebtoken::decode::<Payload>(token, &key.decoding, &validation).map_err(|_| TokenError::Forged)?;
        let Payload { sub: user, jti: session, serial, exp: expires_at_s, .. } = token.claims;
        Ok(Claims { user, session, serial, expires_at_s })
    }
}

impl Purpose {
    fn audience(self) -> &'static str {
        match self {
            Self::Bearer => "hotline-api",
            Self::LiveTicket => "hotline-live",
            Self::Challenge => "hotline-second-factor",
        }
    }
}

impl TokenError {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnknownKey => "unknown-key",
            Self::Forged => "forged",
            Self::Expired => "expired",
        }
    }
}

impl Verified {
    fn find(&self, name: &[u8; 32]) -> Option<Claims> {
        self.new.get(name).or_else(|| self.old.get(name)).copied()
    }

    fn remember(&mut self, name: [u8; 32], claims: Claims) {
        if self.new.len() >= REMEMBERED_MAX / 2 {
            self.old = std::mem::take(&mut self.new);
        }
        self.new.insert(name, claims);
    }
}

fn digest_of(token: &str) -> [u8; 32] {
    let digest = digest::digest(&digest::SHA256, token.as_bytes());
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

const ISSUER: &str = "hotline";
const TOKEN_BYTES_MAX: usize = 2_048;
const REMEMBERED_MAX: usize = 8_192;

#[cfg(test)]
mod tests {
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
        let old = Tokens::new(&[key(1)]);
        let token = old.sign(Purpose::Bearer, &claims(), NOW_S).unwrap();
        let rotated = Tokens::new(&[key(2), key(1)]);
        for _ in 0..2 {
            assert_eq!(rotated.verify(Purpose::Bearer, &token, NOW_S), Ok(claims()));
        }
        let newer = rotated.sign(Purpose::Bearer, &claims(), NOW_S).unwrap();
        assert_eq!(old.verify(Purpose::Bearer, &newer, NOW_S), Err(TokenError::UnknownKey));
    }

    #[test]
    fn expiry_counts_for_remembered_tokens_too() {
        let tokens = Tokens::new(&[key(1)]);
        let token = tokens.sign(Purpose::Bearer, &claims(), NOW_S).unwrap();
        assert!(tokens.verify(Purpose::Bearer, &token, NOW_S + 59).is_ok());
        assert_eq!(tokens.verify(Purpose::Bearer, &token, NOW_S + 60), Err(TokenError::Expired));
    }

    #[test]
    fn a_token_is_good_for_its_purpose_alone() {
        let tokens = Tokens::new(&[key(1)]);
        let purposes = [Purpose::Bearer, Purpose::LiveTicket, Purpose::Challenge];
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
        let tokens = Tokens::new(&[key(1)]);
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
        let tokens = Tokens::new(&[key(1)]);
        let token = tokens.sign(Purpose::Bearer, &claims(), NOW_S).unwrap();
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(bytes).unwrap();
            assert!(tokens.verify(Purpose::Bearer, &altered, NOW_S).is_err(), "byte {at}");
        }
        for cut in [
            "",
            ".",
            "..",
            "...",
            &token[..token.len() - 1],
            &token[..token.rfind('.').unwrap() + 1],
            &format!("{token}."),
        ] {
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
}
