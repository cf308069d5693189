//! The caller's own sessions: seen, and ended, this one and others. Ended means on every worker, from the next
//! request on, live connections included.
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use hotline::audit::EventType;
use hotline_domain::store::SessionRow;
use http::StatusCode;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{set_cookie, timestamp};
use crate::app::Shared;
use crate::gate::{Caller, lives};
use crate::problem::{Problem, Reply};
use crate::routes::{ProblemBody, json};
use crate::trail::{self, Act};

#[derive(Serialize, ToSchema)]
pub(crate) struct OwnSessions {
    sessions: Vec<OwnSession>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OwnSession {
    /// The beginning of its id: enough to name it, not to use it.
    id: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: String,
    #[schema(value_type = String, format = DateTime)]
    last_seen_at: String,
    #[schema(value_type = String, format = DateTime)]
    expires_at: String,
    /// Factors that were shown: 1 or 2.
    assurance: u8,
    /// Made by the operator for a machine.
    automation: bool,
    /// The one that asks.
    current: bool,
}

/// Ends the session on every worker at once.
#[utoipa::path(post, path = "/api/v1/auth/logout", tag = "auth",
    responses((status = 204), (status = 401, body = ProblemBody)))]
pub(crate) async fn logout(State(app): State<Shared>, caller: Caller) -> Reply {
    let session = caller.principal.session;
    trail::change(&app, &caller.visit, Act::new(EventType::Login, "auth.logout", session)).await?;
    app.end_session(session).await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    set_cookie(&mut response, "", 0);
    Ok(response)
}

/// The caller's sessions that live, newest first.
#[utoipa::path(get, path = "/api/v1/auth/sessions", tag = "auth",
    responses((status = 200, body = OwnSessions), (status = 401, body = ProblemBody)))]
pub(crate) async fn list_sessions(State(app): State<Shared>, caller: Caller) -> Reply {
    let own = living(&app, &caller).await?;
    let act = Act::new(EventType::Access, "auth.session.list", caller.principal.user);
    trail::reading(&app, &caller.visit, act).await?;
    let sessions = own.iter().map(|(session, last_seen_ms)| OwnSession {
        id: handle(session.id),
        created_at: timestamp(session.created_at_ms.cast_unsigned()),
        last_seen_at: timestamp(*last_seen_ms),
        expires_at: timestamp(session.expires_at_ms.cast_unsigned()),
        assurance: session.factors,
        automation: session.automation,
        current: session.id == caller.principal.session,
    });
    Ok(json(StatusCode::OK, &OwnSessions { sessions: sessions.collect() }))
}

/// Ends one of the caller's sessions.
#[utoipa::path(delete, path = "/api/v1/auth/sessions/{sessionId}", tag = "auth",
    params(("sessionId" = String, Path, description = "As the list names it")),
    responses((status = 204), (status = 401, body = ProblemBody), (status = 404, body = ProblemBody)))]
pub(crate) async fn end_session(State(app): State<Shared>, caller: Caller, Path(id): Path<String>) -> Reply {
    let own = living(&app, &caller).await?;
    let session = own.iter().find(|(session, _)| handle(session.id) == id).ok_or_else(Problem::not_found)?.0.id;
    trail::change(&app, &caller.visit, Act::new(EventType::Login, "auth.session.end", session)).await?;
    app.end_session(session).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Ends all of the caller's sessions but this one.
#[utoipa::path(delete, path = "/api/v1/auth/sessions", tag = "auth",
    responses((status = 204), (status = 401, body = ProblemBody)))]
pub(crate) async fn end_other_sessions(State(app): State<Shared>, caller: Caller) -> Reply {
    let (user, current) = (caller.principal.user, caller.principal.session);
    let others = living(&app, &caller).await?.len().saturating_sub(1);
    let act = Act::new(EventType::Login, "auth.session.end-others", user).details(json!({ "sessions": others }));
    trail::change(&app, &caller.visit, act).await?;
    let ended = app.domain.sessions.revoke_all(user, Some(current)).await.map_err(|error| app.broken(error))?;
    app.refresh(&ended, &[]).await;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// With when each was seen last: the board knows it to the moment, the store to the minute.
async fn living(app: &Shared, caller: &Caller) -> Reply<Vec<(SessionRow, u64)>> {
    let user = caller.principal.user;
    let rows = app.domain.sessions.of_user(user).await.map_err(|error| app.broken(error))?;
    let (now_ms, idle_seconds) = (app.now_ms(), app.config.sessions.idle_seconds);
    let with_use = rows.into_iter().filter_map(|row| {
        let mut seen_ms = row.last_seen_ms.cast_unsigned();
        match app.board.session(row.id.as_u128()) {
            Some(cell) if !lives(&cell, user, now_ms, idle_seconds) => return None,
            Some(cell) if !row.automation => seen_ms = seen_ms.max(cell.last_seen_ms),
            Some(_) => {}
            None if row.automation => {}
            None if now_ms.saturating_sub(seen_ms) >= idle_seconds.saturating_mul(1_000) => return None,
            None => {}
        }
        Some((row, seen_ms))
    });
    Ok(with_use.collect())
}

fn handle(id: Uuid) -> String {
    let mut text = id.simple().to_string();
    text.truncate(HANDLE_DIGITS);
    text
}

const HANDLE_DIGITS: usize = 12;
