//! Takes connections from inherited listeners until the worker drains.
//!
//! There is no bind code here: a listener belongs to the supervisor, outlives this process, and its
//! queue is served by a successor.
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

use super::Connection;
use super::registry::Place;
use super::serve::serve;
use crate::app::Shared;
use crate::tls::Identity;

/// Where connections may come in: every slot's listener, and those this worker is to accept on now. Mostly
/// its own; a sibling's, too, while nobody else would.
pub(crate) struct Doors {
    pub(crate) listeners: Vec<OwnedFd>,
    pub(crate) listens_to: watch::Receiver<Vec<u16>>,
    pub(crate) tls: Arc<Identity>,
}

/// Runs until the worker is told to drain. `armed` is called when the first accept is under way.
pub(crate) async fn accept_until_drained(app: Shared, mut doors: Doors, armed: impl FnOnce()) -> io::Result<()> {
    let mut open: HashMap<u16, AbortHandle> = HashMap::new();
    let mut armed = Some(armed);
    loop {
        let wanted = doors.listens_to.borrow_and_update().clone();
        open.retain(|slot, accepting| {
            let stays = wanted.contains(slot);
            if !stays {
                accepting.abort();
            }
            stays
        });
        for slot in wanted {
            if let Entry::Vacant(closed) = open.entry(slot) {
                let listener = doors.listener(slot)?;
                let accepting = tokio::spawn(accept(Arc::clone(&app), listener, Arc::clone(&doors.tls)));
                closed.insert(accepting.abort_handle());
            }
        }
        if let Some(armed) = armed.take() {
            // Whoever is told that this worker serves may stop serving: the accept must wait in the kernel by then.
            tokio::task::yield_now().await;
            armed();
        }
        tokio::select! {
            biased;
            () = app.drain.ordered() => break,
            changed = doors.listens_to.changed() => if changed.is_err() { app.drain.ordered().await; break },
        }
    }
    open.values().for_each(AbortHandle::abort);
    Ok(())
}

impl Doors {
    fn listener(&self, slot: u16) -> io::Result<TcpListener> {
        let missing = || io::Error::new(io::ErrorKind::NotFound, format!("no listener for slot {slot}"));
        let listener = self.listeners.get(usize::from(slot)).ok_or_else(missing)?.try_clone()?;
        let listener = std::net::TcpListener::from(listener);
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    }
}

/// Until aborted, which can only happen while it waits: a connection that was taken is served.
async fn accept(app: Shared, listener: TcpListener, tls: Arc<Identity>) {
    loop {
        let (socket, place) = next(&app, &listener).await;
        let acceptor = TlsAcceptor::from(tls.current());
        tokio::spawn(serve(Arc::clone(&app), acceptor, socket, place));
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
