//! What two builds must have in common before one may follow the other in a running service.
//!
//! While workers are replaced one after the other, the new supervisor speaks with workers of the old build, both
//! builds share the board and the store, and a change that fails is taken back. All of this is defined by a few
//! source files; their fingerprint is compared, so nobody has to remember to raise a number. It differs more often
//! than it must (a comment counts), and then the answer is a restart, which loses nobody either.

/// Of everything that two builds exchange while both are there.
pub const COMMON_GROUND: u64 = {
    let mut hash = FNV_OFFSET;
    let mut at = 0;
    while at < SOURCES.len() {
        hash = fold(hash, SOURCES[at]);
        at += 1;
    }
    hash
};

const SOURCES: [&[u8]; 24] = [
    // What the processes say to each other …
    include_bytes!("message.rs"),
    include_bytes!("frame.rs"),
    include_bytes!("permit.rs"),
    include_bytes!("policy.rs"),
    include_bytes!("../audit/event.rs"),
    include_bytes!("../config/keys.rs"),
    include_bytes!("../config/sections.rs"),
    include_bytes!("../telemetry/snapshot.rs"),
    include_bytes!("../tickets/keys.rs"),
    include_bytes!("../vault/class.rs"),
    include_bytes!("../vault/data_keys.rs"),
    // … what they share …
    include_bytes!("../audit/checkpoint.rs"),
    include_bytes!("../audit/standing.rs"),
    include_bytes!("../board/generations.rs"),
    include_bytes!("../board/heartbeat.rs"),
    include_bytes!("../board/layout.rs"),
    include_bytes!("../board/limits.rs"),
    include_bytes!("../board/sessions.rs"),
    include_bytes!("../vault/stored.rs"),
    include_bytes!("../../workers/policy/src/roles.rs"),
    include_bytes!("../../workers/domain/src/store/sqlite/migrate.rs"),
    // … and what one supervisor leaves to the next.
    include_bytes!("../lifecycle/slot_life/record.rs"),
    include_bytes!("../supervisor/handover.rs"),
    include_bytes!("../telemetry/merge.rs"),
];

/// FNV-1a: told apart, not kept secret.
const fn fold(mut hash: u64, bytes: &[u8]) -> u64 {
    let mut at = 0;
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u64).wrapping_mul(FNV_PRIME);
        at += 1;
    }
    hash
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_letter_tells_builds_apart() {
        // Reference values of the published algorithm.
        assert_eq!(fold(FNV_OFFSET, b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fold(FNV_OFFSET, b"foobar"), 0x8594_4171_f739_67e8);
        assert_ne!(fold(FNV_OFFSET, b"foobas"), fold(FNV_OFFSET, b"foobar"));
    }
}
