//! A storm: the running service under steady load while its processes are killed and replaced in a seeded order.
//!
//! Callers come over new and kept connections, HTTP/1.1 and HTTP/2, and read and write. What became of every request
//! falls into one class, with the kills that may explain it; afterwards every write is looked for, and the audit log is
//! verified. Times are measured and told, and decide nothing.
mod book;
mod caller;
mod chance;
mod inflict;
mod load;
mod multiplexed;
mod outcome;
mod plan;
mod reckoning;
mod report;
mod watch;

pub use plan::Plan;
pub use report::Report;

use inflict::Scene;
use load::Load;

/// Carries the whole plan out. Panics when the service does not come back at all.
pub fn run(plan: &Plan) -> Report {
    let mut scene = Scene::set(plan);
    let order = plan.faults();
    let load = Load::start(plan, &scene);
    let mut pauses = chance::Chance::new(plan.seed);
    for (number, fault) in order.iter().enumerate() {
        load.progress(pauses.between(5, 25));
        eprintln!("chaos: {}/{} {fault:?}", number + 1, order.len());
        scene.inflict(fault, &load.outcomes);
    }
    load.progress(25);
    let (outcomes, book) = load.finish();
    let reckoning = reckoning::settle(&scene, &book);
    Report { plan: plan.clone(), outcomes, reckoning, returns: scene.returns() }
}
