//! Which system calls a worker makes: what all of them need, and what a duty needs beyond that.
//!
//! The lists follow what the workers were seen to do (start, calls, drain, crashes), with the calls beside
//! those that the C library may choose instead. A call whose arguments decide is listed with its tests.
use nix::libc::{self, c_long};

/// A reason for a worker to need more than the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// Takes connections from the listener it was born with.
    Accept,
    /// Connects to the scribe, which is a Unix socket.
    ConnectUnix,
    /// Moves itself to its CPU.
    ChooseCpu,
    /// Lowers the priority of its own threads.
    YieldToOthers,
}

/// A call, and the tests of its arguments. No test: always.
pub(super) type Call = (c_long, &'static [Test]);

/// A test of one argument.
#[derive(Clone, Copy)]
pub(super) struct Test {
    pub(super) argument: u8,
    pub(super) is: Is,
}

/// What the argument must be.
#[derive(Clone, Copy)]
pub(super) enum Is {
    /// An `int` of this value.
    Int(libc::c_int),
    /// An `int` of any other value.
    NotInt(libc::c_int),
    /// All these bits are set.
    With(libc::c_int),
    /// None of these bits is set.
    Without(libc::c_int),
    /// A null pointer.
    Null,
    /// This process.
    OwnPid,
}

const fn test(argument: u8, is: Is) -> Test {
    Test { argument, is }
}

impl Duty {
    pub(super) fn calls(self) -> &'static [Call] {
        const ACCEPT: &[Call] = &[(libc::SYS_accept4, &[])];
        const CONNECT: &[Call] = &[(libc::SYS_socket, &[test(0, Is::Int(libc::AF_UNIX))]), (libc::SYS_connect, &[])];
        const CPU: &[Call] = &[(libc::SYS_sched_setaffinity, &[test(0, Is::Int(0))])];
        const YIELD: &[Call] =
            &[(libc::SYS_setpriority, &[test(0, Is::Int(libc::PRIO_PROCESS.cast_signed())), test(1, Is::Int(0))])];
        match self {
            Self::Accept => ACCEPT,
            Self::ConnectUnix => CONNECT,
            Self::ChooseCpu => CPU,
            Self::YieldToOthers => YIELD,
        }
    }
}

/// What every worker may call, whatever the arguments.
pub(super) const ALWAYS: &[c_long] = &[
    // Memory; what could make it executable is among the tested ones.
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_mincore,
    libc::SYS_mremap,
    libc::SYS_msync,
    libc::SYS_munmap,
    // Threads.
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_get_robust_list,
    libc::SYS_getcpu,
    libc::SYS_gettid,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_sigaltstack,
    // Time and chance.
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_getrandom,
    libc::SYS_gettimeofday,
    libc::SYS_nanosleep,
    // Who and where am I.
    libc::SYS_getcwd,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getrusage,
    libc::SYS_getuid,
    libc::SYS_sysinfo,
    libc::SYS_umask,
    libc::SYS_uname,
    // Files: which ones is the folder rules' business.
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_faccessat,
    libc::SYS_fadvise64,
    libc::SYS_fallocate,
    libc::SYS_fchmod,
    libc::SYS_fchown,
    libc::SYS_fcntl,
    libc::SYS_fdatasync,
    libc::SYS_flock,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_getdents64,
    libc::SYS_lseek,
    libc::SYS_mkdirat,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_read,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_statfs,
    libc::SYS_statx,
    libc::SYS_sync_file_range,
    libc::SYS_unlinkat,
    libc::SYS_write,
    libc::SYS_writev,
    // Waiting.
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_eventfd2,
    libc::SYS_pipe2,
    libc::SYS_ppoll,
    // Sockets that are there already.
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_shutdown,
];

/// Older names of the same, which newer architectures do not have.
#[cfg(target_arch = "x86_64")]
pub(super) const ALWAYS_HERE: &[c_long] = &[
    libc::SYS_access,
    libc::SYS_dup2,
    libc::SYS_epoll_wait,
    libc::SYS_lstat,
    libc::SYS_mkdir,
    libc::SYS_open,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_rename,
    libc::SYS_rmdir,
    libc::SYS_stat,
    libc::SYS_time,
    libc::SYS_unlink,
];
#[cfg(not(target_arch = "x86_64"))]
pub(super) const ALWAYS_HERE: &[c_long] = &[];

/// What every worker may call if the arguments are right. Several rows of a call: any of them.
pub(super) const IF_RIGHT: &[Call] = &[
    // No memory is ever executable that was not when the program was loaded.
    (libc::SYS_mmap, &[test(2, Is::Without(libc::PROT_EXEC))]),
    (libc::SYS_mprotect, &[test(2, Is::Without(libc::PROT_EXEC))]),
    // Threads, not processes. `clone3` hides its flags in memory, so it does not exist here: libc then
    // takes `clone`.
    (libc::SYS_clone, &[test(0, Is::With(libc::CLONE_THREAD))]),
    (libc::SYS_tgkill, &[test(0, Is::OwnPid)]),
    (libc::SYS_prctl, &[test(0, Is::Int(libc::PR_SET_NAME))]),
    (libc::SYS_prctl, &[test(0, Is::Int(libc::PR_GET_NO_NEW_PRIVS))]),
    (libc::SYS_prctl, &[test(0, Is::Int(libc::PR_GET_SECCOMP))]),
    // Asking, not setting.
    (libc::SYS_prlimit64, &[test(0, Is::Int(0)), test(2, Is::Null)]),
    (libc::SYS_ioctl, &[test(1, Is::Int(FIONBIO))]),
    (libc::SYS_ioctl, &[test(1, Is::Int(FIOCLEX))]),
    (libc::SYS_socketpair, &[test(0, Is::Int(libc::AF_UNIX))]),
    // To who is connected: an address, or a "fast open", would reach others.
    (libc::SYS_sendto, &[test(4, Is::Null)]),
    (libc::SYS_sendmsg, &[test(2, Is::Without(libc::MSG_FASTOPEN))]),
    // Not those that would attach a program to the listeners' group and take all callers.
    (libc::SYS_setsockopt, &[test(1, Is::Int(libc::SOL_SOCKET)), test(2, Is::Int(libc::SO_RCVTIMEO))]),
    (libc::SYS_setsockopt, &[test(1, Is::Int(libc::SOL_SOCKET)), test(2, Is::Int(libc::SO_SNDTIMEO))]),
    (libc::SYS_setsockopt, &[test(1, Is::Int(libc::IPPROTO_TCP)), test(2, Is::Int(libc::TCP_NODELAY))]),
];

/// Nothing a worker does leads here by mistake: who tries is taken over, and the process ends with SIGSYS.
pub(super) const DEADLY: &[c_long] = &[
    // Another program, another process's memory.
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    libc::SYS_process_madvise,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    // Other identities and namespaces.
    libc::SYS_capset,
    libc::SYS_chroot,
    libc::SYS_personality,
    libc::SYS_setfsgid,
    libc::SYS_setfsuid,
    libc::SYS_setgid,
    libc::SYS_setgroups,
    libc::SYS_setns,
    libc::SYS_setregid,
    libc::SYS_setresgid,
    libc::SYS_setresuid,
    libc::SYS_setreuid,
    libc::SYS_setuid,
    libc::SYS_unshare,
    // The tree of files itself.
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_mknodat,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_pivot_root,
    libc::SYS_quotactl,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_umount2,
    // The kernel, and its parts that break most often.
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_adjtimex,
    libc::SYS_bpf,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_perf_event_open,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_settimeofday,
    libc::SYS_syslog,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
];

/// The same where the architecture has them.
#[cfg(target_arch = "x86_64")]
pub(super) const DEADLY_HERE: &[c_long] = &[
    libc::SYS_fork,
    libc::SYS_ioperm,
    libc::SYS_iopl,
    libc::SYS_kexec_file_load,
    libc::SYS_mknod,
    libc::SYS_modify_ldt,
    libc::SYS_vfork,
];
#[cfg(not(target_arch = "x86_64"))]
pub(super) const DEADLY_HERE: &[c_long] = &[];

/// Deadly with these arguments: a network of one's own, a process of one's own.
pub(super) const DEADLY_IF: &[Call] = &[
    (libc::SYS_socket, &[test(0, Is::NotInt(libc::AF_UNIX))]),
    (libc::SYS_clone, &[test(0, Is::Without(libc::CLONE_THREAD))]),
];

// The requests fit an `int`; libc gives them the width of the call's prototype, which differs.
const FIONBIO: libc::c_int = libc::FIONBIO as libc::c_int;
const FIOCLEX: libc::c_int = libc::FIOCLEX as libc::c_int;
