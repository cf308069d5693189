//! Binds what the workers listen on.
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use hotline::config::Config;
use hotline::sys;

use super::StartError;

/// One SO_REUSEPORT listener for each API slot, all on one port. Port 0 takes any.
pub(super) fn bind_api(config: &Config) -> Result<(Vec<OwnedFd>, SocketAddr), StartError> {
    let (reserved, address) = match config.server.bind {
        any if any.port() == 0 => {
            let what = format!("{any} (server.bind)");
            let (reserved, address) = sys::reserve_port(any).map_err(|source| StartError::Bind { what, source })?;
            (Some(reserved), address)
        }
        fixed => (None, fixed),
    };
    let mut listeners = Vec::new();
    for slot in 0..config.workers.api {
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
pub(super) fn bind_scribe(config: &Config) -> Result<OwnedFd, StartError> {
    let path = config.paths.run_dir.join("scribe.sock");
    let listener =
        sys::listen_unix(&path).map_err(|source| StartError::Bind { what: path.display().to_string(), source })?;
    Ok(listener.into())
}

/// Connections that may wait while a slot's worker is replaced; the kernel caps it at `somaxconn`.
const BACKLOG: i32 = 4_096;
