//! Whatever a peer sends in the place of a PROXY header: nobody is introduced by half of one, and nothing panics.
#![no_main]
use libfuzzer_sys::fuzz_target;

#[allow(dead_code)] // it brings its own tests
#[path = "../../workers/api/src/connection/introduction.rs"]
mod introduction;

use introduction::{FIXED_BYTES, Introduced, parse, rest_bytes};

fuzz_target!(|bytes: &[u8]| {
    let Some((fixed, rest)) = bytes.split_first_chunk::<FIXED_BYTES>() else { return };
    // With the signature in its place inputs get as far as the addresses.
    let mut signed = *fixed;
    signed[..12].copy_from_slice(b"\r\n\r\n\0\r\nQUIT\n");
    check(fixed, rest);
    check(&signed, rest);
});

fn check(fixed: &[u8; FIXED_BYTES], rest: &[u8]) {
    match (rest_bytes(fixed), parse(fixed, rest)) {
        (Some(length), Some(Introduced::Caller(_))) => assert!(length == rest.len() && length >= 12),
        (Some(length), Some(Introduced::Itself)) => assert_eq!(length, rest.len()),
        (_, None) => {}
        (None, Some(who)) => panic!("{who:?} by no header"),
    }
}
