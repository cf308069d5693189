//! The product's promises, each tried on the real executables.
//!
//! A module is a behaviour, a test is a promise. Everything listens on port 0 of loopback and keeps
//! its state in a temporary folder; nothing sleeps, everything waits for a condition.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // tests start processes and may panic
#![allow(unreachable_pub)] // one binary, nobody outside

mod support;

mod alerts;
mod audit_trail;
mod bad_input;
mod calls;
mod cases;
mod chaos;
mod command_line;
mod confinement;
mod evidence;
mod export;
mod faults;
mod hostile;
mod identity;
mod keys;
mod limits;
mod live;
mod machine;
mod machine_drop_ins;
mod machine_lives;
mod metrics;
mod misfortunes;
mod notify;
mod overload;
mod parent;
mod passkeys;
mod people;
mod policy;
mod reload;
mod retention;
mod scale;
mod secrecy;
mod shelter;
mod subjects;
mod successor;
mod systemd;
mod tickets;
mod tidy;
mod token_algorithm;
mod tokens;
mod top;
mod transparency;
mod transport;
mod upgrade;
