//! What is to happen, how often, and in which order.
use super::chance::Chance;

/// How many of each fault, under which load. The same plan makes the same order.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    /// `kill -9` of a worker, whichever serves.
    pub kills: usize,
    /// `hotline reload` with a changed setting: every worker is replaced.
    pub reloads: usize,
    /// `hotline upgrade`, if the command line knows it.
    pub upgrades: usize,
    /// `kill -9` of the supervisor; its service manager starts the next one.
    pub supervisor_kills: usize,
    /// Callers of each kind: new connections, kept connections, HTTP/2.
    pub callers: usize,
    /// Requests in a second, of all callers together, if the service answers as fast.
    pub rate: usize,
    /// `workers.backoff_max_ms`; never waits longer the first time either.
    pub backoff_max_ms: u64,
}

/// One thing that happens to the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// `chosen` picks the victim among those who serve then.
    Kill {
        chosen: usize,
    },
    Reload,
    Upgrade,
    KillSupervisor,
}

impl Plan {
    pub(super) fn faults(&self) -> Vec<Fault> {
        let mut chance = Chance::new(self.seed);
        let mut faults: Vec<Fault> = (0..self.kills).map(|_| Fault::Kill { chosen: chance.between(0, 999) }).collect();
        faults.extend((0..self.reloads).map(|_| Fault::Reload));
        faults.extend((0..self.upgrades).map(|_| Fault::Upgrade));
        faults.extend((0..self.supervisor_kills).map(|_| Fault::KillSupervisor));
        chance.shuffle(&mut faults);
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_an_order_and_nothing_is_left_out() {
        let plan = |seed| Plan {
            seed,
            kills: 9,
            reloads: 5,
            upgrades: 3,
            supervisor_kills: 2,
            callers: 1,
            rate: 1,
            backoff_max_ms: 1,
        };
        let faults = plan(1).faults();
        assert_eq!(faults, plan(1).faults());
        assert_ne!(faults, plan(2).faults());
        let count = |of: fn(&Fault) -> bool| faults.iter().filter(|fault| of(fault)).count();
        assert_eq!(count(|fault| matches!(fault, Fault::Kill { .. })), 9);
        assert_eq!(count(|fault| *fault == Fault::Reload), 5);
        assert_eq!(count(|fault| *fault == Fault::Upgrade), 3);
        assert_eq!(count(|fault| *fault == Fault::KillSupervisor), 2);
    }
}
