//! The admin socket: who may come in, and what becomes of a command.
use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use hotline::sys;
use hotline::telemetry::names;
use nix::unistd::{Gid, Group, Uid, User, chown};

use super::door::{VISITORS_MAX, Visit, Visitor};
use super::protocol::{Ask, Told};

/// The listener and everybody inside.
pub(super) struct AdminDoor {
    pub(super) listener: UnixListener,
    pub(super) visitors: Vec<(Visitor<UnixStream>, u32)>,
    next_id: u64,
    /// Workers that have an account of their own have no command to give.
    workers_uid: Option<u32>,
    /// Visitors whose command a worker is answering.
    pub(super) forwarded: HashMap<u64, Instant>,
}

impl AdminDoor {
    pub(super) fn open(path: &Path, workers_uid: Option<u32>) -> io::Result<Self> {
        let listener = sys::listen_unix(path)?;
        if let Err(error) = let_group_in(path) {
            tracing::warn!(%error, group = GROUP, "could not open the admin socket to its group");
        }
        Ok(Self::with(listener, workers_uid))
    }

    fn with(listener: UnixListener, workers_uid: Option<u32>) -> Self {
        Self { listener, visitors: Vec::new(), next_id: 1, workers_uid, forwarded: HashMap::new() }
    }

    /// The door of an earlier image of the supervisor, with whoever waits for the outcome inside.
    pub(super) fn resume(
        listener: OwnedFd,
        workers_uid: Option<u32>,
        asker: Option<(OwnedFd, u32)>,
        now: Instant,
    ) -> io::Result<Self> {
        let listener = UnixListener::from(listener);
        listener.set_nonblocking(true)?;
        let mut door = Self::with(listener, workers_uid);
        if let Some((fd, uid)) = asker {
            let stream = UnixStream::from(fd);
            stream.set_nonblocking(true)?;
            door.visitors.push((Visitor::new(door.next_id, stream, now), uid));
            door.wait_longer(door.next_id, now);
            door.next_id += 1;
        }
        Ok(door)
    }

    /// The only visitor, or nobody, is this one.
    pub(super) fn has_nobody_but(&self, asker: Option<u64>) -> bool {
        self.forwarded.is_empty() && self.visitors.iter().all(|(visitor, _)| Some(visitor.id) == asker)
    }

    /// Lets in whoever waits, unless the kernel says that they may not.
    pub(super) fn accept(&mut self, now: Instant) {
        while self.visitors.len() < VISITORS_MAX {
            let Ok((stream, _)) = self.listener.accept() else { return };
            let Ok(uid) = sys::peer_uid(&stream) else { continue };
            if self.workers_uid == Some(uid) || !may_enter(uid) {
                tracing::warn!(uid, "refused at the admin socket");
                metrics::counter!(names::ADMIN_REQUESTS, "command" => "connect", "outcome" => "denied").increment(1);
                continue;
            }
            if stream.set_nonblocking(true).is_ok() {
                self.visitors.push((Visitor::new(self.next_id, stream, now), uid));
                self.next_id += 1;
            }
        }
    }

    /// Reads and writes; tells the commands that are complete.
    pub(super) fn turn(&mut self, ready: &[u64], now: Instant) -> Vec<(u64, u32, Ask)> {
        let mut asked = Vec::new();
        self.visitors.retain_mut(|(visitor, uid)| {
            if !ready.contains(&visitor.id) {
                return !visitor.is_late(now);
            }
            match visitor.turn(b"\n") {
                Visit::Goes => true,
                Visit::Over => false,
                Visit::Asked(line) => match serde_json::from_slice(&line) {
                    Ok(ask) => {
                        asked.push((visitor.id, *uid, ask));
                        true
                    }
                    Err(error) => {
                        let reason = format!("not a command: {error}");
                        visitor.reply(line_of(&Told::Refused { reason })) == Visit::Goes
                    }
                },
            }
        });
        asked
    }

    /// What this visitor asked for takes as long as workers may take.
    pub(super) fn wait_longer(&mut self, id: u64, now: Instant) {
        if let Some((visitor, _)) = self.visitors.iter_mut().find(|(visitor, _)| visitor.id == id) {
            visitor.wait_until(now + CHANGE_WITHIN);
        }
    }

    pub(super) fn reply(&mut self, id: u64, told: &Told) {
        self.forwarded.remove(&id);
        self.visitors.retain_mut(|(visitor, _)| visitor.id != id || visitor.reply(line_of(told)) == Visit::Goes);
    }
}

/// Where the group exists, its members may pass through the folder to this socket, and do nothing else in it.
fn let_group_in(path: &Path) -> io::Result<()> {
    let Ok(Some(group)) = Group::from_name(GROUP) else { return Ok(()) };
    for (path, mode) in [(path.parent().unwrap_or(path), 0o710), (path, 0o660)] {
        // Under systemd it is right already, and the sandbox has no chown.
        if fs::metadata(path)?.gid() != group.gid.as_raw() {
            chown(path, None, Some(group.gid))?;
        }
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// Root, the user this runs as, and members of the group `hotline`.
fn may_enter(uid: u32) -> bool {
    if uid == 0 || Uid::from_raw(uid) == nix::unistd::geteuid() {
        return true;
    }
    let Ok(Some(group)) = Group::from_name(GROUP) else { return false };
    let Ok(Some(user)) = User::from_uid(Uid::from_raw(uid)) else { return false };
    user.gid == Gid::from_raw(group.gid.as_raw()) || group.mem.contains(&user.name)
}

fn line_of(told: &Told) -> Vec<u8> {
    let mut line = serde_json::to_vec(told).unwrap_or_else(|_| b"{}".to_vec());
    line.push(b'\n');
    line
}

/// A change waits for every slot in turn; each may take its whole patience.
const CHANGE_WITHIN: Duration = Duration::from_secs(3_600);
/// Its members may give commands.
const GROUP: &str = "hotline";

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    /// Sends one line and drives the door until it is answered or taken as a command.
    fn say(line: &str) -> (Vec<Ask>, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let mut door = AdminDoor::open(&path, None).unwrap();
        let now = Instant::now();
        let mut client = UnixStream::connect(&path).unwrap();
        client.write_all(line.as_bytes()).unwrap();
        let client = std::thread::spawn(move || {
            let mut answer = String::new();
            client.read_to_string(&mut answer).map(|_| answer).unwrap_or_default()
        });
        let mut asked = Vec::new();
        while !client.is_finished() {
            door.accept(now);
            let everybody: Vec<u64> = door.visitors.iter().map(|(visitor, _)| visitor.id).collect();
            for (id, uid, ask) in door.turn(&everybody, now) {
                assert_eq!(uid, nix::unistd::geteuid().as_raw());
                asked.push(ask);
                door.reply(id, &Told::Stopping);
            }
        }
        (asked, client.join().unwrap())
    }

    #[test]
    fn a_command_is_one_line_with_nothing_unknown_in_it() {
        let (asked, answer) = say("{\"command\":\"token\",\"user\":\"ana\",\"ttlSeconds\":60}\n");
        assert!(matches!(&asked[..], [Ask::Token { user, ttl_seconds: 60 }] if user == "ana"));
        assert_eq!(answer, "{\"answer\":\"stopping\"}\n");
        for bad in [
            "status\n",
            "{\"command\":\"reboot\"}\n",
            "{\"command\":\"token\",\"user\":\"a\",\"ttlSeconds\":1,\"x\":2}\n",
        ] {
            let (asked, answer) = say(bad);
            assert!(asked.is_empty() && answer.starts_with("{\"answer\":\"refused\""), "{bad} {answer}");
        }
    }

    #[test]
    fn root_and_our_own_user_may_enter_and_a_stranger_may_not() {
        assert!(may_enter(0) && may_enter(nix::unistd::geteuid().as_raw()));
        assert!(!may_enter(3_999_999_999));
    }
}
