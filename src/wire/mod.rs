//! The protocol between the supervisor and its workers, and between workers and the scribe.
//!
//! Frames are length-prefixed, capped and versioned; what a role may ask in which phase is a table.
mod frame;
mod message;
mod permit;
mod policy;
mod skew;

pub use frame::{Decoder, FRAME_BYTES_MAX, FrameError, decode, encode, read, write};
pub use message::*;
pub use permit::{Kind, Permits, Stage, Violation, keys_of};
pub use policy::{Explained, PolicyAsk, PolicyQuestion, PolicyTold};
pub use skew::COMMON_GROUND;

/// Changes whenever a message changes its shape; a worker of another version is refused.
pub const WIRE_VERSION: u16 = 8;

/// Names the build on both sides of exec: package version and commit.
pub const BUILD_ID: &str = concat!(env!("CARGO_PKG_VERSION"), "+", env!("HOTLINE_BUILD_COMMIT"));
