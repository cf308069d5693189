//! Keys and sealing.
mod class;

pub use class::KeyClass;
