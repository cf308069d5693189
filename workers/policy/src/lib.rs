//! Who may do what: roles and attributes, decided by policies that are files, each decision with its reasons.
//!
//! A policy permits or forbids; what nothing permits is denied, and a `forbid` wins over every `permit`. The files are
//! checked against a schema when they are loaded, and some promises (walls, holds, callers) are not in the files at
//! all. The engine takes microseconds; [`Remembered`] makes that nanoseconds for what was decided a moment ago.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod actions;
mod engine;
mod facts;
mod files;
mod matrix;
mod promises;
mod remembered;
mod roles;
#[cfg(test)]
mod tests;

pub use actions::{Action, Permissions};
pub use engine::{Decision, Policy, Reason};
pub use facts::{Circumstances, Grant, Matter, Minute, Purpose, Who};
pub use files::{Files, PolicyError};
pub use matrix::matrix;
pub use remembered::{Ask, Remembered};
pub use roles::{Clearance, Role, Standing};
