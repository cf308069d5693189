//! Which alerts are open, and what is to be sent when: no clock, no network and no files in here.
//!
//! An alert is a record of the audit log that is severe enough, with all that are like it and came soon after. It stays
//! open until a record says that somebody has acknowledged it; until then it is sent again, and after a while to more
//! people. It tells what kind of thing happened and which record says so, and nothing of anybody.
use std::collections::BTreeMap;

use hotline::audit::{EventType, Outcome, Record, Severity};
use hotline::config::Alerts;
use serde::{Deserialize, Serialize};

/// What has been read and what is open; it is kept on disk as it is.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Ledger {
    /// The last record that was looked at.
    pub(super) seq: u64,
    /// By the number of the first record.
    pub(super) open: BTreeMap<u64, Alert>,
    /// Alerts that found no place; they are counted in the newest one.
    pub(super) overflow: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Alert {
    pub(super) event_id: String,
    pub(super) event_type: EventType,
    pub(super) severity: Severity,
    pub(super) action: String,
    pub(super) outcome: Outcome,
    pub(super) timestamp: String,
    /// This record and those like it.
    pub(super) records: u64,
    pub(super) last_seq: u64,
    /// When it was first seen here.
    seen_at_ms: i64,
    sent: BTreeMap<Way, Sent>,
}

/// How somebody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Way {
    Webhook,
    Mail,
    WebhookEscalation,
    MailEscalation,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Sent {
    /// How often it has arrived.
    times: u32,
    /// Tries since then that have failed.
    failures: u32,
    due_at_ms: i64,
}

/// When and to whom, as the settings say.
pub(super) struct Terms {
    severity_min: Severity,
    group_ms: i64,
    repeat_ms: i64,
    escalate_ms: i64,
    ways: Vec<Way>,
}

impl Terms {
    pub(super) fn of(config: &Alerts) -> Self {
        let ways = [
            (Way::Webhook, !config.webhook_url.is_empty()),
            (Way::Mail, !config.mail_server.is_empty()),
            (Way::WebhookEscalation, !config.webhook_escalation_url.is_empty()),
            (Way::MailEscalation, !config.mail_server.is_empty() && !config.mail_escalation_to.is_empty()),
        ];
        Self {
            severity_min: config.severity_min,
            group_ms: ms(config.group_seconds),
            repeat_ms: ms(config.repeat_seconds),
            escalate_ms: ms(config.escalate_seconds),
            ways: ways.into_iter().filter(|(_, is_there)| *is_there).map(|(way, _)| way).collect(),
        }
    }
}

impl Ledger {
    /// Looks at the next record.
    pub(super) fn take(&mut self, record: &Record, terms: &Terms, now_ms: i64) {
        self.seq = record.seq;
        if record.action == ACKNOWLEDGE {
            if record.outcome == Outcome::Allowed
                && let Ok(seq) = record.subject.parse()
            {
                self.acknowledge(seq);
            }
            return;
        }
        if record.severity < terms.severity_min {
            return;
        }
        let is_alike = |alert: &&mut Alert| {
            alert.action == record.action
                && alert.outcome == record.outcome
                && now_ms - alert.seen_at_ms < terms.group_ms
        };
        if let Some(alert) = self.open.values_mut().rev().find(is_alike) {
            alert.records += 1;
            alert.last_seq = record.seq;
        } else if self.open.len() >= OPEN_MAX {
            self.overflow += 1;
        } else {
            self.open.insert(record.seq, Alert::of(record, now_ms));
        }
    }

    /// Any of an alert's records stands for it.
    fn acknowledge(&mut self, seq: u64) {
        let found = self.open.range(..=seq).next_back().map(|(first, alert)| (*first, alert.last_seq));
        if let Some((first, _)) = found.filter(|(_, last)| seq <= *last) {
            self.open.remove(&first);
        }
        if self.open.is_empty() {
            self.overflow = 0;
        }
    }

    /// What is to be sent now, the longest due first.
    pub(super) fn due(&self, terms: &Terms, now_ms: i64) -> Vec<(u64, Way)> {
        let mut due: Vec<(i64, u64, Way)> = Vec::new();
        for (seq, alert) in &self.open {
            for way in &terms.ways {
                let from_ms = if way.is_escalation() { alert.seen_at_ms + terms.escalate_ms } else { alert.seen_at_ms };
                let due_at_ms = alert.sent.get(way).map_or(from_ms, |sent| sent.due_at_ms);
                if due_at_ms <= now_ms {
                    due.push((due_at_ms, *seq, *way));
                }
            }
        }
        due.sort_unstable();
        due.into_iter().map(|(_, seq, way)| (seq, way)).collect()
    }

    /// It arrived, or did not.
    pub(super) fn tried(&mut self, seq: u64, way: Way, has_arrived: bool, terms: &Terms, now_ms: i64) {
        let Some(alert) = self.open.get_mut(&seq) else { return };
        let sent = alert.sent.entry(way).or_default();
        if has_arrived {
            *sent = Sent { times: sent.times + 1, failures: 0, due_at_ms: now_ms + terms.repeat_ms };
        } else {
            let wait_ms = RETRY_MS.checked_shl(sent.failures).unwrap_or(i64::MAX).min(RETRY_MS_MAX);
            sent.failures += 1;
            sent.due_at_ms = now_ms + wait_ms;
        }
    }
}

impl Alert {
    fn of(record: &Record, now_ms: i64) -> Self {
        Self {
            event_id: record.event_id.clone(),
            event_type: record.event_type,
            severity: record.severity,
            action: record.action.clone(),
            outcome: record.outcome,
            timestamp: record.timestamp.clone(),
            records: 1,
            last_seq: record.seq,
            seen_at_ms: now_ms,
            sent: BTreeMap::new(),
        }
    }

    /// How often it has been sent that way.
    pub(super) fn times(&self, way: Way) -> u32 {
        self.sent.get(&way).map_or(0, |sent| sent.times)
    }

    /// The sum over all ways, and whether one of them fails now.
    pub(super) fn fate(&self) -> (u32, bool) {
        (self.sent.values().map(|sent| sent.times).sum(), self.sent.values().any(|sent| sent.failures > 0))
    }
}

impl Way {
    pub(super) fn is_escalation(self) -> bool {
        matches!(self, Self::WebhookEscalation | Self::MailEscalation)
    }
}

fn ms(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX / 1_000) * 1_000
}

/// The record that closes an alert.
const ACKNOWLEDGE: &str = "alert.acknowledge";
/// Nobody works through more at once; those beyond are counted.
const OPEN_MAX: usize = 1_000;
const RETRY_MS: i64 = 1_000;
const RETRY_MS_MAX: i64 = 300_000;

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
