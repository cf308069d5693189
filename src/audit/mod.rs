//! The audit trail: every act, in a chain that shows any change made to it afterwards.
//!
//! Workers report events through [`AuditClient`]; the scribe, sole writer, gives each its place and
//! makes it durable; [`verify`] re-derives the whole chain from the files alone.
mod chain;
mod checkpoint;
mod client;
pub mod disposal;
mod event;
mod export;
mod follow;
mod keys;
mod publish;
mod published;
mod record;
pub mod retention;
mod segment;
pub mod standing;
mod tail;
#[cfg(test)]
mod testing;
mod under;
mod verify;
mod writer;

pub use chain::{Break, Head};
pub use checkpoint::{Checkpoint, CheckpointError};
pub use client::{AuditClient, AuditError, Ticket};
pub use event::*;
pub use export::Format as Export;
pub use follow::{FollowError, published_from, published_size};
pub use keys::{AuditKeys, OpenError, Sealer};
pub use publish::{PublishError, Publisher};
pub use record::{Compliance, FORMAT, NO_HASH, Origin, Record};
pub use retention::kept_until_ms;
pub use segment::{LINE_BYTES_MAX, LOCK_FILE, LineError, Lines, Segment, segments};
pub use standing::{Disposed, Disposition, Hold, Standing};
pub use tail::{TailError, tail};
pub use under::records_under;
pub use verify::{FirstBad, PublishedLog, Report, VerifyError, verify};
pub use writer::{Batch, LogWriter, Opening, WriterError};
