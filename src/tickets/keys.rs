//! The keys as they travel to the workers. They are wiped when dropped and cannot be printed.
use aws_lc_rs::rand;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::rotation::PERIODS_PER_LIFETIME;

/// One key and the name that tickets carry in clear.
#[derive(Clone, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct TicketKey {
    pub name: [u8; KEY_NAME_BYTES],
    pub secret: [u8; 32],
}

/// What a worker may seal and open with.
#[derive(Clone, Serialize, Deserialize)]
pub struct TicketKeys {
    /// Sealed with after the next rotation; told ahead, so that a worker that has not yet heard of the
    /// rotation opens what its siblings seal.
    pub next: TicketKey,
    /// Sealed with now.
    pub current: TicketKey,
    /// Only opened with; newest first.
    pub earlier: Vec<TicketKey>,
}

/// The system gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("could not make a ticket key: no random bytes were to be had")]
pub struct NoRandomness;

impl TicketKey {
    pub fn random() -> Result<Self, NoRandomness> {
        let mut key = Self { name: [0; KEY_NAME_BYTES], secret: [0; 32] };
        rand::fill(&mut key.name).map_err(|_| NoRandomness)?;
        rand::fill(&mut key.secret).map_err(|_| NoRandomness)?;
        Ok(key)
    }
}

impl TicketKeys {
    pub fn random() -> Result<Self, NoRandomness> {
        Ok(Self { next: TicketKey::random()?, current: TicketKey::random()?, earlier: Vec::new() })
    }

    /// The next key becomes the current one; the oldest is wiped.
    pub(super) fn rotate(&mut self) -> Result<(), NoRandomness> {
        let fresh = TicketKey::random()?;
        let next = std::mem::replace(&mut self.next, fresh);
        self.earlier.insert(0, std::mem::replace(&mut self.current, next));
        self.earlier.truncate(EARLIER_KEYS);
        Ok(())
    }

    /// All of them, newest first.
    pub fn iter(&self) -> impl Iterator<Item = &TicketKey> {
        [&self.next, &self.current].into_iter().chain(&self.earlier)
    }
}

pub const KEY_NAME_BYTES: usize = 16;
/// Those of a whole lifetime, and one more for the worker that still sealed with it because it had not heard.
pub const EARLIER_KEYS: usize = PERIODS_PER_LIFETIME as usize + 1;
