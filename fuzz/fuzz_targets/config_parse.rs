//! Whatever an operator's editor leaves behind: parsing names mistakes, never panics.
#![no_main]
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = hotline::config::Config::load(hotline::config::LoadFrom::text(text));
});
