//! Whatever is uploaded as a recording: recognising it reads within its bytes and never panics.
#![no_main]
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = hotline_domain::audio::sniff(bytes);
    let _ = hotline_domain::audio::sniff_declared(bytes, Some("audio/basic"));
});
