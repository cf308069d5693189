//! Prints what the engine hears in a file, and what that cost.
//!
//!     cargo run -p hotline-background --example transcribe -- RECORDING [MODEL] [THREADS]
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use hotline_background::speech::{Job, Settings, Whisper, transcribe};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let recording = std::fs::read(arguments.next().ok_or("name a recording")?)?;
    let model = arguments.next().map_or_else(|| PathBuf::from("models/ggml-base.bin"), PathBuf::from);
    let threads = arguments.next().map_or(Ok(1), |threads| threads.parse())?;

    let start = Instant::now();
    let engine = Whisper::load(&model, Settings { threads })?;
    let loaded = start.elapsed();
    let start = Instant::now();
    let transcript = transcribe(&engine, &recording, None, None, 3_600, &Job::default())?;
    let took = start.elapsed();

    println!("{}", transcript.text);
    for segment in &transcript.segments {
        let (start, end) = (segment.start_ms as f64 / 1e3, segment.end_ms as f64 / 1e3);
        println!("{start:7.2}–{end:7.2} {:.2} {}", segment.confidence, segment.text);
    }
    println!(
        "{} ({:.2}), {} ms of audio, partial: {}, confidence {:.2}, {}",
        transcript.language,
        transcript.language_probability,
        transcript.duration_ms,
        transcript.partial,
        transcript.confidence(),
        transcript.engine.name,
    );
    println!(
        "load {:.2} s, run {:.2} s, {:.3} s per second of audio, peak memory {}",
        loaded.as_secs_f64(),
        took.as_secs_f64(),
        took.as_secs_f64() * 1e3 / transcript.duration_ms as f64,
        peak_memory().unwrap_or_else(|| "unknown".into()),
    );
    Ok(())
}

fn peak_memory() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    Some(status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().to_owned())
}
