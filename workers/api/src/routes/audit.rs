//! The audit log for auditors: single records with their proofs, and the whole of it in the layout that monitors of
//! transparency logs read. All of it is public to nobody but them: entries tell who did what.
use axum::extract::{Path, State};
use axum::response::Response;
use hotline::audit::{EventType, FollowError};
use hotline::tlog::{Store, StoreError, Tile, TileKind};
use hotline_domain::policy::Permissions;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::{ProblemBody, json};
use crate::app::Shared;
use crate::gate::Caller;
use crate::problem::{Problem, Reply};
use crate::trail::{self, Act};

#[derive(Serialize, ToSchema)]
pub(crate) struct Proven {
    seq: u64,
    /// The record without its details: JSON as text, byte for byte what is proven.
    entry: String,
    /// A C2SP tlog-proof: to be checked with the entry and the log's public key, by anybody.
    proof: String,
}

/// A record by its number, with the proof that it is in the log. A record is there a moment after its act, and until it is
/// disposed of, when its years are over.
#[utoipa::path(get, path = "/api/v1/audit/records/{seq}", tag = "audit", params(("seq" = u64, Path)),
    responses((status = 200, body = Proven), (status = 403, body = ProblemBody), (status = 404, body = ProblemBody),
        (status = 410, body = ProblemBody)))]
pub(crate) async fn record(State(app): State<Shared>, caller: Caller, Path(seq): Path<String>) -> Reply {
    caller.must(Permissions::AUDIT_READ)?;
    let seq: u64 = seq.parse().map_err(|_| Problem::not_found())?;
    let index = seq.checked_sub(1).ok_or_else(Problem::not_found)?;
    let (entry, proof) = from_store(&app, move |store| store.prove(index)).await?.ok_or_else(Problem::not_found)?;
    let entry = String::from_utf8(entry).map_err(|_| Problem::internal())?;
    trail::reading(&app, &caller.visit, Act::new(EventType::DataAccess, "audit.read", seq)).await?;
    Ok(json(StatusCode::OK, &Proven { seq, entry, proof: proof.to_string() }))
}

/// The signed head of the log (C2SP tlog-checkpoint).
#[utoipa::path(get, path = "/api/v1/audit/log/checkpoint", tag = "audit",
    responses((status = 200, body = String, content_type = "text/plain"), (status = 403, body = ProblemBody), (status = 404, body = ProblemBody)))]
pub(crate) async fn checkpoint(State(app): State<Shared>, caller: Caller) -> Reply {
    caller.must(Permissions::AUDIT_READ)?;
    let note = from_store(&app, |store| store.checkpoint()).await?.ok_or_else(Problem::not_found)?;
    Ok(answer(note.into_bytes(), "text/plain; charset=utf-8"))
}

/// A tile or a bundle of entries, by the name it has in the layout (C2SP tlog-tiles). Of records that are disposed of
/// there are no bundles any more.
pub(crate) async fn tile(State(app): State<Shared>, caller: Caller, Path(name): Path<String>) -> Reply {
    caller.must(Permissions::AUDIT_READ)?;
    let tile = Tile::parse(&format!("tile/{name}")).ok_or_else(Problem::not_found)?;
    let bytes = from_store(&app, move |store| match store.read(&tile) {
        Err(StoreError::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    });
    let bytes = bytes.await?.ok_or_else(Problem::not_found)?;
    if tile.kind == TileKind::Entries {
        trail::reading(&app, &caller.visit, Act::new(EventType::DataAccess, "audit.list", tile)).await?;
    }
    let mut response = answer(bytes, "application/octet-stream");
    // It never changes, and is still for this caller alone.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("private, max-age=31536000, immutable"));
    Ok(response)
}

/// Files are read beside the request runtime.
pub(super) async fn from_store<T: Send + 'static, E: Into<FollowError> + Send + 'static>(
    app: &Shared,
    read: impl FnOnce(&Store) -> Result<T, E> + Send + 'static,
) -> Reply<T> {
    let store = Store::new(app.config.paths.tlog_dir());
    let read = tokio::task::spawn_blocking(move || read(&store)).await.map_err(|_| Problem::internal())?;
    read.map_err(|error| match error.into() {
        FollowError::Store(StoreError::Pruned(pruned)) => Problem::disposed(&pruned.since),
        error => {
            tracing::error!(%error, "could not read the published audit log");
            Problem::internal()
        }
    })
}

fn answer(bytes: Vec<u8>, content_type: &'static str) -> Response {
    let mut response = Response::new(bytes.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
