//! The handlers, and the OpenAPI document that is generated from them.
mod ai;
mod alerts;
mod audit;
mod auth;
mod callers;
#[cfg(test)]
mod callers_tests;
mod cases;
mod conditional;
mod disposal;
mod evidence;
#[cfg(test)]
mod evidence_tests;
mod guards;
#[cfg(test)]
mod guards_tests;
mod health;
#[cfg(test)]
mod history_tests;
mod idempotency;
mod live;
mod policies;
mod refusals;
mod subjects;
mod users;
mod voice;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::Shared;
use crate::gate::SESSION_COOKIE;
use crate::problem::Problem;

pub(crate) use alerts::acknowledge_alert;
pub(crate) use auth::mint_token;
pub(crate) use policies::tell_policy;
pub(crate) use subjects::act_on_subjects;
pub(crate) use users::act_on_people;

/// All routes of the public face.
pub(crate) fn router(app: Shared) -> Router {
    let (router, mut document) = described().split_for_parts();
    refusals::describe(&mut document);
    let document = Bytes::from(document.to_json().expect("the document is plain data"));
    router
        .route("/api/v1/openapi.json", get(move || async move { json_bytes(StatusCode::OK, document.clone()) }))
        // A name of several parts is more than a parameter of the document can be.
        .route("/api/v1/audit/log/tile/{*name}", get(audit::tile))
        .fallback(|| async { Problem::not_found() })
        .with_state(app)
}

fn described() -> OpenApiRouter<Shared> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(health::health))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(auth::jwks))
        .routes(routes!(auth::login))
        .routes(routes!(auth::login_mfa))
        .routes(routes!(auth::login_passkey_options))
        .routes(routes!(auth::login_passkey))
        .routes(routes!(auth::logout))
        .routes(routes!(audit::record))
        .routes(routes!(audit::checkpoint))
        .routes(routes!(alerts::acknowledge))
        .routes(routes!(auth::mfa))
        .routes(routes!(auth::totp, auth::remove_totp))
        .routes(routes!(auth::confirm_totp))
        .routes(routes!(auth::renew_recovery_codes))
        .routes(routes!(auth::change_password))
        .routes(routes!(auth::list_sessions, auth::end_other_sessions))
        .routes(routes!(auth::end_session))
        .routes(routes!(auth::step_up))
        .routes(routes!(auth::step_up_options))
        .routes(routes!(auth::list_passkeys, auth::register_passkey))
        .routes(routes!(auth::passkey_options))
        .routes(routes!(auth::remove_passkey))
        .routes(routes!(users::list, users::invite))
        .routes(routes!(users::change))
        .routes(routes!(users::reset))
        .routes(routes!(cases::list, cases::create))
        .routes(routes!(cases::read, cases::update))
        .routes(routes!(cases::versions))
        .routes(routes!(cases::version))
        .routes(routes!(disposal::due))
        .routes(routes!(disposal::dispose))
        .routes(routes!(evidence::of_case))
        .routes(routes!(evidence::read))
        .routes(routes!(evidence::content))
        .routes(routes!(evidence::verify))
        .routes(routes!(evidence::transfer))
        .routes(routes!(evidence::seal))
        .routes(routes!(guards::list, guards::place))
        .routes(routes!(guards::end))
        .routes(routes!(guards::break_glass))
        .routes(routes!(callers::login))
        .routes(routes!(callers::own_case))
        .routes(routes!(callers::give, callers::end))
        .routes(routes!(voice::status))
        .routes(routes!(ai::analyze))
        .routes(routes!(ai::recommend))
        .routes(routes!(live::ticket))
        .routes(routes!(live::connect))
        .merge(
            // The extractor's own cap of 2 MiB makes room for ours.
            OpenApiRouter::new()
                .routes(routes!(voice::process))
                .routes(routes!(evidence::upload))
                .layer(DefaultBodyLimit::disable()),
        )
}

/// An answer whose JSON is ready.
pub(crate) fn json_bytes(status: StatusCode, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(axum::body::Body::from(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => json_bytes(status, body),
        Err(error) => {
            tracing::error!(%error, "could not serialise an answer");
            Problem::internal().into_response()
        }
    }
}

/// What every refusal looks like; RFC 9457 with the members that older clients read.
#[derive(ToSchema)]
#[schema(as = Problem)]
#[allow(dead_code)] // only described, see `problem.rs`
pub(crate) struct ProblemBody {
    r#type: String,
    title: String,
    status: u16,
    detail: Option<String>,
    /// For programs: `lost-update`, `rate-limited`, …
    code: String,
    error: String,
    /// JSON pointer to the field that is wrong.
    pointer: Option<String>,
    /// With 401, 403 and 429: `isValid`, `riskScore`, `violations`, `mitigations`.
    #[schema(value_type = Option<Object>)]
    security: Option<()>,
    #[schema(rename = "requestId")]
    request_id: String,
    timestamp: String,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "hotline",
        description = "A legal hotline: calls are transcribed and triaged, become cases, and every step is audited. Whoever takes calls may mark a request with `X-Emergency: true`: a full worker serves it first.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(ProblemBody)),
    security(("bearer" = []), ("session" = [])),
    modifiers(&Schemes)
)]
struct Document;

struct Schemes;

impl Modify for Schemes {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        // Which build answers is nobody's business; the version of the interface is.
        document.info.version = "1".to_owned();
        let components = document.components.get_or_insert_default();
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        let cookie = SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new(SESSION_COOKIE)));
        components.add_security_scheme("session", cookie);
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod document {
    use super::*;
    use crate::gate::Route;

    #[test]
    fn the_document_and_the_gate_know_the_same_paths() {
        let document = described().into_openapi();
        let mut described: Vec<&str> = document.paths.paths.keys().map(String::as_str).collect();
        described.extend([Route::OpenApi.template(), Route::AuditTile.template()]);
        described.sort_unstable();
        let mut known: Vec<&str> =
            Route::ALL.into_iter().filter(|route| *route != Route::Unknown).map(Route::template).collect();
        known.sort_unstable();
        assert_eq!(described, known);
        let text = document.to_json().unwrap();
        assert!(text.starts_with(r#"{"openapi":"3.1"#), "{}", &text[..40]);
    }
}
