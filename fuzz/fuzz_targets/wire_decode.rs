//! Frames from a worker that lies: decoding refuses, never panics, never allocates beyond the cap.
#![no_main]
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = hotline::wire::decode::<hotline::wire::FromWorker>(bytes);
    let _ = hotline::wire::decode::<hotline::wire::ToScribe>(bytes);
});
