//! The keys of tokens. Each version of the data key is two: itself for HS256, and an Ed25519 key derived from it.
use aws_lc_rs::hkdf;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use data_encoding::BASE64URL_NOPAD;
use hotline::config::TokenAlgorithm;
use hotline::wire::KeyBytes;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use serde::Serialize;
use utoipa::ToSchema;
use zeroize::Zeroizing;

/// The algorithm belongs to the key; so does the first letter of its name.
pub(super) struct Key {
    pub(super) id: String,
    pub(super) kind: TokenAlgorithm,
    pub(super) encoding: EncodingKey,
    pub(super) decoding: DecodingKey,
    public: Option<Vec<u8>>,
}

/// A JSON Web Key (RFC 8037).
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct PublicKey {
    kty: &'static str,
    crv: &'static str,
    x: String,
    kid: String,
    alg: &'static str,
    r#use: &'static str,
}

impl Key {
    pub(super) fn hs256(version: &KeyBytes) -> Self {
        Self {
            id: format!("t{}", version.version),
            kind: TokenAlgorithm::Hs256,
            encoding: EncodingKey::from_secret(&version.bytes),
            decoding: DecodingKey::from_secret(&version.bytes),
            public: None,
        }
    }

    pub(super) fn ed25519(version: &KeyBytes) -> Self {
        let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, b"hotline-token-v1").extract(&version.bytes);
        let mut seed = Zeroizing::new([0; SEED_BYTES]);
        extracted
            .expand(&[b"ed25519"], hkdf::HKDF_SHA256)
            .and_then(|material| material.fill(&mut *seed))
            .expect("32 bytes are one block of HKDF-SHA256");
        let pair = Ed25519KeyPair::from_seed_unchecked(&*seed).expect("any 32 bytes are a seed");
        let public = pair.public_key().as_ref().to_vec();
        let private = pair.to_pkcs8v1().expect("a key pair has its own form");
        Self {
            id: format!("e{}", version.version),
            kind: TokenAlgorithm::EdDsa,
            encoding: EncodingKey::from_ed_der(private.as_ref()),
            decoding: DecodingKey::from_ed_der(&public),
            public: Some(public),
        }
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        match self.kind {
            TokenAlgorithm::Hs256 => Algorithm::HS256,
            TokenAlgorithm::EdDsa => Algorithm::EdDSA,
        }
    }

    pub(super) fn public(&self) -> Option<PublicKey> {
        let x = BASE64URL_NOPAD.encode(self.public.as_ref()?);
        Some(PublicKey { kty: "OKP", crv: "Ed25519", x, kid: self.id.clone(), alg: "EdDSA", r#use: "sig" })
    }
}

const SEED_BYTES: usize = 32;
