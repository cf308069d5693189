//! Rows as the store sees them. What names a person or repeats their words is sealed before it gets here.
mod calls;
mod cases;
mod evidence;
mod factors;
mod people;
mod subjects;

use uuid::Uuid;

pub use calls::*;
pub use cases::*;
pub use evidence::*;
pub use factors::*;
pub use people::*;
pub use subjects::*;

/// An `Idempotency-Key`, reduced to digests: the same act is done once.
#[derive(Clone, Debug)]
pub struct OnceRow {
    /// Of principal, route and key.
    pub scope: [u8; 32],
    /// Of the request's content.
    pub digest: [u8; 32],
    pub at_ms: i64,
    /// Older ones are forgotten.
    pub forget_before_ms: i64,
}

/// What became of an insert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    Done,
    /// The same request was carried out before and made this.
    Before {
        id: Uuid,
    },
    /// The key was used for another request.
    OtherRequest,
    NumberTaken,
    /// The queue of jobs is full.
    QueueFull,
}

/// Where sealed values are: names of our own schema, and what the version in a value's place is.
#[derive(Clone, Copy, Debug)]
pub struct SealedColumn {
    pub table: &'static str,
    /// The column that says whose it is.
    pub id: &'static str,
    pub column: &'static str,
    /// A column, or a number.
    pub version: &'static str,
    /// Of what is sealed under a subject's key: the column that says whose.
    pub subject: Option<&'static str>,
}

/// A sealed value and whose it is.
#[derive(Clone, Debug)]
pub struct SealedCell {
    pub id: Uuid,
    pub version: u32,
    pub sealed: Vec<u8>,
    pub subject: Option<Uuid>,
}
