//! Descriptors that outlive a process: given to the service manager for keeping, and taken back by the next life.
//!
//! The manager speaks the protocol of `sd_notify(3)` and `sd_listen_fds(3)`: descriptors travel over its socket
//! with a name, and come back at fixed numbers, named in the environment.
use std::env;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};
use socket2::SockRef;

use super::spawn::inherited;

/// Takes what the environment says was entrusted to this process, with the names. To be called once, before this
/// process opens anything of its own.
pub fn entrusted() -> Vec<(String, OwnedFd)> {
    let read = |name: &str| env::var(name).ok();
    let count = count_for(std::process::id(), read("LISTEN_PID").as_deref(), read("LISTEN_FDS").as_deref());
    let names = read("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':').map(str::to_owned);
    let numbers = FIRST..FIRST + count;
    numbers
        .filter_map(|number| {
            let name = names.next().unwrap_or_default();
            Some((name, inherited(number).ok()?))
        })
        .collect()
}

/// Variables meant for this process alone.
pub fn is_about_entrusted(variable: &str) -> bool {
    ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"].contains(&variable)
}

/// How many there are, if they are for the process with this pid.
fn count_for(own_pid: u32, pid: Option<&str>, count: Option<&str>) -> RawFd {
    let is_ours = pid.and_then(|pid| pid.parse().ok()) == Some(own_pid);
    let count = count.and_then(|count| count.parse().ok()).filter(|count| (0..=COUNT_MAX).contains(count));
    if is_ours { count.unwrap_or(0) } else { 0 }
}

/// Sends a text with descriptors to a datagram socket.
pub fn send_with(address: &SocketAddr, text: &str, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    let address = match (address.as_pathname(), address.as_abstract_name()) {
        (Some(path), _) => UnixAddr::new(path)?,
        (None, Some(name)) => UnixAddr::new_abstract(name)?,
        (None, None) => return Err(io::ErrorKind::InvalidInput.into()),
    };
    let numbers: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&numbers)];
    let rights = if numbers.is_empty() { &[][..] } else { &rights[..] };
    sendmsg(socket.as_raw_fd(), &[IoSlice::new(text.as_bytes())], rights, MsgFlags::MSG_NOSIGNAL, Some(&address))?;
    Ok(())
}

/// Where a TCP listener listens; nothing if it is not one, or if it does not share its port.
pub fn shared_listener_address(fd: &impl AsFd) -> Option<std::net::SocketAddr> {
    let socket = SockRef::from(fd);
    let is_one = socket.is_listener().ok()? && socket.reuse_port().ok()?;
    socket.local_addr().ok()?.as_socket().filter(|_| is_one)
}

/// The path of a Unix listener.
pub fn unix_listener_path(fd: &impl AsFd) -> Option<std::path::PathBuf> {
    let socket = SockRef::from(fd);
    let address = socket.local_addr().ok()?;
    address.as_pathname().filter(|_| socket.is_listener().unwrap_or(false)).map(std::path::Path::to_owned)
}

/// As the poll loop and the workers need it, whoever made it.
pub fn set_nonblocking(fd: &impl AsFd) -> io::Result<()> {
    SockRef::from(fd).set_nonblocking(true)
}

/// `SD_LISTEN_FDS_START`.
const FIRST: RawFd = 3;
/// More than any unit of ours keeps.
const COUNT_MAX: RawFd = 4_096;

#[cfg(test)]
mod tests {
    use super::super::{listen_tcp_reuseport, listen_unix, reserve_port};
    use super::*;

    #[test]
    fn only_what_is_for_this_process_is_taken() {
        assert_eq!(count_for(7, Some("7"), Some("3")), 3);
        for (pid, count) in [(Some("8"), Some("3")), (None, Some("3")), (Some("7"), None), (Some("x"), Some("3"))] {
            assert_eq!(count_for(7, pid, count), 0, "{pid:?} {count:?}");
        }
        for count in ["-1", "99999999999", "many", "4097"] {
            assert_eq!(count_for(7, Some("7"), Some(count)), 0, "{count}");
        }
    }

    #[test]
    fn a_listener_is_known_by_what_it_is() {
        let (reserved, address) = reserve_port("127.0.0.1:0".parse().unwrap()).unwrap();
        let (listener, _) = listen_tcp_reuseport(address, 8).unwrap();
        assert_eq!(shared_listener_address(&listener), Some(address));
        assert_eq!(shared_listener_address(&reserved), None, "bound and not listening");
        let lonely = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(shared_listener_address(&lonely), None, "nobody else could join its port");
        assert_eq!(shared_listener_address(&std::fs::File::open("/dev/null").unwrap()), None);

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        assert_eq!(unix_listener_path(&listen_unix(&path).unwrap()), Some(path));
        assert_eq!(unix_listener_path(&listener), None);
    }

    #[test]
    fn a_descriptor_arrives_with_its_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let (ours, _theirs) = super::super::pair().unwrap();
        send_with(&SocketAddr::from_pathname(&path).unwrap(), "FDSTORE=1\nFDNAME=x", &[ours.as_fd()]).unwrap();
        send_with(&SocketAddr::from_pathname(&path).unwrap(), "READY=1", &[]).unwrap();
        let mut buffer = [0; 64];
        let read = manager.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..read], b"FDSTORE=1\nFDNAME=x");
        let read = manager.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..read], b"READY=1");
    }
}
