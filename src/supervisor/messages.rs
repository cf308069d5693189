//! What workers say, and what is done about it.
use std::time::{Duration, Instant};

use hotline::lifecycle::{Event, clock};
use hotline::telemetry::names;
use hotline::wire::{
    AdminCall, AdminReply, BUILD_ID, Confinement, FromWorker, LiveEvent, Role, ToWorker, WIRE_VERSION, Welcome,
};

use super::Supervisor;
use super::link::LinkError;
use super::protocol::{Ask, Told};

impl Supervisor {
    /// The worker's control socket is ready.
    pub(super) fn hear(&mut self, index: usize, now: Instant) {
        let Some(process) = &mut self.slots[index].process else { return };
        let heard = process.link.flush().map_err(Into::into).and_then(|()| process.link.receive(now));
        let messages = match heard {
            Ok(messages) => messages,
            // The worker is leaving; its pidfd tells the better story.
            Err(LinkError::Io(_)) => return process.link.close(),
            Err(error) => {
                process.link.close();
                if process.pidfd.is_running() {
                    tracing::error!(slot = %self.slots[index].slot, %error, "a worker broke the protocol");
                    self.feed(index, Event::Violated);
                }
                return;
            }
        };
        for message in messages {
            self.on_message(index, message, now);
        }
    }

    fn on_message(&mut self, index: usize, message: FromWorker, now: Instant) {
        match message {
            FromWorker::Hello { wire_version, build_id, role, pid: _ } => {
                self.on_hello(index, wire_version, &build_id, role);
            }
            FromWorker::UnwrapKey { class } => match self.keyring.unwrap(class) {
                Ok(versions) => self.tell(index, &ToWorker::Key { class, versions }),
                Err(error) => {
                    tracing::error!(?class, %error, "could not unwrap a data key");
                    self.feed(index, Event::Violated);
                }
            },
            FromWorker::Ready(confinement) => {
                self.note(index, confinement);
                let slot = &self.slots[index];
                let start_ms =
                    slot.process.as_ref().map_or(0, |p| now.saturating_duration_since(p.started).as_millis());
                tracing::info!(slot = %slot.slot, start_ms, "worker serves");
                self.feed(index, Event::Ready);
            }
            FromWorker::Metrics { scrape_id, snapshot } => {
                let slot = self.slots[index].slot;
                self.merged.update(&slot.to_string(), snapshot);
                if self.page.scrape.as_ref().is_some_and(|scrape| scrape.id == scrape_id) {
                    self.no_longer_owed(slot.cell);
                }
            }
            FromWorker::Publish(event) => self.forward(index, &event),
            FromWorker::AdminReply { request_id, reply } => self.on_reply(request_id, reply),
            FromWorker::Drained => tracing::debug!(slot = %self.slots[index].slot, "drained"),
        }
    }

    /// Tells what holds the workers of a role, once and whenever it changes.
    fn note(&mut self, index: usize, confinement: Confinement) {
        let role = self.slots[index].slot.role;
        let is_known = self.slots.iter().any(|slot| slot.slot.role == role && slot.confinement == Some(confinement));
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

    fn on_hello(&mut self, index: usize, wire_version: u16, build_id: &str, role: Role) {
        let slot = self.slots[index].slot;
        if wire_version != WIRE_VERSION || build_id != BUILD_ID || role != slot.role {
            tracing::error!(%slot, wire_version, build_id, expected = BUILD_ID,
                "the worker beside this supervisor is of another build: install or build all executables together");
            self.feed(index, Event::Foreign);
            return;
        }
        let welcome = Welcome {
            slot,
            generation: self.slots[index].generation,
            boot_id: self.boot_id,
            config: self.config.clone(),
        };
        self.tell(index, &ToWorker::Welcome(Box::new(welcome)));
    }

    fn tell(&mut self, index: usize, message: &ToWorker) {
        if let Some(process) = &mut self.slots[index].process
            && !process.link.send(message)
        {
            self.feed(index, Event::Violated);
        }
    }

    /// To every other API worker; a worker that does not read misses events, nobody waits for it.
    fn forward(&mut self, from: usize, event: &LiveEvent) {
        if event.payload.len() > LIVE_PAYLOAD_BYTES_MAX {
            metrics::counter!(names::LIVE_EVENTS_DROPPED).increment(1);
            return;
        }
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if index == from || slot.slot.role != Role::Api || !slot.life.is_serving() {
                continue;
            }
            let sent = slot.process.as_mut().is_some_and(|p| p.link.send(&ToWorker::Live(event.clone())));
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
            Ask::Stop => "stop",
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
            Ask::Token { user, ttl_seconds } => {
                self.forward_command(visitor, AdminCall::MintToken { user, ttl_seconds, requested_by_uid: uid }, now);
            }
        }
    }

    /// Hands the command to any API worker that serves.
    fn forward_command(&mut self, visitor: u64, call: AdminCall, now: Instant) {
        let api = |slot: &&mut super::SlotState| slot.slot.role == Role::Api && slot.life.is_serving();
        let process = self.slots.iter_mut().find(api).and_then(|slot| slot.process.as_mut());
        let sent = process.is_some_and(|p| p.link.send(&ToWorker::Admin { request_id: visitor, call }));
        if sent {
            self.admin.forwarded.insert(visitor, now);
        } else {
            let reason = "no API worker is serving; try again".to_owned();
            self.admin.reply(visitor, &Told::Refused { reason });
        }
    }

    fn on_reply(&mut self, visitor: u64, reply: AdminReply) {
        let told = match reply {
            AdminReply::Token { token, expires_at_ms } => {
                Told::Token { token, expires_at: clock::rfc3339(expires_at_ms) }
            }
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
