//! What was decided a moment ago, so that the engine is asked once and not for each request.
//!
//! An answer is found by all it was made of: who with which standing, what, of which matter in which state, in
//! which minute, what for. So nothing has to be thrown away when something changes; what is
//! not asked for again is forgotten when there is no room. Bounded: two halves, of which the older one goes.
use std::collections::HashMap;
use std::mem;

use parking_lot::Mutex;
use uuid::Uuid;

use crate::actions::{Action, Permissions};
use crate::facts::{Circumstances, Minute, Who};
use crate::roles::Standing;

/// The decisions of one worker.
pub struct Remembered {
    matters: Mutex<Halves<Ask, bool>>,
    house: Mutex<Halves<(Standing, Minute), Permissions>>,
}

/// What a decision about a matter is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ask {
    pub who: Who,
    pub action: Action,
    pub matter: Uuid,
    /// A digest of all that is known of it.
    pub state: u64,
    pub when: Circumstances,
}

struct Halves<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    half_max: usize,
}

impl Remembered {
    pub fn new(decisions_max: usize) -> Self {
        Self { matters: Mutex::new(Halves::new(decisions_max)), house: Mutex::new(Halves::new(HOUSE_MAX)) }
    }

    pub fn of_matter(&self, ask: &Ask) -> Option<bool> {
        self.matters.lock().get(ask)
    }

    pub fn note_matter(&self, ask: Ask, allowed: bool) {
        self.matters.lock().put(ask, allowed);
    }

    pub fn of_house(&self, standing: Standing, minute: Minute) -> Option<Permissions> {
        self.house.lock().get(&(standing, minute))
    }

    pub fn note_house(&self, standing: Standing, minute: Minute, permissions: Permissions) {
        self.house.lock().put((standing, minute), permissions);
    }

    /// Decisions that are remembered now.
    pub fn len(&self) -> usize {
        let matters = self.matters.lock();
        matters.young.len() + matters.old.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<K: std::hash::Hash + Eq + Copy, V: Copy> Halves<K, V> {
    fn new(entries_max: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), half_max: (entries_max / 2).max(1) }
    }

    fn get(&mut self, key: &K) -> Option<V> {
        if let Some(value) = self.young.get(key) {
            return Some(*value);
        }
        let value = *self.old.get(key)?;
        self.put(*key, value);
        Some(value)
    }

    fn put(&mut self, key: K, value: V) {
        if self.young.len() >= self.half_max && !self.young.contains_key(&key) {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

/// There are as many as there are kinds of people.
const HOUSE_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Purpose;
    use crate::roles::{Clearance, Role};

    fn ask(matter: u128) -> Ask {
        let standing = Standing::new(&[Role::Intake], None, 1);
        Ask {
            who: Who { user: Uuid::from_u128(1), standing },
            action: Action::CaseAccess,
            matter: Uuid::from_u128(matter),
            state: 1,
            when: Circumstances { minute: Minute::of_ms(0), purpose: None },
        }
    }

    #[test]
    fn whatever_differs_is_another_question() {
        let remembered = Remembered::new(64);
        remembered.note_matter(ask(1), true);
        assert_eq!(remembered.of_matter(&ask(1)), Some(true));
        let who = ask(1).who;
        let standing = Standing { clearance: Clearance::TopSecret, ..who.standing };
        let when = ask(1).when;
        for other in [
            ask(2),
            Ask { state: 2, ..ask(1) },
            Ask { action: Action::CaseWrite, ..ask(1) },
            Ask { who: Who { user: Uuid::from_u128(2), ..who }, ..ask(1) },
            Ask { who: Who { standing, ..who }, ..ask(1) },
            Ask { when: Circumstances { minute: Minute::of_ms(60_000), ..when }, ..ask(1) },
            Ask { when: Circumstances { purpose: Some(Purpose::Intake), ..when }, ..ask(1) },
        ] {
            assert_eq!(remembered.of_matter(&other), None, "{other:?}");
        }
    }

    #[test]
    fn there_is_a_bound_and_what_is_used_stays() {
        let remembered = Remembered::new(8);
        remembered.note_matter(ask(0), true);
        for matter in 1..1_000 {
            remembered.note_matter(ask(matter), false);
            assert_eq!(remembered.of_matter(&ask(0)), Some(true));
            assert!(remembered.len() <= 8);
        }
        assert_eq!(remembered.of_matter(&ask(1)), None);
    }
}
