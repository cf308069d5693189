//! Triage as a whole, over the shipped knowledge: labelled calls, the demonstration call word by
//! word, and random text.
use std::collections::BTreeSet;
use std::path::PathBuf;

use jiff::civil::{Date, date};
use proptest::prelude::*;
use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Calls {
    call: Vec<Call>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    id: String,
    set: String,
    #[serde(default)]
    language: Option<String>,
    #[serde(default)]
    called_on: Option<Date>,
    issues: Vec<String>,
    #[serde(default)]
    secondary: Vec<String>,
    urgency: UrgencyLevel,
    #[serde(default)]
    deadlines: Vec<Expected>,
    text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    kind: DeadlineKind,
    date: Date,
    safe: Date,
}

const CALLED_ON: Date = date(2026, 11, 23);

fn triage() -> Triage {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../config/knowledge");
    Triage::load(&folder).unwrap()
}

fn calls() -> Vec<Call> {
    let calls: Calls = toml::from_str(include_str!("testdata/calls.toml")).unwrap();
    calls.call
}

fn analyze(triage: &Triage, call: &Call) -> Analysis {
    let input = Input {
        text: &call.text,
        language: call.language.as_deref(),
        called_on: call.called_on.unwrap_or(CALLED_ON),
        jurisdiction: "US",
    };
    triage.analyze(&input, None)
}

fn spoken(triage: &Triage, text: &str) -> Analysis {
    triage.analyze(&Input { text, language: None, called_on: CALLED_ON, jurisdiction: "US" }, None)
}

fn codes(analysis: &Analysis, secondary: bool) -> BTreeSet<String> {
    analysis.issues.iter().filter(|issue| issue.secondary == secondary).map(|issue| issue.code.0.clone()).collect()
}

/// Mean F1 over the main issues that occur in the set or were predicted for it.
fn macro_f1(triage: &Triage, set: &str) -> (f64, Vec<String>) {
    let mut misses = Vec::new();
    let mut counts: std::collections::BTreeMap<String, (f64, f64, f64)> = Default::default();
    for call in calls().iter().filter(|call| call.set == set) {
        let wanted: BTreeSet<String> = call.issues.iter().cloned().collect();
        let got = codes(&analyze(triage, call), false);
        for code in wanted.union(&got) {
            let count = counts.entry(code.clone()).or_default();
            match (wanted.contains(code), got.contains(code)) {
                (true, true) => count.0 += 1.0,
                (false, _) => count.1 += 1.0,
                (true, false) => count.2 += 1.0,
            }
        }
        if wanted != got {
            misses.push(format!("{}: wanted {wanted:?}, got {got:?}", call.id));
        }
    }
    let sum: f64 = counts.values().map(|(hit, extra, missed)| 2.0 * hit / (2.0 * hit + extra + missed)).sum();
    (sum / counts.len() as f64, misses)
}

#[test]
fn issues_of_the_tuned_calls_do_not_regress() {
    let (f1, misses) = macro_f1(&triage(), "tuned");
    println!("tuned macro-F1 {f1:.3}\n{}", misses.join("\n"));
    assert!(f1 >= 0.95, "macro-F1 {f1:.3}\n{}", misses.join("\n"));
}

#[test]
fn issues_of_calls_never_tuned_on_are_mostly_found() {
    let (f1, misses) = macro_f1(&triage(), "held-out");
    println!("held-out macro-F1 {f1:.3}\n{}", misses.join("\n"));
    assert!(f1 >= 0.85, "macro-F1 {f1:.3}\n{}", misses.join("\n"));
}

#[test]
fn no_urgent_call_is_ranked_below_its_level() {
    let triage = triage();
    let (mut low, mut high) = (Vec::new(), 0);
    let calls = calls();
    for call in &calls {
        let got = analyze(&triage, call).urgency;
        if got.level < call.urgency {
            low.push(format!("{} ({}): wanted {:?}, got {:?}", call.id, call.set, call.urgency, got.level));
        }
        if got.level > call.urgency {
            println!("{}: {:?} for {:?}, {}", call.id, got.level, call.urgency, got.reasons[0].label);
            high += 1;
        }
    }
    println!("too low: {low:?}; too high: {high} of {}", calls.len());
    assert!(low.is_empty(), "{}", low.join("\n"));
    assert!(high * 5 <= calls.len(), "{high} of {} calls ranked too high", calls.len());
}

#[test]
fn deadlines_of_the_labelled_calls_are_read_right() {
    let triage = triage();
    let mut wrong = Vec::new();
    for call in calls().iter().filter(|call| !call.deadlines.is_empty()) {
        let analysis = analyze(&triage, call);
        let got: Vec<_> = analysis.deadlines.iter().map(|found| (found.kind, found.date, found.safe_date)).collect();
        let wanted: Vec<_> = call.deadlines.iter().map(|known| (known.kind, known.date, known.safe)).collect();
        if got != wanted {
            wrong.push(format!("{}: wanted {wanted:?}\n    got {got:?}", call.id));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn secondary_tags_are_found_where_labelled() {
    let triage = triage();
    for call in calls().iter().filter(|call| call.set == "tuned" && !call.secondary.is_empty()) {
        let got = codes(&analyze(&triage, call), true);
        assert!(call.secondary.iter().all(|code| got.contains(code)), "{}: {got:?}", call.id);
    }
}

#[test]
fn every_quote_is_a_cut_of_the_text() {
    let triage = triage();
    for call in calls() {
        check_spans(&call.text, &analyze(&triage, &call));
    }
}

fn spans(analysis: &Analysis) -> Vec<&Span> {
    let mut spans: Vec<&Span> = Vec::new();
    spans.extend(analysis.issues.iter().flat_map(|issue| &issue.spans));
    spans.extend(analysis.urgency.reasons.iter().map(|reason| &reason.span));
    spans.extend(analysis.deadlines.iter().map(|deadline| &deadline.span));
    spans.extend(analysis.deadlines.iter().filter_map(|deadline| deadline.anchor.as_ref().map(|anchor| &anchor.span)));
    spans.extend(analysis.entities.iter().map(|entity| &entity.span));
    spans.extend(analysis.summary.iter().map(|sentence| &sentence.span));
    spans
}

fn check_spans(text: &str, analysis: &Analysis) {
    for span in spans(analysis) {
        assert_eq!(text.get(span.start..span.end), Some(span.text.as_str()));
        assert!(!span.text.is_empty());
    }
    for sentence in &analysis.summary {
        assert_eq!(sentence.text, sentence.span.text);
    }
    for deadline in &analysis.deadlines {
        assert!(deadline.safe_date <= deadline.date);
        assert!(deadline.alternatives.iter().all(|other| deadline.safe_date <= other.date));
    }
}

#[test]
fn the_demonstration_call_comes_out_whole() {
    let triage = triage();
    for call in calls().iter().filter(|call| call.id.starts_with("demo")) {
        let analysis = analyze(&triage, call);
        let entity = |kind| {
            let of_kind = analysis.entities.iter().filter(move |entity| entity.kind == kind);
            of_kind.map(|entity| entity.value.to_lowercase()).collect::<Vec<_>>()
        };
        assert_eq!(entity(EntityKind::Money), ["usd 2400"], "{}", call.id);
        assert_eq!(entity(EntityKind::Phone), ["5550142"], "{}", call.id);
        assert_eq!(entity(EntityKind::Person)[0], "maria lopez", "{}", call.id);
        if call.id != "demo-unpunctuated" {
            assert_eq!(entity(EntityKind::Person), ["maria lopez", "peterson"]);
            let summary: Vec<&str> = analysis.summary.iter().map(|sentence| sentence.text.as_str()).collect();
            assert!(summary[0].contains("notice to pay or quit"), "{summary:?}");
            assert!((2..=4).contains(&summary.len()));
        }
        assert_eq!(analysis.urgency.level, UrgencyLevel::Urgent, "{}", call.id);
        assert_eq!(analysis.issues[0].code.0, "HO-01");
        assert!(!analysis.abstained);
        let notice = &analysis.deadlines[0];
        assert_eq!(notice.label, "3-day notice ends");
        assert_eq!(notice.anchor.as_ref().map(|anchor| anchor.date), Some(date(2026, 11, 17)));
        assert!(notice.assumption.contains("ended before the call"));
        let hearing = &analysis.deadlines[2];
        assert_eq!(hearing.label, "Court hearing");
        let steps = triage.recommend(&analysis, "US-CA", CALLED_ON);
        let ids: Vec<&str> = steps.steps.iter().map(|step| step.id.as_str()).collect();
        assert!(ids.contains(&"us-ca-eviction") && ids.contains(&"us-lockout"), "{ids:?}");
        assert!(!ids.contains(&"us-eviction-answer"), "the local step stands in for the general one");
        assert_eq!(steps.notice, "This is information, not legal advice.");
        assert_eq!(steps.state, DraftState::Draft);
    }
}

#[test]
fn the_json_is_camel_case_and_comes_back_the_same() {
    let triage = triage();
    let analysis = analyze(&triage, &calls()[0]);
    let json = serde_json::to_string(&analysis).unwrap();
    for key in ["\"safeDate\"", "\"rulesSha256\"", "\"notice-period\"", "\"urgent\"", "\"abstained\""] {
        assert!(json.contains(key), "{key}");
    }
    let back: Analysis = serde_json::from_str(&json).unwrap();
    assert!(back == analysis);
    let printed = format!("{analysis:?} {:?} {:?}", analysis.issues, analysis.entities);
    assert!(!printed.contains("Lopez") && !printed.contains("rent"), "no caller words in Debug");
}

#[test]
fn a_denial_lowers_a_reason_and_never_drops_it() {
    let triage = triage();
    let level = |text: &str| spoken(&triage, text).urgency.level;
    assert_eq!(level("He hit me."), UrgencyLevel::Emergency);
    assert_eq!(level("He never hit me."), UrgencyLevel::Soon);
    assert_eq!(level("I am not suicidal."), UrgencyLevel::Urgent);
    for doubt in [
        "He not only hit me, he took my phone.",
        "I'm not sure if he hit me or I fell.",
        "I am no longer safe, he hit me.",
        "I did not call, he hit me.",
        "He would not stop hitting me.",
        "I don't know why he hit me.",
        "It is not that he hit me hard.",
    ] {
        assert_eq!(level(doubt), UrgencyLevel::Emergency, "{doubt}");
    }
}

#[test]
fn embedding_scores_move_probabilities_and_bad_ones_are_ignored() {
    let triage = triage();
    let text = "It is about the place where we live and the man who owns it.";
    let input = Input { text, language: None, called_on: CALLED_ON, jurisdiction: "US" };
    let count = triage.issues().len();
    let mut scores = vec![0.1; count];
    scores[0] = 0.9;
    let with = |scores: Vec<f32>| triage.analyze(&input, Some(&EmbeddingScores { model: "test".into(), scores }));
    let plain = triage.analyze(&input, None);
    assert!(plain.abstained);
    assert_eq!(plain.model.name, "rules");
    let moved = with(scores.clone());
    assert_eq!(moved.model.name, "rules+test");
    let demo = calls().remove(0);
    let demo_input = Input { text: &demo.text, ..input };
    let lifted = triage.analyze(&demo_input, Some(&EmbeddingScores { model: "test".into(), scores: scores.clone() }));
    assert!(lifted.issues[0].probability > triage.analyze(&demo_input, None).issues[0].probability);
    scores[3] = f32::NAN;
    assert!(with(scores) == plain);
    assert!(with(vec![0.5; count + 1]) == plain);
    assert!(with(vec![0.5; count]).abstained);
}

#[test]
fn a_long_text_is_cut_on_a_character_and_says_so() {
    let triage = triage();
    let text = "ñandú ".repeat(20_000);
    let analysis = spoken(&triage, &text);
    assert!(analysis.truncated && analysis.abstained);
    check_spans(&text, &analysis);
}

#[test]
fn an_empty_text_abstains() {
    let analysis = spoken(&triage(), "");
    assert!(analysis.abstained && analysis.summary.is_empty());
    assert_eq!(analysis.urgency.level, UrgencyLevel::Routine);
}

fn fragments() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "three",
        "day",
        "notice",
        "last",
        "Tuesday",
        "next",
        "Friday",
        "$",
        "2,400",
        "12/3",
        "2026-12-03",
        "hace",
        "in",
        "días",
        "weeks",
        "ago",
        "court",
        "December",
        "third",
        "thirty",
        "first",
        ".",
        ",",
        "—",
        "’",
        "'s",
        "mañana",
        "no",
        "he",
        "hit",
        "me",
        "my name is",
        "Mr.",
        "999999999999999999",
        "31/31/9999",
        "Feb",
        "29",
        "the",
        "15th",
        "by",
        "million",
        "billion",
        "billion",
        "twenty",
        "oh",
        "five",
        "555-0142",
        "to respond",
        "gave me",
        "days",
        "notice",
        "ago",
        "week from",
        "el",
        "pasado",
        "we'll",
        "...",
        "Mi",
        "calle",
        "Bank",
        "of",
        "oak street",
        "12",
        "\u{301}",
        "🏠",
        "٣",
        "ß",
        "İ",
        "\n",
        "within",
        "years",
    ]);
    prop::collection::vec(words, 0..60).prop_map(|words| words.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_without_panic_and_quoted_right(
        text in prop_oneof![any::<String>(), fragments()],
        spanish in any::<bool>(),
        day in 0_i64..40_000,
    ) {
        thread_local!(static TRIAGE: Triage = triage());
        let called_on = date(1950, 1, 1).checked_add(jiff::Span::new().days(day)).unwrap();
        let language = spanish.then_some("es");
        TRIAGE.with(|triage| {
            let analysis = triage.analyze(&Input { text: &text, language, called_on, jurisdiction: "US" }, None);
            check_spans(&text, &analysis);
            triage.recommend(&analysis, "US-NY", called_on);
        });
    }
}
