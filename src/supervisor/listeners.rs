//! Binds what the workers listen on.
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use hotline::config::Config;
use hotline::sys;
use hotline::sys::sandbox::Account;

use super::StartError;
use super::inheritance::Inheritance;

/// One SO_REUSEPORT listener for each API slot, all on one port: inherited with the callers in its queue, or
/// bound. Port 0 takes any.
pub(super) fn bind_api(
    config: &Config,
    inheritance: &mut Inheritance,
) -> Result<(Vec<OwnedFd>, SocketAddr), StartError> {
    let slots = 0..config.workers.api;
    let mut wanted = config.server.bind;
    let mut inherited: Vec<Option<OwnedFd>> = Vec::new();
    for slot in slots.clone() {
        let found = inheritance.api_listener(slot, wanted);
        // Port 0 is whatever port the first one has.
        wanted = found.as_ref().map_or(wanted, |(_, address)| *address);
        inherited.push(found.map(|(listener, _)| listener));
    }
    if inherited.iter().any(Option::is_some) {
        let count = inherited.iter().flatten().count();
        tracing::info!(count, address = %wanted, "took over listeners with whoever waits at them");
    }
    let (reserved, address) = match wanted {
        any if any.port() == 0 => {
            let what = format!("{any} (server.bind)");
            let (reserved, address) = sys::reserve_port(any).map_err(|source| StartError::Bind { what, source })?;
            (Some(reserved), address)
        }
        fixed => (None, fixed),
    };
    let mut listeners = Vec::new();
    for (slot, inherited) in slots.zip(inherited) {
        if let Some(listener) = inherited {
            listeners.push(listener);
            continue;
        }
        let (listener, _) = sys::listen_tcp_reuseport(address, BACKLOG).map_err(|source| StartError::Bind {
            what: format!("listener {slot} on {address} (server.bind)"),
            source,
        })?;
        listeners.push(listener);
    }
    drop(reserved);
    Ok((listeners, address))
}

/// The scribe's Unix listener: records queue here while a scribe is being replaced.
pub(super) fn bind_scribe(
    config: &Config,
    account: Option<&Account>,
    inheritance: &mut Inheritance,
) -> Result<OwnedFd, StartError> {
    let path = config.paths.run_dir.join("scribe.sock");
    if let Some(listener) = inheritance.scribe_listener(&path, account.is_some()) {
        return Ok(listener);
    }
    let listener =
        sys::listen_unix(&path).map_err(|source| StartError::Bind { what: path.display().to_string(), source })?;
    Ok(listener.into())
}

/// Connections that may wait while a slot's worker is replaced; the kernel caps it at `somaxconn`.
const BACKLOG: i32 = 4_096;
