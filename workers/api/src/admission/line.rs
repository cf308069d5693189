//! Who may begin, who waits in which queue, who goes next. No clock, no lock, no waker: `now` is an
//! argument, and a waiter is whatever the caller keeps for it.
//!
//! A request at work has a place. Its class may use a share of the limit, so that there is room left for
//! those before it; without room it waits in the bounded queue of its class. Who goes next is who is due
//! first, and a class is due `rank` ageing steps after its arrival: an emergency at once, a batch job as if
//! it had come three steps later. So nobody is overtaken by anybody who came more than three steps after
//! him, and whoever waits rises through the shares as well.
//!
//! A request that waits for something with bounds of its own (a slow caller's body, a thread that hashes a
//! password, the result of a recording) rests meanwhile: its place is free for others, and it goes on
//! without asking. Up to a ceiling's worth of requests can rest; beyond that they keep their places.
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::class::{CLASSES, Class};
use super::limit::Limit;

/// What was agreed at start.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) concurrency_min: u32,
    pub(super) ceiling: u32,
    pub(super) ageing: Duration,
    /// By class: how many may wait.
    pub(super) waiting_max: [usize; CLASSES],
}

/// A place of a request that was let in. Names it and no other, also after it is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    index: u32,
    generation: u32,
}

/// The line before the handlers.
pub(super) struct Line<W> {
    terms: Terms,
    limit: Limit,
    places: Vec<Place>,
    free: Vec<u32>,
    working: u32,
    resting: u32,
    queues: [VecDeque<Waiter<W>>; CLASSES],
    next_number: u64,
}

struct Waiter<W> {
    number: u64,
    kind: u8,
    arrived: Instant,
    wake: W,
}

struct Place {
    generation: u32,
    state: State,
    kind: u8,
    since: Instant,
    /// Not at work for so long, and since when.
    rested: Duration,
}

enum State {
    Free,
    Working,
    Resting { since: Instant },
}

impl<W> Line<W> {
    pub(super) fn new(terms: Terms, now: Instant) -> Self {
        let limit = Limit::new(terms.concurrency_min, terms.ceiling, now);
        let places_usual = terms.ceiling.min(PLACES_USUAL) as usize;
        Self {
            limit,
            places: Vec::with_capacity(places_usual),
            free: Vec::with_capacity(places_usual),
            working: 0,
            resting: 0,
            queues: std::array::from_fn(|_| VecDeque::new()),
            next_number: 0,
            terms,
        }
    }

    /// A place, if there is one and nobody waits. The whole of it costs a few additions.
    pub(super) fn enter(&mut self, class: Class, kind: u8, now: Instant) -> Option<Ticket> {
        let is_free = !self.anybody_waits() && self.has_room(class.rank());
        is_free.then(|| self.take_place(kind, now))
    }

    /// Waits for a place; gives `wake` back if the queue of the class is full. Call [`next`](Self::next)
    /// afterwards: it may be its turn already.
    pub(super) fn wait(&mut self, class: Class, kind: u8, now: Instant, wake: W) -> Result<u64, W> {
        let queue = &mut self.queues[class as usize];
        if queue.len() >= self.terms.waiting_max[class as usize] {
            return Err(wake);
        }
        let number = self.next_number;
        self.next_number += 1;
        queue.push_back(Waiter { number, kind, arrived: now, wake });
        Ok(number)
    }

    /// Whoever is to begin now, with a place. Ask until there is nobody, after everything that made room.
    pub(super) fn next(&mut self, now: Instant) -> Option<(W, Ticket)> {
        let heads = Class::ALL.into_iter().filter_map(|class| Some((class, self.queues[class as usize].front()?)));
        let may_go = heads.filter(|(class, waiter)| self.has_room(self.rank_by_now(*class, waiter.arrived, now)));
        let (class, _) = may_go.min_by_key(|(class, waiter)| waiter.arrived + self.terms.ageing * class.rank())?;
        let waiter = self.queues[class as usize].pop_front()?;
        Some((waiter.wake, self.take_place(waiter.kind, now)))
    }

    /// Waits no longer. False if it was its turn before.
    pub(super) fn give_up(&mut self, class: Class, number: u64) -> bool {
        let queue = &mut self.queues[class as usize];
        let found = queue.binary_search_by_key(&number, |waiter| waiter.number);
        found.is_ok_and(|at| queue.remove(at).is_some())
    }

    /// The place is given back. `counts` says that how long it was held tells something about load.
    pub(super) fn leave(&mut self, ticket: Ticket, counts: bool, now: Instant) {
        let working = self.working;
        let Some(place) = self.place(ticket) else { return };
        let state = std::mem::replace(&mut place.state, State::Free);
        place.generation = place.generation.wrapping_add(1);
        let (kind, held, mut rested) = (place.kind, now.saturating_duration_since(place.since), place.rested);
        match state {
            State::Resting { since } => {
                rested += now.saturating_duration_since(since);
                self.resting -= 1;
            }
            State::Working | State::Free => self.working -= 1,
        }
        self.free.push(ticket.index);
        if counts {
            self.limit.observe(kind, held.saturating_sub(rested), working, now);
        }
    }

    /// Leaves the place to others for a while. False if too many rest already: then it keeps it.
    pub(super) fn rest(&mut self, ticket: Ticket, now: Instant) -> bool {
        if self.resting >= self.terms.ceiling {
            return false;
        }
        let Some(place) = self.place(ticket).filter(|place| matches!(place.state, State::Working)) else {
            return false;
        };
        place.state = State::Resting { since: now };
        self.working -= 1;
        self.resting += 1;
        true
    }

    /// Goes on without asking, whatever the limit says: it was let in before.
    pub(super) fn resume(&mut self, ticket: Ticket, now: Instant) {
        let Some(place) = self.place(ticket) else { return };
        if let State::Resting { since } = place.state {
            place.rested += now.saturating_duration_since(since);
            place.state = State::Working;
            self.working += 1;
            self.resting -= 1;
        }
    }

    pub(super) fn limit(&self) -> u32 {
        self.limit.value()
    }

    pub(super) fn working(&self) -> u32 {
        self.working
    }

    pub(super) fn resting(&self) -> u32 {
        self.resting
    }

    pub(super) fn anybody_waits(&self) -> bool {
        self.queues.iter().any(|queue| !queue.is_empty())
    }

    #[cfg(test)]
    pub(super) fn waiting(&self, class: Class) -> usize {
        self.queues[class as usize].len()
    }

    fn has_room(&self, rank: u32) -> bool {
        // At least one: a small limit still serves everybody in turn.
        let share = (u64::from(self.limit.value()) * u64::from(Class::sixteenths(rank))).div_ceil(16);
        u64::from(self.working) < share
    }

    /// Waiting lifts a class by a rank for each ageing step.
    fn rank_by_now(&self, class: Class, arrived: Instant, now: Instant) -> u32 {
        let steps = now.saturating_duration_since(arrived).as_nanos() / self.terms.ageing.as_nanos().max(1);
        class.rank().saturating_sub(u32::try_from(steps).unwrap_or(u32::MAX))
    }

    fn take_place(&mut self, kind: u8, now: Instant) -> Ticket {
        self.working += 1;
        let index = self.free.pop().unwrap_or_else(|| {
            let place = Place { generation: 0, state: State::Free, kind, since: now, rested: Duration::ZERO };
            self.places.push(place);
            // Bounded by twice the ceiling, a u32 of at most a million.
            (self.places.len() - 1) as u32
        });
        let place = &mut self.places[index as usize];
        *place =
            Place { generation: place.generation, state: State::Working, kind, since: now, rested: Duration::ZERO };
        Ticket { index, generation: place.generation }
    }

    fn place(&mut self, ticket: Ticket) -> Option<&mut Place> {
        let place = self.places.get_mut(ticket.index as usize)?;
        (place.generation == ticket.generation && !matches!(place.state, State::Free)).then_some(place)
    }
}

/// Places made room for at start; more are made when they are needed.
const PLACES_USUAL: u32 = 1_024;

#[cfg(test)]
mod tests;
