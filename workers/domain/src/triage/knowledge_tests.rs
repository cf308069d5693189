//! A knowledge folder that is wrong must say where, what and how to mend it.
use std::fs;
use std::path::{Path, PathBuf};

use jiff::civil::date;

use super::*;

fn shipped() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../config/knowledge")
}

/// The shipped folder with one replacement in one file.
fn with(file: &str, from: &str, to: &str) -> (tempfile::TempDir, Result<Triage, TriageError>) {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(shipped()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|kind| kind == "toml") {
            fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    let path = folder.path().join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{file} has no {from:?}");
    fs::write(&path, text.replacen(from, to, 1)).unwrap();
    let loaded = Triage::load(folder.path());
    (folder, loaded)
}

fn refusal(file: &str, from: &str, to: &str) -> String {
    match with(file, from, to).1 {
        Ok(_) => panic!("{to:?} in {file} was accepted"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_wrong_value_is_refused_with_file_key_value_and_remedy() {
    let table = [
        ("issues.toml", "cut = 0.5", "cut = 1.7", &["issues.toml", "HO-01 cut", "1.7", "between 0 and 1"][..]),
        ("issues.toml", "code = \"HO-01\"", "code = \"eviction\"", &["code", "eviction", "such as HO-01"]),
        ("issues.toml", "code = \"HO-02\"", "code = \"HO-01\"", &["HO-01", "a code of its own"]),
        ("issues.toml", "\"pay or quit\"", "\"..  quit\"", &["HO-01 strong", "starts with a word"]),
        ("issues.toml", "bias =", "biass =", &["issues.toml", "biass", "expected one of"]),
        ("urgency.toml", "negated = \"urgent\"", "negated = \"grave\"", &["urgency.toml", "grave", "emergency"]),
        ("urgency.toml", "soon_within_days = 30", "soon_within_days = 3", &["soon_within_days", "3", "no less than"]),
        ("deadlines.toml", "kind = \"answer\"", "kind = \"hearing\"", &["deadlines.toml", "every kind once"]),
        (
            "steps-us.toml",
            "issues = [\"FA-01\"]",
            "issues = [\"FA-99\"]",
            &["steps-us.toml", "us-protection-order issues", "FA-99"],
        ),
        ("steps-us.toml", "https://988", "http://988", &["us-crisis-988 source.url", "https://"]),
        (
            "steps-us.toml",
            "review_by = \"2027-02-28\"",
            "review_by = \"2020-01-01\"",
            &["review_by", "2020-01-01", "after as_of"],
        ),
        ("steps-us.toml", "jurisdiction = \"US\"", "jurisdiction = \"us\"", &["jurisdiction", "US-CA"]),
        ("steps-us-ca.toml", "id = \"us-ca-eviction\"", "id = \"us-lockout\"", &["us-lockout", "an id of its own"]),
    ];
    for (file, from, to, parts) in table {
        let message = refusal(file, from, to);
        for part in parts {
            assert!(message.contains(part), "{part:?} missing in: {message}");
        }
    }
}

#[test]
fn a_missing_folder_says_what_belongs_there() {
    let Err(error) = Triage::load(Path::new("/nowhere/knowledge")) else { panic!("loaded nothing") };
    assert!(error.to_string().contains("issues.toml"), "{error}");
}

#[test]
fn the_digest_follows_the_rules() {
    let digest = |triage: &Triage| {
        let input = Input { text: "", language: None, called_on: date(2026, 11, 23), jurisdiction: "US" };
        triage.analyze(&input, None).model.rules_sha256
    };
    let plain = Triage::load(&shipped()).unwrap();
    assert_eq!(digest(&plain), digest(&Triage::load(&shipped()).unwrap()));
    assert_eq!(digest(&plain).len(), 64);
    let changed = with("urgency.toml", "urgent_within_days = 7", "urgent_within_days = 8").1.unwrap();
    assert_ne!(digest(&plain), digest(&changed));
}

#[test]
fn steps_follow_place_language_and_age() {
    let triage = Triage::load(&shipped()).unwrap();
    let called_on = date(2026, 11, 23);
    let text = "Me llegó un aviso de desalojo y mi esposo me pega.";
    let analysis = triage.analyze(&Input { text, language: Some("es"), called_on, jurisdiction: "US-NY" }, None);
    let ids = |given: &Recommendations| given.steps.iter().map(|step| step.id.clone()).collect::<Vec<_>>();

    let york = triage.recommend(&analysis, "us_ny", called_on);
    assert_eq!(york.jurisdiction, "US-NY");
    assert_eq!(york.notice, "Esto es información, no asesoría legal.");
    assert!(york.steps[0].text.contains("911"), "safety comes first: {:?}", ids(&york));
    assert!(ids(&york).contains(&"us-ny-eviction".into()) && !ids(&york).contains(&"us-eviction-answer".into()));
    assert!(york.steps.iter().all(|step| !step.stale));

    let elsewhere = triage.recommend(&analysis, "US-TX", called_on);
    assert!(ids(&elsewhere).contains(&"us-eviction-answer".into()));
    assert!(elsewhere.steps.iter().chain(&elsewhere.referral).all(|step| step.jurisdiction == "US"));
    assert_eq!(triage.recommend(&analysis, "<script>", called_on).jurisdiction, "US");
    assert!(triage.recommend(&analysis, "FR", called_on).steps.is_empty(), "nothing is known about France");

    let later = triage.recommend(&analysis, "US", date(2030, 1, 1));
    assert!(!later.steps.is_empty() && later.steps.iter().all(|step| step.stale), "old steps are marked, not hidden");
}

#[test]
fn every_issue_knows_its_own_prompts() {
    let triage = Triage::load(&shipped()).unwrap();
    let prompts = triage.issue_prompts();
    assert_eq!(prompts.iter().map(|(code, _)| code.clone()).collect::<Vec<_>>(), triage.issues());
    for (code, sentences) in prompts {
        assert!(sentences.iter().all(|sentence| sentence.len() > 20), "{code:?}");
        // Each prompt is a plain case of its issue, so the rules must know it too.
        let known = sentences.iter().filter(|sentence| {
            let input =
                Input { text: sentence, language: Some("en"), called_on: date(2026, 11, 23), jurisdiction: "US" };
            triage.analyze(&input, None).issues.iter().any(|issue| issue.code == code)
        });
        assert!(known.count() * 2 >= sentences.len(), "{code:?} does not recognise its own prompts");
    }
}
