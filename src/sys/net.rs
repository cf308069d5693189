//! Sockets as the supervisor makes them: close-on-exec, non-blocking where it polls.
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, getsockopt, socketpair, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

/// Two connected stream sockets.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)?)
}

/// Some free port of this address, held until the socket is dropped, for listeners that share it.
pub fn reserve_port(address: SocketAddr) -> io::Result<(OwnedFd, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    let bound = socket.local_addr()?.as_socket().ok_or_else(|| io::Error::other("not an IP address"))?;
    Ok((socket.into(), bound))
}

/// A listener that shares its port with others of this user. The kernel spreads connections over them.
pub fn listen_tcp_reuseport(address: SocketAddr, backlog: i32) -> io::Result<(OwnedFd, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    // Accepted sockets inherit it, which saves a system call for each connection.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    let bound = socket.local_addr()?.as_socket().ok_or_else(|| io::Error::other("not an IP address"))?;
    Ok((socket.into(), bound))
}

/// A Unix listener for this user only. What an earlier supervisor left at the path is replaced; the
/// caller holds the state folder's lock, so nobody else can be using it.
pub fn listen_unix(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Who is at the other end of a Unix socket, as the kernel knows it.
pub fn peer_uid(socket: &impl AsFd) -> io::Result<u32> {
    Ok(getsockopt(socket, sockopt::PeerCredentials)?.uid())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream};

    fn accepted(listener: &TcpListener) -> usize {
        std::iter::from_fn(|| match listener.accept() {
            Ok((stream, _)) => Some(stream),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                None
            }
        })
        .count()
    }

    #[test]
    fn connections_are_spread_over_the_listeners_of_a_port() {
        let (reserved, address) = reserve_port("127.0.0.1:0".parse().unwrap()).unwrap();
        let [one, other] = [0, 1].map(|_| TcpListener::from(listen_tcp_reuseport(address, 256).unwrap().0));
        drop(reserved);
        let clients = (0..64).map(|_| TcpStream::connect(address).unwrap()).collect::<Vec<_>>();
        let (one, other) = (accepted(&one), accepted(&other));
        assert_eq!(one + other, clients.len());
        // 64 connections all to one of two sockets: once in 2^63 runs.
        assert!(one > 0 && other > 0, "{one} and {other}");
    }

    #[test]
    fn a_path_that_was_left_behind_is_replaced_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        drop(listen_unix(&path).unwrap());
        let _listener = listen_unix(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let client = std::os::unix::net::UnixStream::connect(&path).unwrap();
        assert_eq!(peer_uid(&client).unwrap(), nix::unistd::geteuid().as_raw());
    }
}
