//! A small storm of everything that `make chaos` does at length: no promise is broken, whatever dies under load.
#[path = "../benches/chaos/storm/mod.rs"]
mod storm;

use storm::Plan;

#[test]
fn a_storm_of_kills_and_changes_breaks_no_promise() {
    let seed = std::env::var("HOTLINE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let plan = Plan {
        seed,
        kills: 6,
        reloads: 2,
        upgrades: 1,
        supervisor_kills: 1,
        callers: 2,
        rate: 120,
        backoff_max_ms: 200,
    };
    let report = storm::run(&plan);
    eprintln!("{report}\n{}", report.json());
    assert_eq!(report.broken_promises(), Vec::<String>::new(), "HOTLINE_SEED={seed} repeats the order");
    assert!(report.reckoning.acknowledged > 0, "nobody wrote");
    assert_eq!(report.returns.len(), 7, "every killed process was followed by another");
    assert!(report.returns.iter().any(|back| back.accept.is_some()), "nobody waited in a dead worker's queue");
}
