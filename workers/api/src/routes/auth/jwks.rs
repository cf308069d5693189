//! With which keys others verify our tokens: a JSON Web Key Set (RFC 7517), for everybody.
//!
//! A verifier learns whose session a token names, not whether it lives: who must know that asks us.
use axum::extract::State;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::Shared;
use crate::gate::PublicKey;
use crate::problem::Reply;
use crate::routes::json;

#[derive(Serialize, ToSchema)]
pub(crate) struct KeySet {
    /// Of every version that still verifies, and of the next one before it signs; none with HS256.
    keys: Vec<PublicKey>,
}

/// The public keys of tokens.
#[utoipa::path(get, path = "/api/v1/auth/jwks.json", tag = "auth", security(()),
    responses((status = 200, body = KeySet, content_type = "application/jwk-set+json")))]
pub(crate) async fn jwks(State(app): State<Shared>) -> Reply {
    let mut response = json(StatusCode::OK, &KeySet { keys: app.tokens.public_keys() });
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(CACHED));
    Ok(response)
}

/// A rotation publishes a key at least as long before it signs as a roll takes; who meets a name that they do not
/// know asks again.
const CACHED: &str = "public, max-age=300";
