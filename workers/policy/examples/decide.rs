//! What a decision costs: asked of the engine, and remembered.
//!
//! `cargo run --release -p hotline-policy --example decide`
#![allow(clippy::print_stdout)]
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use hotline_policy::{Action, Ask, Circumstances, Clearance, Matter, Minute, Policy, Remembered, Role, Standing, Who};
use uuid::Uuid;

fn main() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/policy");
    let read =
        |path: std::path::PathBuf| (path.display().to_string(), std::fs::read_to_string(path).unwrap_or_default());
    let entries =
        std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{error}")).flatten().map(|entry| entry.path());
    let files = entries.filter(|path| path.extension().is_some_and(|found| found == "cedar")).map(read).collect();
    let begun = Instant::now();
    let policy = Policy::load(&files).unwrap_or_else(|error| panic!("{error}"));
    println!("load and check {} policies   {:>9.1} ms", policy.count(), begun.elapsed().as_secs_f64() * 1_000.0);

    let standing = Standing::new(&[Role::Attorney], None, 2);
    let who = Who { user: Uuid::from_u128(1), standing };
    let when = Circumstances { minute: Minute::of_ms(0), purpose: None };
    let matter = Matter {
        id: Uuid::from_u128(2),
        classification: Clearance::Confidential,
        state: "open".to_owned(),
        jurisdiction: "US-CA".to_owned(),
        walled: (10..13).map(Uuid::from_u128).collect(),
        ..Matter::default()
    };
    time("asked of the engine, one matter", 20_000, || {
        black_box(policy.decide(black_box(&who), Action::CaseAccess, Some(black_box(&matter)), &when));
    });
    time("asked of the engine, all of a session", 2_000, || {
        black_box(policy.permissions(black_box(standing), when.minute));
    });
    let remembered = Remembered::new(65_536);
    let ask = |n: u64| Ask { who, action: Action::CaseAccess, matter: Uuid::from_u128(u128::from(n)), state: 1, when };
    (0..10_000).for_each(|n| remembered.note_matter(ask(n), true));
    let mut n = 0;
    time("remembered, one matter of 10,000", 5_000_000, || {
        n = (n + 7_919) % 10_000;
        black_box(remembered.of_matter(black_box(&ask(n))));
    });
    remembered.note_house(standing, when.minute, policy.permissions(standing, when.minute));
    time("remembered, all of a session", 5_000_000, || {
        black_box(remembered.of_house(black_box(standing), when.minute));
    });
}

fn time(what: &str, times: u32, mut run: impl FnMut()) {
    (0..times / 10).for_each(|_| run());
    let begun = Instant::now();
    (0..times).for_each(|_| run());
    println!("{what:<40} {:>9.0} ns", begun.elapsed().as_secs_f64() * 1e9 / f64::from(times));
}
