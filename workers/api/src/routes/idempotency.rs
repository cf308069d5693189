//! `Idempotency-Key`: a request that is sent again is carried out once.
use aws_lc_rs::digest;
use axum::response::Response;
use data_encoding::HEXLOWER;
use hotline_domain::once::Once;
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::app::Shared;
use crate::gate::Caller;
use crate::gate::headers::{IDEMPOTENCY_KEY, IDEMPOTENCY_REPLAYED};
use crate::problem::{Problem, Reply};

/// The key of this caller for this route, with what the request consists of.
pub(crate) fn once(app: &Shared, headers: &HeaderMap, caller: &Caller, content: &[&[u8]]) -> Reply<Option<Once>> {
    let Some(value) = headers.get(&IDEMPOTENCY_KEY) else { return Ok(None) };
    let key = value.to_str().unwrap_or_default().trim();
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return Err(Problem::bad_request("invalid-header", "Idempotency-Key has 1 to 255 visible characters."));
    }
    let (user, route) = (caller.principal.user, caller.visit.route.template());
    Ok(Some(Once::new(&app.vault, user, route, key, digest_of(app, content))))
}

/// With a key: a bare digest in the store would tell whoever guesses a short narrative that it was it.
fn digest_of(app: &Shared, content: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in content {
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part);
    }
    app.vault.blind_index("idempotency-content", &HEXLOWER.encode(context.finish().as_ref()))
}

/// The key was used before, with something else.
pub(crate) fn other_request() -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency-key-reused", "Unprocessable content")
        .detail("This Idempotency-Key was used for another request.")
}

pub(crate) fn mark(response: &mut Response, replayed: bool) {
    if replayed {
        response.headers_mut().insert(&IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    }
}

const KEY_BYTES_MAX: usize = 255;
