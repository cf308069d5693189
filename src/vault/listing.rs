//! What `hotline keys list` shows: which keys there are and what becomes of them, without any of their bytes.
use serde::{Deserialize, Serialize};

use super::stored::Stored;
use super::{KeyClass, KeyState};
use crate::config::Provider;

/// The keyring without its keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listing {
    /// Oldest first.
    pub keks: Vec<ListedKek>,
    /// By class, oldest first.
    pub keys: Vec<ListedKey>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedKek {
    pub version: u32,
    pub provider: Provider,
    pub id: String,
    pub state: KeyState,
    pub made_at_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedKey {
    pub class: KeyClass,
    pub version: u16,
    pub state: KeyState,
    pub made_at_ms: u64,
    /// The version of the key that wraps it.
    pub kek: u32,
}

impl Listing {
    pub(super) fn of(stored: &Stored) -> Self {
        let keks = stored.keks.iter().map(|one| ListedKek {
            version: one.kek.version,
            provider: one.kek.provider,
            id: one.kek.id.clone(),
            state: one.state,
            made_at_ms: one.made_at_ms,
        });
        let keys = stored.keys.iter().flat_map(|(class, versions)| versions.iter().map(|key| (*class, key)));
        let keys = keys.map(|(class, key)| ListedKey {
            class,
            version: key.version,
            state: key.state,
            made_at_ms: key.made_at_ms,
            kek: key.kek,
        });
        Self { keks: keks.collect(), keys: keys.collect() }
    }

    /// The key over the keys.
    pub fn active_kek(&self) -> Option<&ListedKek> {
        self.keks.iter().rev().find(|kek| kek.state == KeyState::Active)
    }

    /// Whether the key over the keys is as old as it may become. Never where only its owner can replace it; a clock
    /// that was set back makes nothing due.
    pub fn kek_is_due(&self, rotation_seconds: u64, now_ms: u64) -> bool {
        let active = self.active_kek().filter(|kek| kek.provider != Provider::Credential);
        let age_ms = active.map_or(0, |kek| now_ms.saturating_sub(kek.made_at_ms));
        rotation_seconds > 0 && age_ms >= rotation_seconds.saturating_mul(1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_decides_and_zero_means_never() {
        let listing = |provider| {
            let kek = ListedKek { version: 1, provider, id: String::new(), state: KeyState::Active, made_at_ms: 1_000 };
            Listing { keks: vec![kek], keys: Vec::new() }
        };
        let file = listing(Provider::File);
        assert!(!file.kek_is_due(86_400, 86_400_999));
        assert!(file.kek_is_due(86_400, 86_401_000));
        assert!(!file.kek_is_due(1, 900), "a clock that was set back");
        assert!(!file.kek_is_due(0, u64::MAX));
        assert!(!listing(Provider::Credential).kek_is_due(1, u64::MAX));
    }
}
