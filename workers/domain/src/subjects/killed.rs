//! Whoever erases and is killed in the middle of it leaves a subject that is whole or one that is gone, never a part.
use std::process::Command;

use tempfile::TempDir;

use super::tests::{attorney, finished_call, is_gone, lies_in, recordings};
use super::*;
use crate::testing::{self, block_on, config, vault};

#[test]
fn a_process_that_dies_at_any_step_of_an_erasure_leaves_all_or_nothing() {
    for (name, step) in STEPS {
        let folder = TempDir::with_prefix("hotline-domain-").unwrap();
        let domain = testing::open(&config(&folder), vault());
        let lawyer = attorney(&domain);
        let (call, case) = finished_call(&domain, &lawyer);
        let subject = block_on(domain.subjects.of_case(&case.case_number)).unwrap().unwrap();
        let keys = block_on(domain.subjects.store.subjects(vec![subject])).unwrap().remove(0).keys.unwrap();
        drop(domain);
        assert!(!doomed(&folder, subject, name), "{name}: it was to die");

        // As the next worker does, before it serves anybody; and the background worker after it.
        let domain = testing::open(&config(&folder), vault());
        block_on(domain.subjects.finish()).unwrap();
        let found = block_on(domain.cases.find(&lawyer, &case.case_number));
        if step == Step::Asked {
            assert_eq!(found.unwrap().found().unwrap().title, case.title, "nothing was decided, so nothing was done");
            assert!(block_on(domain.calls.find(&lawyer, call)).unwrap().found().is_some());
            assert_eq!(recordings(&folder), 1);
            continue;
        }
        assert!(is_gone(found), "{name}");
        assert!(is_gone(block_on(domain.calls.find(&lawyer, call))), "{name}");
        assert_eq!(recordings(&folder), 0, "{name}");
        assert!(block_on(domain.subjects.store.empty_write_log()).unwrap());
        assert!(!lies_in(&folder.path().join("store"), &keys.case_key_sealed), "{name}");
        // Asked again, it is as it would have been.
        assert!(matches!(block_on(domain.subjects.erase(subject, "uid:0")), Ok(Erased::Done { .. })));
    }
}

/// Whether it came to its end.
#[allow(clippy::disallowed_methods, reason = "this very test program, with no descriptors to keep from it")]
fn doomed(folder: &TempDir, subject: Uuid, dies_at: &str) -> bool {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", "subjects::killed::erases_until_it_is_killed"])
        .env(FOLDER, folder.path())
        .env(SUBJECT, subject.to_string())
        .env(DIES_AT, dies_at)
        .output();
    child.unwrap().status.success()
}

/// Not a test of its own: what the test above starts.
#[test]
fn erases_until_it_is_killed() {
    let (Ok(folder), Ok(subject)) = (std::env::var(FOLDER), std::env::var(SUBJECT)) else { return };
    let domain = testing::open(&testing::config_of(folder.as_ref()), vault());
    let subject = Uuid::parse_str(&subject).unwrap();
    block_on(domain.subjects.erase_step_by_step(subject, ErasedWhen::Wanted, "uid:0", |step| {
        let named = std::env::var(DIES_AT).unwrap();
        if STEPS.iter().any(|(name, of)| *name == named && *of == step) {
            std::process::abort();
        }
    }))
    .unwrap();
}

const STEPS: [(&str, Step); 4] = [
    ("asked", Step::Asked),
    ("listed", Step::Listed),
    ("committed", Step::Committed),
    ("files-removed", Step::FilesRemoved),
];
const FOLDER: &str = "HOTLINE_TEST_ERASE_FOLDER";
const SUBJECT: &str = "HOTLINE_TEST_ERASE_SUBJECT";
const DIES_AT: &str = "HOTLINE_TEST_ERASE_DIES_AT";
