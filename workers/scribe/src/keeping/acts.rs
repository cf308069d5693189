//! What operators do about the keeping of the log. Each act is on record before it is answered, or is refused.
use std::time::Instant;

use hotline::audit::standing::{HOLD, RELEASE, TRUST_CLOCK};
use hotline::audit::{Event, Severity};
use hotline::lifecycle::clock;
use hotline::wire::LogAct;

use super::{Keeper, count, now_ms};
use crate::desk::{Desk, own_event};

impl Desk<'_> {
    pub(super) fn asked(&mut self, keeper: &mut Keeper, request_id: u64, act: LogAct, uid: u32) {
        let actor = format!("uid:{uid}");
        match act {
            LogAct::Hold { reason } => {
                let said = self.hold(&reason, &actor);
                keeper.reply(request_id, "hold", said);
            }
            LogAct::Release { hold, reason } => {
                let said = self.release(hold, &reason, &actor);
                // What was kept by it alone may be due.
                if said.is_ok() && self.writer.standing().holds.is_empty() {
                    keeper.next_look = Instant::now();
                }
                keeper.reply(request_id, "release", said);
            }
            LogAct::Dispose { today } => match self.trust(&today, &actor) {
                Ok(()) => {
                    keeper.next_look = Instant::now();
                    keeper.waiting.push((request_id, Instant::now()));
                    keeper.actor = actor;
                }
                Err(reason) => keeper.reply(request_id, "dispose", Err::<String, _>(reason)),
            },
        }
    }

    fn hold(&mut self, reason: &str, actor: &str) -> Result<String, String> {
        let details = details(reason)?;
        if self.writer.standing().holds.len() >= HOLDS_MAX {
            return Err(format!("there are {HOLDS_MAX} holds on the log already; one more keeps nothing more"));
        }
        let event = Event { actor: actor.to_owned(), severity: Severity::High, ..own_event(HOLD, details) };
        let seq = self.record_now(event).map_err(|error| error.to_string())?;
        let first = self.writer.standing().disposed_seq() + 1;
        Ok(format!("hold {seq} stands: nothing is disposed of from here on; the log begins with record {first}"))
    }

    fn release(&mut self, hold: Option<u64>, reason: &str, actor: &str) -> Result<String, String> {
        let details = details(reason)?;
        let holds = &self.writer.standing().holds;
        let hold = match (hold, &holds[..]) {
            (_, []) => return Err("there is no hold on the log".to_owned()),
            (None, [only]) => only.clone(),
            (Some(seq), _) if holds.iter().any(|hold| hold.seq == seq) => {
                holds.iter().find(|hold| hold.seq == seq).cloned().ok_or("there is no such hold")?
            }
            _ => {
                let all: Vec<String> = holds.iter().map(|hold| hold.seq.to_string()).collect();
                return Err(format!("say which with --hold; there are {}", all.join(", ")));
            }
        };
        let event = Event { actor: actor.to_owned(), severity: Severity::High, ..own_event(RELEASE, details) };
        self.record_now(Event { subject: hold.subject(), ..event }).map_err(|error| error.to_string())?;
        let left = self.writer.standing().holds.len();
        Ok(format!("hold {} is released; {} left", hold.seq, count(left, "hold")))
    }

    /// Somebody vouches for the clock, if they name the day that it shows.
    fn trust(&mut self, today: &str, actor: &str) -> Result<(), String> {
        let now_ms = now_ms();
        let shown = clock::rfc3339(now_ms);
        let shown = shown.get(..10).unwrap_or_default();
        if shown != today {
            return Err(format!("the clock of this machine says that it is {shown} (UTC), not {today}"));
        }
        match self.impediment(now_ms) {
            None => Ok(()),
            Some(("clock", _)) => {
                let details = serde_json::json!({ "today": today }).to_string();
                let event =
                    Event { actor: actor.to_owned(), severity: Severity::High, ..own_event(TRUST_CLOCK, details) };
                self.record_now(event).map_err(|error| error.to_string())?;
                self.writer.trust_clock(now_ms);
                self.writer.checkpoint().map_err(|error| error.to_string())
            }
            Some((_, reason)) => Err(format!("nothing is disposed of: {reason}")),
        }
    }
}

/// A reason is sealed with the record. Without one nobody could tell later why it was done.
fn details(reason: &str) -> Result<String, String> {
    let reason = reason.trim();
    if reason.is_empty() || reason.len() > REASON_BYTES_MAX {
        return Err(format!("a reason is needed, of at most {REASON_BYTES_MAX} bytes"));
    }
    Ok(serde_json::json!({ "reason": reason }).to_string())
}

const REASON_BYTES_MAX: usize = 1_000;
/// Far more than there are matters that touch the log at once.
const HOLDS_MAX: usize = 64;
