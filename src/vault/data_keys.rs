//! Every data key in clear, as the supervisor holds them to start workers with.
//!
//! They are unwrapped once. From then on nobody waits for a key provider but those who change keys: a security module
//! that is slow or gone keeps no worker from starting.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{KeyBytes, KeyClass, KeyState};

/// The data keys by class. Wiped from memory when dropped.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct DataKeys {
    /// Oldest version first.
    classes: BTreeMap<KeyClass, Vec<(KeyState, KeyBytes)>>,
}

impl DataKeys {
    pub(super) fn insert(&mut self, class: KeyClass, state: KeyState, key: KeyBytes) {
        self.classes.entry(class).or_default().push((state, key));
    }

    /// What a worker is given: the version that seals, then the others, newest first.
    pub fn of(&self, class: KeyClass) -> Vec<KeyBytes> {
        let mut versions: Vec<_> = self.classes.get(&class).into_iter().flatten().collect();
        versions.sort_by_key(|(state, key)| (*state != KeyState::Active, std::cmp::Reverse(key.version)));
        versions.into_iter().map(|(_, key)| key.clone()).collect()
    }

    pub fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_that_seals_comes_first() {
        let mut keys = DataKeys::default();
        for (version, state) in [(1, KeyState::DecryptOnly), (2, KeyState::Active), (3, KeyState::Next)] {
            keys.insert(KeyClass::Case, state, KeyBytes { version, bytes: [0; 32] });
        }
        assert_eq!(keys.of(KeyClass::Case).iter().map(|key| key.version).collect::<Vec<_>>(), [2, 3, 1]);
        assert!(keys.of(KeyClass::Call).is_empty());
    }
}
