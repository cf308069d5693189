//! Session tickets under the keys that the supervisor gave: what any worker sealed, this one opens.
use std::fmt;
use std::sync::Arc;

use hotline::config::Tls;
use hotline::telemetry::names;
use hotline::tickets::{Refusal, Sealer, TicketKeys};
use metrics::{Counter, counter};
use parking_lot::RwLock;
use rustls::server::ProducesTickets;

/// What the acceptor seals and opens with now. Written on the control thread, read at each handshake.
#[derive(Clone)]
pub(crate) struct Tickets {
    shared: Arc<Shared>,
}

struct Shared {
    sealer: RwLock<Sealer>,
    lifetime_seconds: u32,
    refused_unknown_key: Counter,
    refused_malformed: Counter,
}

impl Tickets {
    pub(crate) fn new(keys: &TicketKeys, tls: &Tls) -> Self {
        let refused = |reason: &'static str| counter!(names::TLS_TICKETS_REFUSED, "reason" => reason);
        let shared = Shared {
            sealer: RwLock::new(Sealer::new(keys)),
            lifetime_seconds: tls.ticket_lifetime_seconds,
            refused_unknown_key: refused("unknown_key"),
            refused_malformed: refused("malformed"),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The keys have changed. Prepared before the lock, so that no handshake waits.
    pub(crate) fn change(&self, keys: &TicketKeys) {
        let sealer = Sealer::new(keys);
        *self.shared.sealer.write() = sealer;
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tickets")
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        self.shared.lifetime_seconds
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.shared.sealer.read().seal(plain)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let opened = self.shared.sealer.read().open(ticket);
        let meter = match opened {
            Ok(session) => return Some(session),
            Err(Refusal::UnknownKey) => &self.shared.refused_unknown_key,
            Err(Refusal::Malformed) => &self.shared.refused_malformed,
        };
        meter.increment(1);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tickets(keys: &TicketKeys) -> Tickets {
        let config = hotline::config::Config::load(hotline::config::LoadFrom::text("")).unwrap();
        Tickets::new(keys, &config.tls)
    }

    #[test]
    fn a_sibling_opens_it_and_keys_change_under_running_connections() {
        let (keys, other) = (TicketKeys::random().unwrap(), TicketKeys::random().unwrap());
        let (one, two) = (tickets(&keys), tickets(&keys));
        let acceptor: Arc<dyn ProducesTickets> = Arc::new(one.clone());
        let ticket = acceptor.encrypt(b"session").unwrap();
        assert_eq!(two.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
        one.change(&other);
        assert_eq!(acceptor.decrypt(&ticket), None, "the keys are gone, and the acceptor knows");
        assert_eq!(acceptor.decrypt(b""), None);
        assert_eq!(acceptor.lifetime(), 21_600);
        assert_eq!(format!("{acceptor:?}"), "Tickets");
    }
}
