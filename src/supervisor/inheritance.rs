//! What an earlier life of the supervisor left behind, or systemd made for us: listeners with callers in their
//! queues, and the board. Whatever fits the settings is taken over; the rest is closed, and said.
//!
//! The service manager keeps these descriptors while nobody runs (`FDSTORE=1`), so a killed supervisor costs its
//! callers a moment and nothing else: nobody is refused while the next one starts.
use std::fs;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use hotline::board::Board;
use hotline::sys;
use nix::unistd::geteuid;

use super::notify::Notify;

/// Descriptors by the names they were entrusted under.
pub(super) struct Inheritance {
    fds: Vec<(String, OwnedFd)>,
    /// Taken and found to be of no use.
    unfit: Vec<(String, OwnedFd)>,
}

impl Inheritance {
    /// Takes what was entrusted to this process; to be called before anything is opened.
    pub(super) fn take() -> Self {
        Self { fds: sys::entrusted(), unfit: Vec::new() }
    }

    /// The next descriptor of this name.
    fn next(&mut self, name: &str) -> Option<OwnedFd> {
        let at = self.fds.iter().position(|(of, _)| of == name)?;
        Some(self.fds.remove(at).1)
    }

    /// The listener of this slot, if it listens where the settings say; port 0 is content with any.
    pub(super) fn api_listener(&mut self, slot: u16, wanted: SocketAddr) -> Option<(OwnedFd, SocketAddr)> {
        let name = slot_name(slot);
        let fd = self.next(&name)?;
        match sys::shared_listener_address(&fd) {
            Some(address) if fits(address, wanted) && sys::set_nonblocking(&fd).is_ok() => Some((fd, address)),
            found => {
                let found = found.map_or_else(|| "not a listener that shares its port".to_owned(), |a| a.to_string());
                tracing::warn!(slot, found, %wanted, "an inherited listener does not fit server.bind; binding another");
                self.unfit.push((name, fd));
                None
            }
        }
    }

    /// The scribe's listener, if its path still leads to it and `may_be_given` to the workers' account: workers that
    /// had an account of their own before own it still.
    pub(super) fn scribe_listener(&mut self, path: &Path, may_be_given: bool) -> Option<OwnedFd> {
        let fd = self.next(SCRIBE)?;
        let is_ours = fs::metadata(path).is_ok_and(|meta| may_be_given || meta.uid() == geteuid().as_raw());
        let fits = sys::unix_listener_path(&fd).is_some_and(|at| at == path) && is_ours;
        if fits && sys::set_nonblocking(&fd).is_ok() {
            return Some(fd);
        }
        self.unfit.push((SCRIBE.to_owned(), fd));
        None
    }

    /// The board, if it has our layout. Sessions, budgets and generations go on; the boot is a new one.
    pub(super) fn board(&mut self, boot_id: u64) -> Option<(Board, OwnedFd)> {
        let fd = self.next(BOARD)?;
        let adopted = fd.try_clone().map_err(|error| error.to_string());
        match adopted.and_then(|copy| Board::adopt(copy, boot_id).map_err(|error| error.to_string())) {
            Ok(board) => Some((board, fd)),
            Err(reason) => {
                tracing::warn!(reason, "the inherited board is not one of ours; beginning with an empty one");
                self.unfit.push((BOARD.to_owned(), fd));
                None
            }
        }
    }

    /// Closes what nobody took, here and at the service manager's: callers must not wait where nobody comes.
    pub(super) fn give_up_rest(self, notify: &Notify) {
        for (name, _fd) in self.fds.iter().chain(&self.unfit) {
            notify.forget(name);
        }
    }
}

/// Entrusts what the next life will need to the service manager.
pub(super) fn entrust(notify: &Notify, listeners: &[OwnedFd], scribe: &OwnedFd, board: &OwnedFd) {
    for (slot, listener) in (0..).zip(listeners) {
        notify.keep(&slot_name(slot), listener.as_fd());
    }
    notify.keep(SCRIBE, scribe.as_fd());
    notify.keep(BOARD, board.as_fd());
}

fn slot_name(slot: u16) -> String {
    format!("slot-{slot}")
}

fn fits(address: SocketAddr, wanted: SocketAddr) -> bool {
    address.ip() == wanted.ip() && (wanted.port() == 0 || address.port() == wanted.port())
}

const SCRIBE: &str = "scribe";
const BOARD: &str = "board";
