//! Session tickets: a caller who was here before resumes on any worker, also on one started since.
//!
//! The supervisor makes the keys, changes them by the clock (`rotation`) and tells every API worker; the
//! workers seal and open with them (`sealer`). The keys exist in memory only: a new supervisor has new ones,
//! and whoever copies the disk can read no recorded conversation.
mod keys;
mod rotation;
mod sealer;

pub use keys::{EARLIER_KEYS, KEY_NAME_BYTES, NoRandomness, TicketKey, TicketKeys};
pub use rotation::{PERIODS_PER_LIFETIME, Rotation, RotationRecord};
pub use sealer::{Refusal, Sealer};
