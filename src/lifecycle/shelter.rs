//! Whose queue is served by whom. A slot's listener outlives its worker; while nobody in the slot takes
//! connections, a sibling takes them from its queue as well, so no caller waits behind a closed door.
use super::Generation;

/// A slot, as far as its listener is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The worker that accepts here; siblings may be sheltered with it.
    pub server: Option<Generation>,
    /// Nobody accepts, and that will last.
    pub is_away: bool,
    /// Listeners that this slot's worker was given.
    pub listeners: u16,
}

/// For every slot: the slots whose listeners its worker is to accept on. `before` is the last answer; what
/// can stay as it was stays.
pub fn assign(slots: &[Standing], before: &[Vec<u16>]) -> Vec<Vec<u16>> {
    let mut assigned: Vec<Vec<u16>> = (0..).zip(slots).map(|(index, _)| vec![index]).collect();
    for (index, _) in (0u16..).zip(slots).filter(|(_, slot)| slot.is_away) {
        let may = |host: usize| {
            let slot = &slots[host];
            host != usize::from(index) && slot.server.is_some() && !slot.is_away && slot.listeners > index
        };
        let holds = |host: usize| before.get(host).is_some_and(|held| held.contains(&index));
        let as_before = (0..slots.len()).find(|host| may(*host) && holds(*host));
        let least = || (0..slots.len()).filter(|host| may(*host)).min_by_key(|host| assigned[*host].len());
        if let Some(host) = as_before.or_else(least) {
            assigned[host].push(index);
        }
    }
    assigned
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const UP: Standing = Standing { server: Some(1), is_away: false, listeners: 8 };
    const AWAY: Standing = Standing { server: None, is_away: true, listeners: 0 };
    const SOON: Standing = Standing { server: None, is_away: false, listeners: 0 };

    #[test]
    fn a_lonely_queue_goes_to_the_least_burdened_and_stays_there() {
        let first = assign(&[UP, AWAY, AWAY, UP], &[]);
        assert_eq!(first, [vec![0, 1], vec![1], vec![2], vec![3, 2]]);
        let second = assign(&[UP, UP, AWAY, UP], &first);
        assert_eq!(second, [vec![0], vec![1], vec![2], vec![3, 2]]);
    }

    #[test]
    fn who_is_back_soon_is_waited_for() {
        assert_eq!(assign(&[UP, SOON], &[]), [vec![0], vec![1]]);
    }

    #[test]
    fn a_worker_is_never_given_what_it_does_not_hold() {
        let narrow = Standing { listeners: 1, ..UP };
        assert_eq!(assign(&[narrow, AWAY], &[]), [vec![0], vec![1]]);
    }

    proptest! {
        #[test]
        fn every_lonely_queue_has_exactly_one_host_while_there_is_any(
            history in prop::collection::vec(prop::collection::vec(0u8..3, 6), 1..20)
        ) {
            let mut before = Vec::new();
            for step in history {
                let slots: Vec<_> = step.iter().map(|kind| [UP, AWAY, SOON][usize::from(*kind)]).collect();
                let now = assign(&slots, &before);
                let any_up = slots.contains(&UP);
                for (index, slot) in (0u16..).zip(&slots) {
                    let hosts: Vec<usize> =
                        (0..slots.len()).filter(|host| now[*host].contains(&index) && *host != usize::from(index)).collect();
                    prop_assert_eq!(hosts.len(), usize::from(slot.is_away && any_up));
                    prop_assert!(hosts.iter().all(|host| slots[*host] == UP));
                }
                before = now;
            }
        }
    }
}
