//! The data keys at hand. They are opened once, at start, and kept: a worker that is started later waits for no token.
use std::time::Instant;

use hotline::config::Config;
use hotline::sys::Program;
use hotline::vault::{DataKeys, Listing};

use super::StartError;
use super::errand::{Act, Done, Errand, Failed, Request};
use super::handover::KeysRecord;

/// What workers are started with.
pub(super) struct KeyHolder {
    pub(super) data: DataKeys,
    /// The keyring without its keys.
    pub(super) listing: Listing,
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
        match opened {
            Ok(done) => Ok(Self::of(done)),
            Err(Failed { reason, may_pass }) => Err(StartError::Keys { reason, may_pass }),
        }
    }

    fn of(done: Done) -> Self {
        let active = done.listing.active_kek();
        let (kek, provider) = active.map_or(("", ""), |kek| (kek.id.as_str(), kek.provider.name()));
        tracing::info!(kek, provider, "opened the keys");
        Self { data: done.keys, listing: done.listing }
    }

    /// As an earlier image of the supervisor had them.
    pub(super) fn resume(record: &KeysRecord, _: Instant) -> Self {
        Self { data: record.data.clone(), listing: record.listing.clone() }
    }

    pub(super) fn record(&self) -> KeysRecord {
        KeysRecord { data: self.data.clone(), listing: self.listing.clone() }
    }
}
