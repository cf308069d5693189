//! Takes connections from the inherited listener until the worker drains.
//!
//! There is no bind code here: the listener belongs to the supervisor, outlives this process, and its
//! queue is served by a successor.
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::Connection;
use super::registry::Place;
use super::serve::serve;
use crate::app::Shared;

/// Runs until the worker is told to drain. `armed` is called when the first accept is under way.
pub(crate) async fn accept_until_drained(
    app: Shared,
    listener: OwnedFd,
    tls: rustls::ServerConfig,
    armed: impl FnOnce(),
) -> io::Result<()> {
    let listener = std::net::TcpListener::from(listener);
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    armed();
    loop {
        tokio::select! {
            biased;
            () = app.drain.ordered() => return Ok(()),
            (socket, place) = next(&app, &listener) => {
                tokio::spawn(serve(Arc::clone(&app), acceptor.clone(), socket, place));
            }
        }
    }
}

/// The next connection, once there is room for it.
async fn next(app: &Shared, listener: &TcpListener) -> (TcpStream, Place) {
    loop {
        if app.connections.count() >= app.config.limits.connections_max as usize {
            app.meters.refused("connections");
            // Whoever is idle goes first; if nobody is, the queue of the listener is where to wait.
            app.connections.evict_idle();
            tokio::select! {
                () = app.connections.until_one_leaves() => {}
                () = tokio::time::sleep(BREATH) => {}
            }
            continue;
        }
        match listener.accept().await {
            Ok((socket, peer)) => {
                // Answers are whole when they are written; waiting for more to send would only delay them.
                let _ = socket.set_nodelay(true);
                app.meters.accepts.increment(1);
                let connection = Connection::new(peer.ip(), app.coarse_ms());
                return (socket, app.connections.enter(connection));
            }
            Err(error) => {
                // Out of descriptors, or the peer was gone already: neither is a reason to stop.
                tracing::warn!(%error, "could not accept");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}

const BREATH: Duration = Duration::from_millis(50);
