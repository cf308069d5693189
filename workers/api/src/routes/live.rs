//! The way onto a live connection.
use axum::extract::ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection};
use axum::extract::{Query, State};
use hotline::audit::EventType;
use hotline::config::Budget;
use hotline_domain::policy::Permissions;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{ProblemBody, json};
use crate::app::Shared;
use crate::gate::{self, Caller, Claims, Payer, Principal, Purpose, Visit};
use crate::live;
use crate::problem::{Problem, Reply};
use crate::trail::{self, Act};

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Ticket {
    /// For `/ws?ticket=…`; works once.
    ticket: String,
    expires_in_seconds: u64,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Admission {
    /// From `POST /api/v1/live/ticket`, for clients that can send neither cookie nor header.
    ticket: Option<String>,
}

/// A pass for one live connection within half a minute.
#[utoipa::path(post, path = "/api/v1/live/ticket", tag = "live",
    responses((status = 200, body = Ticket), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody)))]
pub(crate) async fn ticket(State(app): State<Shared>, caller: Caller) -> Reply {
    caller.must(Permissions::LIVE_SUBSCRIBE)?;
    let now_s = app.now_ms() / 1_000;
    let claims = Claims {
        user: caller.principal.user,
        session: caller.principal.session,
        serial: Uuid::new_v4(),
        expires_at_s: now_s + TICKET_SECONDS,
    };
    let ticket = app.tokens.sign(Purpose::LiveTicket, &claims, now_s).ok_or_else(Problem::internal)?;
    Ok(json(StatusCode::OK, &Ticket { ticket, expires_in_seconds: TICKET_SECONDS }))
}

/// Events as they happen. The first message is `{"type":"connected","timestamp":…}`.
#[utoipa::path(get, path = "/ws", tag = "live", params(Admission),
    responses((status = 101, description = "A WebSocket"), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody)))]
pub(crate) async fn connect(
    State(app): State<Shared>,
    visit: Visit,
    Query(admission): Query<Admission>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Reply {
    let principal = match (visit.principal, &admission.ticket) {
        (Some(principal), _) => principal,
        (None, Some(ticket)) => redeem(&app, ticket).await?,
        (None, None) => return Err(Problem::unauthorized(r#"Bearer realm="hotline""#)),
    };
    if !principal.may(Permissions::LIVE_SUBSCRIBE) {
        return Err(Problem::forbidden());
    }
    let upgrade = upgrade.map_err(|_| {
        Problem::new(StatusCode::UPGRADE_REQUIRED, "upgrade-required", "Upgrade required")
            .header(http::header::UPGRADE, http::HeaderValue::from_static("websocket"))
    })?;
    if app.hub.sockets() >= app.config.limits.websockets_max as usize {
        app.meters.refused("websockets");
        return Err(Problem::unavailable("too-many-listeners", "Too many live connections are open."));
    }
    let visit = Visit { principal: Some(principal), ..visit };
    trail::reading(&app, &visit, Act::new(EventType::Access, "live.connect", principal.session)).await?;

    let bytes_max = usize::try_from(app.config.limits.websocket_message_bytes_max).unwrap_or(usize::MAX);
    visit.connection.upgrade();
    let id = visit.id;
    Ok(upgrade
        .max_message_size(bytes_max)
        .max_frame_size(bytes_max)
        .max_write_buffer_size(WRITE_BUFFER_BYTES_MAX)
        .on_upgrade(move |socket| live::converse(app, socket, principal, id)))
}

/// A ticket's session, if it is the ticket's first use.
async fn redeem(app: &Shared, ticket: &str) -> Reply<Principal> {
    let refused = || Problem::unauthorized(r#"Bearer realm="hotline", error="invalid_token""#);
    let claims = app.tokens.verify(Purpose::LiveTicket, ticket, app.now_ms() / 1_000).map_err(|_| refused())?;
    // A budget of one, on the board: no other worker takes it a second time either.
    if !app.charge(Payer::Ticket(claims.serial.as_u128()), ONCE).allowed() {
        return Err(refused());
    }
    gate::principal(app, claims.user, claims.session).await
}

const TICKET_SECONDS: u64 = 30;
/// Longer than a ticket lives, so a ticket that was used stays used.
const ONCE: Budget = Budget { requests: 1, window_seconds: 60 };
const WRITE_BUFFER_BYTES_MAX: usize = 512 * 1024;
