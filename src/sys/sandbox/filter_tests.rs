//! The filter, in force: in a forked child where it may kill, in a thread where work must go on.
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};

use super::*;

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Worked,
    Failed(Errno),
    Killed(Signal),
}

const NO_SUCH_CALL: Outcome = Outcome::Failed(Errno::ENOSYS);
const DEAD: Outcome = Outcome::Killed(Signal::SIGSYS);

/// Makes one system call under the filter, in a child that does nothing else.
fn attempt(duties: &[Duty], call: c_long, arguments: [c_long; 6]) -> Outcome {
    // The child has the program of a parent with another pid; only `OwnPid` could tell.
    let programs = Programs::build(duties).unwrap();
    // SAFETY: between fork and exit the child makes system calls on data that is there already.
    match unsafe { fork() }.unwrap() {
        ForkResult::Parent { child } => match waitpid(child, None).unwrap() {
            WaitStatus::Exited(_, 0) => Outcome::Worked,
            WaitStatus::Exited(_, code) => Outcome::Failed(Errno::from_raw(code)),
            WaitStatus::Signaled(_, signal, _) => Outcome::Killed(signal),
            other => panic!("{other:?}"),
        },
        ForkResult::Child => {
            if programs.install(seccompiler::apply_filter).is_err() {
                // SAFETY: ends this child.
                unsafe { libc::_exit(125) }
            }
            let [a, b, c, d, e, f] = arguments;
            // SAFETY: the callers give numbers, null pointers and pointers to static data.
            let failed = unsafe { libc::syscall(call, a, b, c, d, e, f) } < 0;
            // SAFETY: ends this child; an errno fits an exit code.
            unsafe { libc::_exit(if failed { Errno::last_raw() } else { 0 }) }
        }
    }
}

const API: &[Duty] = &[Duty::Accept, Duty::ConnectUnix, Duty::ChooseCpu];
const SCRIBE: &[Duty] = &[Duty::Accept];

fn int(value: libc::c_int) -> c_long {
    c_long::from(value)
}

#[test]
fn what_only_an_intruder_calls_ends_the_process() {
    for call in DEADLY.iter().chain(DEADLY_HERE) {
        assert_eq!(attempt(API, *call, [0; 6]), DEAD, "system call {call}");
    }
}

#[test]
fn no_worker_makes_a_network_socket_and_the_scribe_makes_none() {
    for family in [libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK, libc::AF_PACKET, libc::AF_VSOCK] {
        for duties in [API, SCRIBE] {
            assert_eq!(attempt(duties, libc::SYS_socket, [int(family), int(libc::SOCK_STREAM), 0, 0, 0, 0]), DEAD);
        }
    }
    let unix = [int(libc::AF_UNIX), int(libc::SOCK_STREAM), 0, 0, 0, 0];
    assert_eq!(attempt(API, libc::SYS_socket, unix), Outcome::Worked);
    assert_eq!(attempt(SCRIBE, libc::SYS_socket, unix), NO_SUCH_CALL);
    assert_eq!(attempt(SCRIBE, libc::SYS_connect, [0; 6]), NO_SUCH_CALL);
    for duties in [API, SCRIBE] {
        assert_eq!(attempt(duties, libc::SYS_bind, [0; 6]), NO_SUCH_CALL);
        assert_eq!(attempt(duties, libc::SYS_listen, [0; 6]), NO_SUCH_CALL);
    }
}

#[test]
fn only_who_must_takes_connections() {
    assert_eq!(attempt(SCRIBE, libc::SYS_accept4, [-1, 0, 0, 0, 0, 0]), Outcome::Failed(Errno::EBADF));
    assert_eq!(attempt(&[Duty::ConnectUnix], libc::SYS_accept4, [-1, 0, 0, 0, 0, 0]), NO_SUCH_CALL);
}

#[test]
fn a_connected_socket_does_not_reach_anybody_else() {
    let address = 1; // never read: the filter comes first
    assert_eq!(attempt(API, libc::SYS_sendto, [-1, 0, 0, 0, address, 16]), NO_SUCH_CALL);
    assert_eq!(attempt(API, libc::SYS_sendto, [-1, 0, 0, 0, 0, 0]), Outcome::Failed(Errno::EBADF));
    assert_eq!(attempt(API, libc::SYS_sendmsg, [-1, 0, int(libc::MSG_FASTOPEN), 0, 0, 0]), NO_SUCH_CALL);
}

#[test]
fn the_listeners_group_cannot_be_steered() {
    let attach = [-1, int(libc::SOL_SOCKET), int(libc::SO_ATTACH_REUSEPORT_CBPF), 0, 0, 0];
    assert_eq!(attempt(API, libc::SYS_setsockopt, attach), NO_SUCH_CALL);
    let nodelay = [-1, int(libc::IPPROTO_TCP), int(libc::TCP_NODELAY), 0, 0, 0];
    assert_eq!(attempt(API, libc::SYS_setsockopt, nodelay), Outcome::Failed(Errno::EBADF));
}

#[test]
fn no_memory_becomes_executable() {
    let private = int(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    let map = |protection: libc::c_int| [0, 4_096, int(protection), private, -1, 0];
    assert_eq!(attempt(API, libc::SYS_mmap, map(libc::PROT_READ | libc::PROT_WRITE)), Outcome::Worked);
    assert_eq!(attempt(API, libc::SYS_mmap, map(libc::PROT_READ | libc::PROT_EXEC)), NO_SUCH_CALL);
    assert_eq!(attempt(API, libc::SYS_mprotect, [0, 4_096, int(libc::PROT_EXEC), 0, 0, 0]), NO_SUCH_CALL);
}

#[test]
fn there_are_threads_but_no_processes_and_no_signals_to_others() {
    assert_eq!(attempt(API, libc::SYS_clone, [int(libc::SIGCHLD), 0, 0, 0, 0, 0]), DEAD);
    assert_eq!(attempt(API, libc::SYS_clone, [int(libc::CLONE_NEWUSER), 0, 0, 0, 0, 0]), DEAD);
    assert_eq!(attempt(API, libc::SYS_clone3, [0; 6]), NO_SUCH_CALL);
    assert_eq!(attempt(API, libc::SYS_kill, [1, 0, 0, 0, 0, 0]), NO_SUCH_CALL);
    assert_eq!(attempt(API, libc::SYS_tgkill, [1, 1, 0, 0, 0, 0]), NO_SUCH_CALL);
}

/// The scribe does after a panic, so that half a batch is not continued.
#[test]
fn a_worker_can_still_abort() {
    // SAFETY: the child filters and ends itself; libc keeps its allocator usable in it.
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => {
            let filtered = Programs::build(SCRIBE).is_ok_and(|own| own.install(seccompiler::apply_filter).is_ok());
            // SAFETY: ends this child, one way or the other.
            unsafe { if filtered { libc::abort() } else { libc::_exit(125) } }
        }
        ForkResult::Parent { child } => {
            assert!(matches!(waitpid(child, None).unwrap(), WaitStatus::Signaled(_, Signal::SIGABRT, _)));
        }
    }
}

#[test]
fn limits_can_be_read_and_not_set() {
    static LIMIT: [u64; 2] = [1, 1];
    let new = LIMIT.as_ptr() as c_long;
    assert_eq!(attempt(API, libc::SYS_prlimit64, [0, 0, 0, 0, 0, 0]), Outcome::Worked);
    assert_eq!(attempt(API, libc::SYS_prlimit64, [0, 0, new, 0, 0, 0]), NO_SUCH_CALL);
    assert_eq!(attempt(API, libc::SYS_prctl, [int(libc::PR_SET_DUMPABLE), 1, 0, 0, 0, 0]), NO_SUCH_CALL);
}

/// Everything a worker does all day, on a filtered thread and on the threads it makes.
#[test]
fn ordinary_work_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scribe.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let programs = Programs::build(API).unwrap();
    std::thread::spawn(move || {
        programs.install(seccompiler::apply_filter).unwrap();
        let client = std::thread::spawn(move || {
            let mut stream = UnixStream::connect(path).unwrap();
            stream.write_all(b"record").unwrap();
        });
        let (mut stream, _) = listener.accept().unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        client.join().unwrap();
        assert_eq!(said, "record");

        let file = folder.path().join("file");
        std::fs::write(&file, vec![7; 1 << 20]).unwrap();
        std::fs::rename(&file, folder.path().join("other")).unwrap();
        let opened = std::fs::File::open(folder.path().join("other")).unwrap();
        opened.sync_all().unwrap();
        // SAFETY: nobody else has the file.
        let map = unsafe { memmap2::Mmap::map(&opened) }.unwrap();
        assert!(opened.as_raw_fd() > 2 && map.iter().all(|byte| *byte == 7));
        std::fs::remove_dir_all(folder.path()).unwrap();
        super::super::super::pin_to_cpu(nix::sched::sched_getcpu().unwrap()).unwrap();
    })
    .join()
    .unwrap();
}
