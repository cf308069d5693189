//! The repository itself: no overlong file, no test left out without a reason, no undocumented knob or metric, no
//! trap that is said to be guarded and is not.
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::support::repository;

fn tracked(suffix: &str) -> Vec<PathBuf> {
    let output = Command::new("git").args(["ls-files"]).current_dir(repository()).output().unwrap();
    let listed = String::from_utf8(output.stdout).unwrap();
    listed.lines().filter(|file| file.ends_with(suffix)).map(|file| repository().join(file)).collect()
}

#[test]
fn no_source_file_is_longer_than_500_lines() {
    for file in tracked(".rs") {
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        assert!(lines <= 500, "{} has {lines} lines: split it by idea", file.display());
    }
}

#[test]
fn every_source_file_says_what_it_is_for() {
    for file in tracked(".rs") {
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("//!") || text.starts_with("#!"), "{} does not open with its purpose", file.display());
    }
}

#[test]
fn no_test_is_ignored_without_a_reason() {
    let bare = concat!("#[", "ignore]");
    for file in tracked(".rs") {
        assert!(!fs::read_to_string(&file).unwrap().contains(bare), "{}", file.display());
    }
}

#[test]
fn no_key_and_no_model_is_in_the_repository() {
    for file in tracked("") {
        let name = file.to_string_lossy().into_owned();
        assert!(![".key", ".pem", ".bin", ".safetensors"].iter().any(|suffix| name.ends_with(suffix)), "{name}");
        let bytes = fs::metadata(&file).map(|meta| meta.len()).unwrap_or(0);
        assert!(bytes < 1 << 20, "{name} is {bytes} bytes");
    }
}

#[test]
fn every_metric_is_listed_for_operators() {
    let page = fs::read_to_string(repository().join("ARCHITECTURE.md")).unwrap();
    for name in hotline::telemetry::names::ALL {
        assert!(page.contains(name.name), "{} is missing in ARCHITECTURE.md", name.name);
    }
}

#[test]
fn every_trap_is_guarded_by_tests_that_exist() {
    let page = fs::read_to_string(repository().join("tests/README.md")).unwrap();
    let sources: Vec<String> = tracked(".rs").iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let is_there = |name: &str| sources.iter().any(|source| has_test(source, name));
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| trap "));
    let mut guards_count = 0;
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        let [trap, guards] = cells[..] else { panic!("not two columns: {row}") };
        let names: Vec<&str> = guards.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty() || guards.contains("Does not apply: "), "nothing guards against: {trap}");
        for name in names {
            assert!(is_there(name), "{name} is no test (against:{trap})");
            guards_count += 1;
        }
    }
    assert!(guards_count > 0, "no table in tests/README.md");
}

/// A function of that name with an attribute that makes it a test.
fn has_test(source: &str, name: &str) -> bool {
    let signature = format!("fn {name}(");
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let heads =
        |at: usize| lines[..at].iter().rev().take_while(|line| line.starts_with("#[") || line.starts_with("//"));
    let is_it = |line: &str| line.trim_start_matches("async ").starts_with(&signature);
    lines.iter().enumerate().any(|(at, line)| is_it(line) && heads(at).any(|head| head.contains("test")))
}
