//! Whatever a caller says: triage answers, every span is a cut of the text, nothing panics.
#![no_main]
use std::path::Path;
use std::sync::LazyLock;

use hotline_domain::triage::{Input, Triage};
use libfuzzer_sys::fuzz_target;

static TRIAGE: LazyLock<Triage> = LazyLock::new(|| {
    let knowledge = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/knowledge");
    Triage::load(&knowledge).expect("the shipped knowledge base loads")
});

fuzz_target!(|text: &str| {
    let called_on = "2026-11-23".parse().expect("a date");
    let input = Input { text, language: None, called_on, jurisdiction: "US" };
    let analysis = TRIAGE.analyze(&input, None);
    for issue in &analysis.issues {
        for span in &issue.spans {
            assert_eq!(text.get(span.start..span.end), Some(span.text.as_str()));
        }
    }
});
