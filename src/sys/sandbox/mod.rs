//! What a worker gives up before it reads its first foreign byte, so that whoever takes it over gets little.
//!
//! Each part is safe to apply by itself; which parts a role gets is `worker::confinement`'s business. What
//! is in force is read back from the kernel, not remembered.
mod account;
mod calls;
mod filter;
mod folders;

use nix::libc;

pub(in crate::sys) use account::keep_capabilities_from_exec;
pub use account::{Account, account_named, may_assume_accounts};
pub use calls::Duty;
pub use filter::{FilterError, filter_calls};
pub use folders::{Folders, FoldersError, keep_to_folders};

/// Whether this process can never again gain privileges by executing something.
pub fn has_no_new_privileges() -> bool {
    nix::sys::prctl::get_no_new_privs().unwrap_or(false)
}

/// Whether a system call filter is in force.
pub fn has_filtered_calls() -> bool {
    // SAFETY: asks for a number; takes no pointers.
    (unsafe { libc::prctl(libc::PR_GET_SECCOMP, 0, 0, 0, 0) }) == libc::SECCOMP_MODE_FILTER.cast_signed()
}
