//! The language of a text: what the speech engine said, else a guess that is used only when the
//! guesser calls it reliable, else English. Cues of all languages are always heard; this decides
//! how numbers are read and in which language the notice is written.

/// A short tag such as `en` or `es`.
pub(super) fn of(text: &str, told: Option<&str>) -> String {
    if let Some(tag) = told.and_then(primary_tag) {
        return tag;
    }
    let sample = &text[..text.floor_char_boundary(SAMPLE_BYTES_MAX)];
    let guess = whatlang::detect(sample).filter(|guess| guess.is_reliable());
    match guess.map(|guess| guess.lang()) {
        Some(whatlang::Lang::Spa) => "es".to_owned(),
        Some(whatlang::Lang::Eng) => "en".to_owned(),
        _ => by_small_words(sample).to_owned(),
    }
}

/// A call is often too short for the guesser; the small words of the two languages hardly overlap.
fn by_small_words(sample: &str) -> &'static str {
    let mut lead = 0_i32;
    for word in sample.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase) {
        lead += i32::from(SPANISH.contains(&word.as_str()));
        lead -= i32::from(ENGLISH.contains(&word.as_str()));
    }
    if lead > 0 { "es" } else { "en" }
}

fn primary_tag(tag: &str) -> Option<String> {
    let primary = tag.split(['-', '_']).next()?.to_ascii_lowercase();
    ((2..=3).contains(&primary.len()) && primary.bytes().all(|b| b.is_ascii_lowercase())).then_some(primary)
}

const SAMPLE_BYTES_MAX: usize = 4096;
const SPANISH: &[&str] =
    &["el", "la", "los", "las", "de", "que", "y", "en", "mi", "un", "una", "por", "con", "es", "se", "le", "tengo"];
const ENGLISH: &[&str] =
    &["the", "and", "to", "of", "i", "my", "is", "was", "he", "she", "it", "in", "for", "that", "have", "they"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_speech_engine_is_believed_and_nonsense_is_not() {
        assert_eq!(of("Hola", Some("es-MX")), "es");
        assert_eq!(of("Hello there", Some("<script>")), "en");
        assert_eq!(of("Mi casero me quiere sacar de la casa y no tengo adónde ir con mis hijos", None), "es");
    }
}
