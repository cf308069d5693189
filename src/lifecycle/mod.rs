//! When a worker is started, given time, replaced, killed, given up: decided without clock, descriptor or log.
pub mod clock;
mod exit_code;
mod process_life;
mod restart;
mod roll_out;
pub mod scale;
pub mod shelter;
mod slot_life;

pub use exit_code::ExitCode;
pub use process_life::{Order, Patience, Phase, ProcessLife};
pub use restart::Restart;
pub use roll_out::{RollOut, Step};
pub use slot_life::{Action, Event, Generation, SlotLife, SlotRecord, Succession, Vacancy};
