//! One parsed configuration for every process.
mod sections;

pub use sections::*;
