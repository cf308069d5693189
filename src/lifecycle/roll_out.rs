//! A change for every slot, one after the other; the first that fails takes the whole change back.
use std::collections::VecDeque;

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Replace the worker of this slot.
    Roll(usize),
    /// Nothing until the slot under way has been told about.
    Wait,
    /// Every slot has the change, or none has.
    Over { succeeded: bool },
}

/// The way of one change through the slots.
#[derive(Debug)]
pub struct RollOut {
    ahead: VecDeque<usize>,
    under_way: Option<usize>,
    done: Vec<usize>,
    is_undoing: bool,
    /// Under way when the undoing began.
    overtaken: Option<usize>,
}

impl RollOut {
    pub fn over(slots: impl IntoIterator<Item = usize>) -> Self {
        Self {
            ahead: slots.into_iter().collect(),
            under_way: None,
            done: Vec::new(),
            is_undoing: false,
            overtaken: None,
        }
    }

    /// Being taken back.
    pub fn is_undoing(&self) -> bool {
        self.is_undoing
    }

    /// To be asked again after every answer.
    pub fn step(&mut self) -> Step {
        if self.under_way.is_some() {
            return Step::Wait;
        }
        match self.ahead.pop_front() {
            Some(slot) => {
                self.under_way = Some(slot);
                Step::Roll(slot)
            }
            None => Step::Over { succeeded: !self.is_undoing },
        }
    }

    /// A slot's roll ended. While undoing, a failure changes nothing: the old kind is all there is.
    pub fn rolled(&mut self, slot: usize, succeeded: bool) {
        if self.under_way != Some(slot) {
            return;
        }
        self.under_way = None;
        match (self.is_undoing, succeeded) {
            (false, true) => self.done.push(slot),
            (false, false) => self.undo(),
            // It was on its way when the others were told to turn round.
            (true, true) if self.overtaken == Some(slot) => self.ahead.push_front(slot),
            (true, _) => {}
        }
        self.overtaken = None;
    }

    /// Takes the change back from every slot that has it, or is about to.
    pub fn undo(&mut self) {
        if !self.is_undoing {
            self.is_undoing = true;
            self.overtaken = self.under_way;
            self.ahead = self.done.drain(..).rev().collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// In the end all slots have the new kind or all have the old one, whoever fails and whenever it is undone.
        #[test]
        fn all_or_nothing(slots in 1usize..8, fails_at in 0usize..12, undone_at in 0usize..24) {
            let mut roll_out = RollOut::over(0..slots);
            let mut is_new = vec![false; slots];
            let (mut rolls, mut steps) = (0, 0);
            let mut undo_now = |roll_out: &mut RollOut| {
                if steps == undone_at {
                    roll_out.undo();
                }
                steps += 1;
            };
            loop {
                undo_now(&mut roll_out);
                match roll_out.step() {
                    Step::Roll(slot) => {
                        prop_assert_eq!(roll_out.step(), Step::Wait);
                        let becomes_new = !roll_out.is_undoing();
                        let fails = rolls == fails_at && becomes_new;
                        rolls += 1;
                        undo_now(&mut roll_out);
                        if !fails {
                            is_new[slot] = becomes_new;
                        }
                        roll_out.rolled(slot, !fails);
                    }
                    Step::Wait => unreachable!("nothing is under way"),
                    Step::Over { succeeded } => {
                        prop_assert_eq!(succeeded, !roll_out.is_undoing());
                        prop_assert!(!succeeded || fails_at >= slots);
                        prop_assert!(is_new.iter().all(|new| *new == succeeded), "{:?}", is_new);
                        break;
                    }
                }
            }
        }
    }
}
