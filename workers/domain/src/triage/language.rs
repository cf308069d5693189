//! The language of a text: what the speech engine said, else a guess that is used only when the
//! guesser calls it reliable, else English. Cues of all languages are always heard; this decides
//! how numbers are read and in which language the notice is written.

/// A short tag such as `en` or `es`.
pub(super) fn of(text: &str, told: Option<&str>) -> String {
    if let Some(tag) = told.and_then(primary_tag) {
        return tag;
    }
    let sample = &text[..text.floor_char_boundary(SAMPLE_BYTES_MAX)];
    whatlang::detect(sample)
        .filter(|guess| guess.is_reliable())
        .and_then(|guess| match guess.lang() {
            whatlang::Lang::Spa => Some("es"),
            whatlang::Lang::Eng => Some("en"),
            _ => None,
        })
        .unwrap_or("en")
        .to_owned()
}

fn primary_tag(tag: &str) -> Option<String> {
    let primary = tag.split(['-', '_']).next()?.to_ascii_lowercase();
    ((2..=3).contains(&primary.len()) && primary.bytes().all(|b| b.is_ascii_lowercase())).then_some(primary)
}

const SAMPLE_BYTES_MAX: usize = 4096;

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
