//! Is it alive, is it ready, and what is missing.
use axum::extract::State;
use axum::response::Response;
use hotline::config::Environment;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::json;
use crate::app::Shared;
use crate::health::Report;

#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    /// `healthy` or `degraded`.
    status: &'static str,
    timestamp: String,
    /// Of the interface, not of the build.
    version: &'static str,
    environment: &'static str,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Live {
    status: &'static str,
}

/// The four keys that watchers of the old service read.
#[utoipa::path(get, path = "/health", tag = "health", security(()), responses((status = 200, body = Health)))]
pub(crate) async fn health(State(app): State<Shared>) -> Response {
    let healthy = app.health.check(&app).await.is_ready();
    let health = Health {
        status: if healthy { "healthy" } else { "degraded" },
        timestamp: format!("{:.3}", app.now()),
        version: "1",
        environment: match app.config.server.environment {
            Environment::Production => "production",
            Environment::Development => "development",
        },
    };
    json(StatusCode::OK, &health)
}

/// The request runtime of this worker answers.
#[utoipa::path(get, path = "/health/live", tag = "health", security(()), responses((status = 200, body = Live)))]
pub(crate) async fn live() -> Response {
    json(StatusCode::OK, &Live { status: "live" })
}

/// Everything an answer needs is there; else 503 with what is not.
#[utoipa::path(get, path = "/health/ready", tag = "health", security(()),
    responses((status = 200, body = Report), (status = 503, body = Report)))]
pub(crate) async fn ready(State(app): State<Shared>) -> Response {
    let report = app.health.check(&app).await;
    let status = if report.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json(status, &report)
}
