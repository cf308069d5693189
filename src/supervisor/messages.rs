//! What workers say, and what is done about it.
use std::time::{Duration, Instant};

use hotline::lifecycle::{Event, Generation, clock};
use hotline::telemetry::names;
use hotline::wire::{AdminCall, AdminReply, Confinement, FromWorker, LiveEvent, Role, ToWorker, WIRE_VERSION, Welcome};

use super::Supervisor;
use super::link::LinkError;
use super::protocol::{Ask, Told};

impl Supervisor {
    /// The worker's control socket is ready.
    pub(super) fn hear(&mut self, index: usize, of: Generation, now: Instant) {
        let name = self.slots[index].name();
        let Some(process) = self.slots[index].process(of) else { return };
        // What cannot be written is no reason not to read: a worker that leaves may have said why.
        let _ = process.link.flush();
        let heard = process.link.receive(now);
        let messages = match heard {
            Ok(messages) => messages,
            // The worker is leaving; its pidfd tells the better story.
            Err(LinkError::Io(_)) => return process.link.close(),
            Err(error) => {
                process.link.close();
                if process.pidfd.is_running() {
                    tracing::error!(slot = name, %error, "a worker broke the protocol");
                    self.feed(index, Event::Violated { of });
                }
                return;
            }
        };
        for message in messages {
            self.on_message(index, of, message, now);
        }
    }

    fn on_message(&mut self, index: usize, of: Generation, message: FromWorker, now: Instant) {
        let name = self.slots[index].name();
        match message {
            FromWorker::Hello { wire_version, build_id, role, pid: _ } => {
                self.on_hello(index, of, wire_version, &build_id, role);
            }
            FromWorker::UnwrapKey { class } => {
                let versions = self.keys.data.of(class);
                self.tell(index, of, &ToWorker::Key { class, versions });
            }
            FromWorker::Ready(confinement) => {
                self.note(index, confinement);
                let started = self.slots[index].process(of).map_or(now, |process| process.started);
                let start_ms = now.saturating_duration_since(started).as_millis();
                tracing::info!(slot = name, generation = of, start_ms, "worker serves");
                self.feed(index, Event::Ready { of });
            }
            FromWorker::Metrics { scrape_id, snapshot } => {
                self.merged.update(&name, of, snapshot);
                let cell = self.slots[index].process(of).map(|process| process.slot.cell);
                if let Some(cell) = cell.filter(|_| self.page.scrape.as_ref().is_some_and(|s| s.id == scrape_id)) {
                    self.no_longer_owed(cell);
                }
            }
            FromWorker::Publish(event) => self.forward((index, of), &event),
            FromWorker::AdminReply { request_id, reply } => self.on_reply(request_id, reply),
            FromWorker::DutyDone { request_id, outcome } => self.on_duty_done((index, of), request_id, outcome, now),
            FromWorker::LogKeeping(keeping) => self.log_keeping = Some(keeping),
            FromWorker::CertificateReloaded { refused } => self.on_certificate(index, of, refused),
            FromWorker::CannotStart { reason } => {
                if let Some(process) = self.slots[index].process(of) {
                    process.complaint = Some(reason);
                }
            }
            FromWorker::Drained => tracing::debug!(slot = name, generation = of, "drained"),
        }
    }

    /// Tells what holds the workers of a role, once and whenever it changes.
    fn note(&mut self, index: usize, confinement: Confinement) {
        let role = self.slots[index].role;
        let is_known = self.slots.iter().any(|slot| slot.role == role && slot.confinement == Some(confinement));
        self.slots[index].confinement = Some(confinement);
        if !is_known {
            let Confinement { uid, no_new_privileges, calls_filtered, landlock_abi } = confinement;
            tracing::info!(
                role = role.name(),
                uid,
                no_new_privileges,
                calls_filtered,
                landlock_abi,
                "what holds the workers of this role"
            );
        }
    }

    fn on_hello(&mut self, index: usize, of: Generation, wire_version: u16, build_id: &str, role: Role) {
        let slot = &mut self.slots[index];
        // While one build follows another, each worker says what it was started as.
        let expected = slot.process(of).map_or_else(String::new, |process| process.plan.programs().build_id.clone());
        if wire_version != WIRE_VERSION || build_id != expected || role != slot.role {
            tracing::error!(
                slot = slot.name(),
                wire_version,
                build_id,
                expected,
                "the worker beside this supervisor is of another build: install or build all executables together"
            );
            self.feed(index, Event::Foreign { of });
            return;
        }
        let has_predecessor = slot.processes.len() > 1 || self.cells.have_orphans();
        let Some(process) = slot.process(of) else { return };
        let welcome = Welcome {
            slot: process.slot,
            generation: of,
            boot_id: self.boot_id,
            listeners: process.listeners,
            has_predecessor,
            config: process.plan.config.clone(),
        };
        self.tell(index, of, &ToWorker::Welcome(Box::new(welcome)));
        self.tell_ticket_keys(index, of);
    }

    pub(super) fn tell(&mut self, index: usize, of: Generation, message: &ToWorker) {
        if let Some(process) = self.slots[index].process(of)
            && !process.link.send(message)
        {
            self.feed(index, Event::Violated { of });
        }
    }

    /// To every other API worker; a worker that does not read misses events, nobody waits for it.
    fn forward(&mut self, from: (usize, Generation), event: &LiveEvent) {
        if event.payload.len() > LIVE_PAYLOAD_BYTES_MAX {
            metrics::counter!(names::LIVE_EVENTS_DROPPED).increment(1);
            return;
        }
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if slot.role != Role::Api {
                continue;
            }
            let Some(process) = slot.server().filter(|process| (index, process.generation) != from) else { continue };
            let sent = process.link.send(&ToWorker::Live(event.clone()));
            if !sent {
                metrics::counter!(names::LIVE_EVENTS_DROPPED).increment(1);
            }
        }
    }

    /// A command from the admin socket.
    pub(super) fn command(&mut self, visitor: u64, uid: u32, ask: Ask, now: Instant) {
        let name = match &ask {
            Ask::Status => "status",
            Ask::Token { .. } => "token",
            Ask::Policy { .. } => "policy",
            Ask::User { .. } => "user",
            Ask::Subject { .. } => "subject",
            Ask::Acknowledge { .. } => "acknowledge",
            Ask::Log { .. } => "log",
            Ask::Stop => "stop",
            Ask::Reload => "reload",
            Ask::Upgrade => "upgrade",
            Ask::Keys { .. } => "keys",
        };
        metrics::counter!(names::ADMIN_REQUESTS, "command" => name, "outcome" => "taken").increment(1);
        match ask {
            Ask::Status => {
                let status = Told::Status(self.status(now));
                self.admin.reply(visitor, &status);
            }
            Ask::Stop => {
                tracing::info!(uid, "told to stop");
                self.admin.reply(visitor, &Told::Stopping);
                self.stop();
            }
            Ask::Reload => {
                tracing::info!(uid, "told to reload");
                self.admin.wait_longer(visitor, now);
                self.reload(Some(visitor));
            }
            Ask::Upgrade => {
                tracing::info!(uid, "told to upgrade");
                self.admin.wait_longer(visitor, now);
                self.upgrade(Some(visitor));
            }
            Ask::Keys { ask } => self.keys_asked(visitor, uid, ask, now),
            Ask::Token { user, ttl_seconds } => {
                self.forward_command(visitor, AdminCall::MintToken { user, ttl_seconds, requested_by_uid: uid }, now);
            }
            Ask::User { act } => {
                self.forward_command(visitor, AdminCall::People { act, requested_by_uid: uid }, now);
            }
            Ask::Policy { ask } => {
                self.forward_command(visitor, AdminCall::Policy { ask, requested_by_uid: uid }, now);
            }
            Ask::Subject { act } => {
                self.forward_command(visitor, AdminCall::Subjects { act, requested_by_uid: uid }, now);
            }
            Ask::Acknowledge { seq, note } => {
                self.forward_command(visitor, AdminCall::Acknowledge { seq, note, requested_by_uid: uid }, now);
            }
            Ask::Log { act } => {
                self.forward_command(visitor, AdminCall::Log { act, requested_by_uid: uid }, now);
            }
        }
    }

    /// Hands the command to any worker that serves and can do it.
    fn forward_command(&mut self, visitor: u64, call: AdminCall, now: Instant) {
        // No worker that speaks with the public has a say in what becomes of the log.
        let role = if matches!(call, AdminCall::Log { .. }) { Role::Scribe } else { Role::Api };
        let mut able = self.slots.iter_mut().filter(|slot| slot.role == role);
        let process = able.find_map(|slot| slot.server());
        let sent = process.is_some_and(|p| p.link.send(&ToWorker::Admin { request_id: visitor, call }));
        if sent {
            self.admin.forwarded.insert(visitor, now);
        } else {
            let reason = format!("no {} worker is serving; try again", role.name());
            self.admin.reply(visitor, &Told::Refused { reason });
        }
    }

    fn on_reply(&mut self, visitor: u64, reply: AdminReply) {
        let told = match reply {
            AdminReply::Token { token, expires_at_ms } => {
                Told::Token { token, expires_at: clock::rfc3339(expires_at_ms) }
            }
            AdminReply::Policy(told) => Told::Policy { told },
            AdminReply::People(users) => Told::Users { users },
            AdminReply::Person { name, one_time_password } => Told::User { name, one_time_password },
            AdminReply::Done { what } => Told::Changed { what },
            AdminReply::Refused { reason } => Told::Refused { reason },
        };
        self.admin.reply(visitor, &told);
    }

    pub(super) fn late_commands(&mut self, now: Instant) {
        let late = |since: &Instant| now.saturating_duration_since(*since) >= COMMAND_WITHIN;
        let over: Vec<u64> = self.admin.forwarded.iter().filter(|(_, s)| late(s)).map(|(id, _)| *id).collect();
        for visitor in over {
            let reason = "the worker did not answer in time".to_owned();
            self.admin.reply(visitor, &Told::Refused { reason });
        }
    }
}

const LIVE_PAYLOAD_BYTES_MAX: usize = 1_024;
const COMMAND_WITHIN: Duration = Duration::from_secs(10);
