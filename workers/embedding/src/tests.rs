//! Against the real model: `make models` or `workers/background/models/fetch-models.py` brings it.
use std::sync::LazyLock;

use super::*;

static EMBEDDER: LazyLock<Embedder> = LazyLock::new(|| {
    let dir = std::env::var_os("HOTLINE_MODELS_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models"), PathBuf::from);
    Embedder::load(&dir.join("minilm"))
        .unwrap_or_else(|error| panic!("{error}\nfetch the models first: workers/background/models/fetch-models.py"))
});

#[test]
fn like_meanings_are_closer_than_unlike_ones() {
    let texts = [
        "My landlord wants me out of the apartment by Friday.",
        "I am being evicted from my home this week.",
        "My former husband will not let me see our children.",
        "The recipe needs two cups of flour and an egg.",
    ];
    let [landlord, evicted, custody, recipe] = EMBEDDER.embed(&texts).unwrap().try_into().unwrap();
    let same = similarity(&landlord, &evicted);
    for (name, other) in [("custody", &custody), ("recipe", &recipe)] {
        let unlike = similarity(&landlord, other);
        assert!(same > unlike + 0.2, "eviction {same}, {name} {unlike}");
    }
}

#[test]
fn the_vectors_are_those_of_the_published_model() {
    // First numbers of the reference implementation's vector (sentence-transformers) for this text.
    let [vector] = EMBEDDER.embed(&["This is an example sentence"]).unwrap().try_into().unwrap();
    for (ours, theirs) in vector.iter().zip([0.067_657, 0.063_496, 0.048_713, 0.079_305, 0.037_448]) {
        assert!((ours - theirs).abs() < 1e-4, "{ours} is not {theirs}");
    }
}

#[test]
fn order_and_company_do_not_change_a_vector() {
    let long = "He said he would change the locks and put my things on the street. ".repeat(12);
    let texts = [long.as_str(), "Hello.", "", "My hours were cut after I complained.", "Help me."];
    let together = EMBEDDER.embed(&texts).unwrap();
    for (text, vector) in texts.iter().zip(&together) {
        let [alone] = EMBEDDER.embed(&[text]).unwrap().try_into().unwrap();
        assert!(similarity(&alone, vector) > 0.9999, "{} bytes", text.len());
        assert!((similarity(vector, vector) - 1.0).abs() < 1e-4, "length one");
    }
}

#[test]
fn the_length_of_a_text_is_bounded() {
    let word = "eviction ";
    let long = word.repeat(TOKENS_MAX * 2);
    let longer = word.repeat(200_000);
    let [a, b] = EMBEDDER.embed(&[&long, &longer]).unwrap().try_into().unwrap();
    assert!(similarity(&a, &b) > 0.9999, "only the first {TOKENS_MAX} tokens count");
    // A cut inside a character would panic.
    EMBEDDER.embed(&[&"ä€😀".repeat(TEXT_BYTES_MAX)]).unwrap();
}

#[test]
fn a_folder_without_the_model_is_named() {
    let empty = tempfile::tempdir().unwrap();
    let error = Embedder::load(empty.path()).err().unwrap();
    assert!(error.to_string().contains("config.json"), "{error}");
    fs::write(empty.path().join("config.json"), "{").unwrap();
    let error = Embedder::load(empty.path()).err().unwrap();
    assert!(matches!(error, EmbeddingError::Load { .. }), "{error}");
}

/// `cargo nextest run -p hotline-embedding --run-ignored only --no-capture time_of_a_sentence`
#[test]
#[ignore = "a measurement, not a promise"]
fn time_of_a_sentence() {
    let text = "My landlord put a three day notice to pay or quit on my door last Tuesday.";
    EMBEDDER.embed(&[text]).unwrap();
    let start = std::time::Instant::now();
    for _ in 0..20 {
        EMBEDDER.embed(&[text]).unwrap();
    }
    println!("{:.1} ms per sentence alone", start.elapsed().as_secs_f64() * 50.0);
    let batch = [text; 64];
    let start = std::time::Instant::now();
    EMBEDDER.embed(&batch).unwrap();
    println!("{:.1} ms per sentence among 64", start.elapsed().as_secs_f64() * 1e3 / 64.0);
}
