//! The data keys at hand, and when the key over them is due for a new version.
//!
//! They are opened once, at start, and kept: a worker that is started later waits for no token.
use std::time::{Duration, Instant};

use hotline::config::Config;
use hotline::lifecycle::clock;
use hotline::sys::Program;
use hotline::telemetry::names;
use hotline::vault::{DataKeys, Listing};

use super::StartError;
use super::errand::{Act, Done, Errand, Failed, Request};
use super::handover::KeysRecord;

/// What workers are started with.
pub(super) struct KeyHolder {
    pub(super) data: DataKeys,
    /// The keyring without its keys.
    pub(super) listing: Listing,
    patience: Patience,
}

impl KeyHolder {
    /// Opens the keyring, and makes what is missing of it. A token is only ever spoken to by a child.
    pub(super) fn open(config: &Config, own: &Program, now: Instant) -> Result<Self, StartError> {
        let request = Request::new(Act::Open, config);
        let opened = if config.keys.pkcs11_module.is_some() {
            Errand::start(own, &request, now)?.wait()
        } else {
            request.perform()
        };
        let Done { keys, listing, .. } =
            opened.map_err(|Failed { reason, may_pass }| StartError::Keys { reason, may_pass })?;
        if let Some(kek) = listing.active_kek() {
            tracing::info!(kek = kek.id, provider = kek.provider.name(), "opened the keys");
        }
        Ok(Self { data: keys, listing, patience: Patience::new(now) })
    }

    /// As an earlier image of the supervisor had them.
    pub(super) fn resume(record: &KeysRecord, now: Instant) -> Self {
        let KeysRecord { data, listing } = record.clone();
        Self { data, listing, patience: Patience::new(now) }
    }

    pub(super) fn record(&self) -> KeysRecord {
        KeysRecord { data: self.data.clone(), listing: self.listing.clone() }
    }

    /// After an errand that went well.
    pub(super) fn take(&mut self, done: Done, now: Instant) -> String {
        (self.data, self.listing) = (done.keys, done.listing);
        self.patience = Patience::new(now);
        done.what
    }

    pub(super) fn failed(&mut self, now: Instant) {
        self.patience.failed(now);
    }

    /// Whether the clock wants a new key over the keys, and the last attempt is long enough ago.
    pub(super) fn kek_is_due(&self, rotation_seconds: u64, now: Instant) -> bool {
        self.patience.allows(now) && self.listing.kek_is_due(rotation_seconds, clock::now_ms())
    }

    /// For the page of metrics.
    pub(super) fn tell_age(&self) {
        if let Some(kek) = self.listing.active_kek() {
            let age_ms = clock::now_ms().saturating_sub(kek.made_at_ms);
            metrics::gauge!(names::KEK_AGE_SECONDS).set(age_ms as f64 / 1_000.0);
        }
    }
}

/// How long to leave alone what has failed: a token that is away is not asked every 100 ms.
struct Patience {
    not_before: Instant,
    pause: Duration,
}

impl Patience {
    fn new(now: Instant) -> Self {
        Self { not_before: now, pause: PAUSE_FIRST }
    }

    fn failed(&mut self, now: Instant) {
        self.not_before = now + self.pause;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }

    fn allows(&self, now: Instant) -> bool {
        now >= self.not_before
    }
}

const PAUSE_FIRST: Duration = Duration::from_secs(10);
const PAUSE_MAX: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_have_an_end() {
        let mut now = Instant::now();
        let mut patience = Patience::new(now);
        assert!(patience.allows(now));
        let mut waited = Vec::new();
        for _ in 0..12 {
            patience.failed(now);
            assert!(!patience.allows(now));
            waited.push(patience.not_before - now);
            now = patience.not_before;
            assert!(patience.allows(now));
        }
        assert!(waited.is_sorted() && waited[0] == PAUSE_FIRST && waited[11] == PAUSE_MAX);
    }
}
