//! Bearer tokens: signed with a key that they name, naming a session; and a bounded memory of verified ones.
//!
//! The token proves only which session is meant; whether that session lives and what it may do is asked of the board
//! each time. Which algorithm signs is a setting; which one verifies is the key's, never the token's to say. Keys of
//! both algorithms verify on every worker, so a reload that changes the setting logs nobody out: what was signed
//! before ends when it says. Tokens that were found good are remembered by the digest of their exact bytes; their
//! expiry is compared with the clock on every use.
mod header;
mod keys;

use std::collections::HashMap;

use aws_lc_rs::digest;
use hotline::config::TokenAlgorithm;
use hotline::wire::KeyBytes;
use jsonwebtoken::{Header, Validation};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use keys::Key;
pub(crate) use keys::PublicKey;

/// Signs and verifies. One for each worker; all share the keys.
pub(crate) struct Tokens {
    keys: Vec<Key>,
    signs_with: TokenAlgorithm,
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
    /// Of somebody who called: `user` and `session` name their guard, `serial` their case.
    Caller,
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

/// Two halves: when the new one is full it becomes the old one, and the old one is forgotten.
#[derive(Default)]
struct Verified {
    new: HashMap<[u8; 32], Claims>,
    old: HashMap<[u8; 32], Claims>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
    pub(crate) fn new(versions: &[KeyBytes], signs_with: TokenAlgorithm) -> Self {
        let keys = versions.iter().flat_map(|version| [Key::hs256(version), Key::ed25519(version)]);
        Self { keys: keys.collect(), signs_with, verified: Mutex::default() }
    }

    /// With which others can verify what is signed here; none where that takes the key that signs.
    pub(crate) fn public_keys(&self) -> Vec<PublicKey> {
        match self.signs_with {
            TokenAlgorithm::Hs256 => Vec::new(),
            TokenAlgorithm::EdDsa => self.keys.iter().filter_map(Key::public).collect(),
        }
    }

    pub(crate) fn sign(&self, purpose: Purpose, claims: &Claims, now_s: u64) -> Option<String> {
        let key = self.keys.iter().find(|key| key.kind == self.signs_with)?;
        let header = Header { kid: Some(key.id.clone()), ..Header::new(key.algorithm()) };
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
        let header = header::strict(token).ok_or(TokenError::Malformed)?;
        // A token without a key id is none of ours, and trying all keys would be guessing for the caller.
        let id = header.kid.ok_or(TokenError::UnknownKey)?;
        let key = self.keys.iter().find(|key| key.id == id).ok_or(TokenError::UnknownKey)?;
        if header.alg != key.kind.name() {
            return Err(TokenError::Forged);
        }
        let mut validation = Validation::new(key.algorithm());
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[purpose.audience()]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // The clock is ours, see `verify`: one clock for tokens and sessions, and tests can move it.
        validation.validate_exp = false;
        validation.leeway = 0;
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
            Self::Caller => "hotline-caller",
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
mod attacks;
#[cfg(test)]
mod tests;
