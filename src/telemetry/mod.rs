//! What operators see: the log, and one merged page of metrics.
pub mod logging;
mod merge;
pub mod names;
mod recorder;
mod snapshot;

pub use merge::Merged;
pub use recorder::Recorder;
pub use snapshot::{Family, FamilyKind, Sample, Snapshot};
