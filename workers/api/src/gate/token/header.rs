//! The shape of a token, before anything in it is believed: three canonical parts, and a header that says no more than
//! ours do. What asks for a key of its own (`jwk`, `jku`, `x5u`, …), for understanding (`crit`) or for another encoding
//! (`b64`) is none of ours, and neither is a header that says a thing twice.
use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub(super) alg: String,
    pub(super) kid: Option<String>,
    typ: Option<String>,
}

/// None if the token is not in the one form in which we write it.
pub(super) fn strict(token: &str) -> Option<Header> {
    let mut parts = token.split('.');
    let (header, payload, signature) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    // Refuses padding, line ends, other alphabets and bits beyond the last byte: one token has one spelling.
    let header = BASE64URL_NOPAD.decode(header.as_bytes()).ok()?;
    let payload = BASE64URL_NOPAD.decode(payload.as_bytes()).ok()?;
    let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).ok()?;
    if payload.is_empty() || signature.is_empty() {
        return None;
    }
    let header: Header = serde_json::from_slice(&header).ok()?;
    header.typ.as_deref().is_none_or(|typ| typ == "JWT").then_some(header)
}
