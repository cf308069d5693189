//! What the standard library does not offer, behind safe functions over `OwnedFd` and `BorrowedFd`.
//!
//! A raw descriptor number never leaves this room, but for the fixed ones a worker is born with.
mod entrusted;
mod limits;
mod net;
mod ofd_lock;
mod process;
mod reexec;
pub mod sandbox;
mod spawn;
mod words;

pub use entrusted::{
    entrusted, is_about_entrusted, send_with, set_nonblocking, shared_listener_address, unix_listener_path,
};
pub use limits::{
    bound_threads, close_to_strangers, keep_files_private, lock_file, pin_to_cpu, raise_open_files, run_nicely,
};
pub use net::{listen_tcp_reuseport, listen_unix, pair, peer_uid, reserve_port};
pub use ofd_lock::{OfdGuard, OfdLock};
pub use process::{Ended, Pidfd, Signal, Signals, reap_stranger, set_name};
pub use reexec::{Berth, become_program, from_memory, in_memory};
pub use spawn::{BOARD_FD, CONTROL_FD, LISTENER_FD, Program, Spawned, inherited, is_socket, spawn, spawn_with};
pub use words::SharedWords;
