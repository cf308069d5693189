//! Whatever a stranger offers as a session ticket: it does not open, and nothing panics.
#![no_main]
use std::sync::LazyLock;

use hotline::tickets::{KEY_NAME_BYTES, Sealer, TicketKeys};
use libfuzzer_sys::fuzz_target;

static SEALER: LazyLock<Sealer> = LazyLock::new(|| Sealer::new(&TicketKeys::random().expect("random bytes")));
/// With the name of our key, forgeries get as far as the cipher.
static OURS: LazyLock<Vec<u8>> = LazyLock::new(|| SEALER.seal(b"session").expect("a short session"));

fuzz_target!(|bytes: &[u8]| {
    assert!(SEALER.open(bytes).is_err());
    assert!(SEALER.open(&[&OURS[..KEY_NAME_BYTES], bytes].concat()).is_err());
    let sealed = SEALER.seal(bytes).expect("a fuzzed input is short enough");
    assert_eq!(SEALER.open(&sealed).as_deref(), Ok(bytes));
});
