//! The line against a model that keeps everything in lists: bounds hold, order holds, nobody starves, no
//! place is lost, whatever comes in whatever order.
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Arrive(Class),
    /// These name somebody by number, modulo how many there are.
    Leave(usize, bool),
    Rest(usize),
    Resume(usize),
    GiveUp(usize),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let class = prop::sample::select(&Class::ALL[..]);
    prop_oneof![
        6 => class.prop_map(Step::Arrive),
        3 => (any::<usize>(), any::<bool>()).prop_map(|(who, counts)| Step::Leave(who, counts)),
        1 => any::<usize>().prop_map(Step::Rest),
        1 => any::<usize>().prop_map(Step::Resume),
        1 => any::<usize>().prop_map(Step::GiveUp),
        2 => (0..400u64).prop_map(Step::Pass),
    ]
}

/// What the line must agree with.
struct Model {
    line: Line<usize>,
    ceiling: u32,
    now: Instant,
    arrived: usize,
    /// Who waits: number, class, arrival, the line's own number.
    waiting: Vec<(usize, Class, Instant, u64)>,
    working: Vec<Ticket>,
    resting: Vec<Ticket>,
    gone: Vec<Ticket>,
}

impl Model {
    fn new(ceiling: u32, concurrency_min: u32) -> Self {
        let now = Instant::now();
        let terms = Terms { concurrency_min, ceiling, ageing: AGEING, waiting_max: WAITING_MAX };
        Self {
            line: Line::new(terms, now),
            ceiling,
            now,
            arrived: 0,
            waiting: Vec::new(),
            working: Vec::new(),
            resting: Vec::new(),
            gone: Vec::new(),
        }
    }

    fn step(&mut self, step: &Step) {
        let pick = |who: &usize, of: usize| (of > 0).then(|| who % of);
        match step {
            Step::Arrive(class) => self.arrive(*class),
            Step::Leave(who, counts) => {
                if let Some(at) = pick(who, self.working.len()) {
                    let ticket = self.working.swap_remove(at);
                    self.line.leave(ticket, *counts, self.now);
                    self.gone.push(ticket);
                }
            }
            Step::Rest(who) => {
                if let Some(at) = pick(who, self.working.len())
                    && self.line.rest(self.working[at], self.now)
                {
                    self.resting.push(self.working.swap_remove(at));
                }
            }
            Step::Resume(who) => {
                if let Some(at) = pick(who, self.resting.len()) {
                    self.line.resume(self.resting[at], self.now);
                    self.working.push(self.resting.swap_remove(at));
                }
            }
            Step::GiveUp(who) => {
                if let Some(at) = pick(who, self.waiting.len()) {
                    let (_, class, _, number) = self.waiting.remove(at);
                    assert!(self.line.give_up(class, number));
                    assert!(!self.line.give_up(class, number), "only once");
                }
            }
            Step::Pass(ms) => self.now += Duration::from_millis(*ms),
        }
        // What a ticket did not name any more must not move anything.
        if let Some(ticket) = self.gone.last() {
            self.line.resume(*ticket, self.now);
            self.line.leave(*ticket, true, self.now);
            assert!(!self.line.rest(*ticket, self.now));
        }
        self.settle();
        self.check();
    }

    fn arrive(&mut self, class: Class) {
        let name = self.arrived;
        self.arrived += 1;
        if let Some(ticket) = self.line.enter(class, 1, self.now) {
            assert!(self.waiting.is_empty(), "somebody was overtaken without a look at the queue");
            self.working.push(ticket);
            assert!(self.line.working() <= self.line.limit());
            return;
        }
        match self.line.wait(class, 1, self.now, name) {
            Ok(number) => self.waiting.push((name, class, self.now, number)),
            Err(_) => assert_eq!(self.line.waiting(class), WAITING_MAX[class as usize], "refused only when full"),
        }
    }

    fn settle(&mut self) {
        while let Some((name, ticket)) = self.line.next(self.now) {
            let at = self.waiting.iter().position(|(waiting, ..)| *waiting == name).expect("it waited");
            let (_, class, arrived, _) = self.waiting.remove(at);
            let overtaken = self.waiting.iter().find(|(_, other, since, _)| {
                (*other < class && *since <= arrived) || (*other == class && *since < arrived)
            });
            assert_eq!(overtaken, None, "{class:?} that came at {arrived:?} went first");
            self.working.push(ticket);
            assert!(self.line.working() <= self.line.limit(), "nobody begins beyond the limit");
        }
    }

    fn check(&self) {
        assert_eq!(self.line.working() as usize, self.working.len());
        assert_eq!(self.line.resting() as usize, self.resting.len());
        assert!(self.line.resting() <= self.ceiling);
        assert!(self.line.limit() <= self.ceiling);
        assert!(self.line.places.len() <= 2 * self.ceiling as usize);
        for class in Class::ALL {
            let waiting = self.waiting.iter().filter(|(_, other, ..)| *other == class).count();
            assert_eq!(self.line.waiting(class), waiting);
            assert!(waiting <= WAITING_MAX[class as usize]);
        }
        // Nobody waits for a place that is there for him.
        if self.line.working() == 0 {
            assert!(self.waiting.is_empty());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn bounds_and_order_hold_and_no_place_is_lost(
        ceiling in 1..40u32, least in 1..40u32, steps in vec(step(), 1..400)
    ) {
        let mut model = Model::new(ceiling, least);
        steps.iter().for_each(|step| model.step(step));
        // Everybody ends: whoever still waits gets his turn, and every place is free again.
        while !model.working.is_empty() || !model.resting.is_empty() {
            model.step(&Step::Resume(0));
            model.step(&Step::Leave(0, true));
        }
        assert!(model.waiting.is_empty());
        assert_eq!((model.line.working(), model.line.resting()), (0, 0));
        assert_eq!(model.line.free.len(), model.line.places.len());
    }

    /// However many of higher rank come, who waits goes before all that come three steps later.
    #[test]
    fn nobody_starves(ceiling in 1..20u32, classes in vec(prop::sample::select(&Class::ALL[..]), 50..200)) {
        let mut model = Model::new(ceiling, ceiling);
        (0..ceiling).for_each(|_| model.step(&Step::Arrive(Class::Emergency)));
        model.step(&Step::Arrive(Class::Batch));
        let (batch, _, since, _) = *model.waiting.last().expect("the line is full of emergencies");
        for class in classes {
            // One comes, one goes: always full, and there is always somebody of higher rank.
            model.step(&Step::Arrive(class));
            model.step(&Step::Arrive(Class::Emergency));
            model.step(&Step::Pass(50));
            model.step(&Step::Leave(0, false));
            let waits = model.waiting.iter().any(|(name, ..)| *name == batch);
            if !waits {
                return Ok(());
            }
            let before = model.waiting.iter().filter(|(_, other, arrived, _)| {
                *arrived + AGEING * other.rank() < since + AGEING * Class::Batch.rank()
            }).count();
            // After its ageing there are only those who are due before it, and they are bounded.
            prop_assert!(before <= WAITING_MAX.iter().sum::<usize>());
        }
        prop_assert!(false, "the batch job is still waiting");
    }
}

#[test]
fn an_emergency_finds_room_when_everything_else_is_full() {
    let mut model = Model::new(16, 16);
    for class in [Class::Batch, Class::Interactive, Class::LiveCall] {
        (0..16).for_each(|_| model.step(&Step::Arrive(class)));
    }
    assert_eq!(model.line.working(), 15, "8 batch, 6 interactive, 1 live");
    model.step(&Step::Arrive(Class::Emergency));
    assert_eq!(model.line.working(), 16);
    assert_eq!(model.line.waiting(Class::Emergency), 0);
    // Places go by rank as they come free.
    model.step(&Step::Leave(0, false));
    model.step(&Step::Leave(0, false));
    assert_eq!(model.line.waiting(Class::LiveCall), WAITING_MAX[1] - 1);
    assert_eq!(model.line.waiting(Class::Batch), WAITING_MAX[3]);
}

#[test]
fn who_rests_makes_room_and_its_rest_is_not_held_against_it() {
    let now = Instant::now();
    let mut line: Line<usize> =
        Line::new(Terms { concurrency_min: 1, ceiling: 1, ageing: AGEING, waiting_max: WAITING_MAX }, now);
    let first = line.enter(Class::LiveCall, 1, now).unwrap();
    assert!(line.enter(Class::LiveCall, 1, now).is_none());
    assert!(line.rest(first, now));
    let second = line.enter(Class::LiveCall, 1, now).unwrap();
    assert!(!line.rest(second, now), "as many as the ceiling may rest");
    line.resume(first, now + Duration::from_secs(20));
    assert_eq!(line.working(), 2, "it was let in before and does not ask again");
    line.leave(first, true, now + Duration::from_secs(20));
    line.leave(first, true, now + Duration::from_secs(20));
    assert_eq!((line.working(), line.resting()), (1, 0));
    line.leave(second, false, now);
    assert!(line.enter(Class::Batch, 1, now).is_some());
}

const AGEING: Duration = Duration::from_millis(500);
const WAITING_MAX: [usize; CLASSES] = [10, 8, 6, 4];
