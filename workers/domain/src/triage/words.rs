//! The text as words with their byte offsets: lower-cased, accents folded, spoken numbers
//! turned into values. Everything above matches on these words and answers in offsets, so a
//! transcript that writes "$1,200", "twelve hundred dollars" or "3-day" reads the same.
use std::borrow::Cow;

use text2num::{Language, Token, find_numbers};

use super::types::Span;

/// The words of one text. At most `WORDS_MAX`.
pub(super) struct Words<'a> {
    pub(super) text: &'a str,
    pub(super) list: Vec<Word>,
    /// Index ranges into `list`, one for each sentence.
    pub(super) sentences: Vec<(usize, usize)>,
}

/// One word, or one number however many words it took to say.
#[derive(Clone)]
pub(super) struct Word {
    pub(super) start: usize,
    pub(super) end: usize,
    /// Lower case, no accents, no apostrophes, possessive dropped.
    pub(super) norm: String,
    pub(super) value: Option<f64>,
    /// The digits as said, leading zeros kept: telephone numbers need them.
    pub(super) digits: Option<String>,
    pub(super) ordinal: bool,
    pub(super) capital: bool,
    /// Written with a dollar sign.
    pub(super) dollars: bool,
    /// A comma or the like stands before it.
    pub(super) pause: bool,
    pub(super) sentence: usize,
}

impl<'a> Words<'a> {
    pub(super) fn read(text: &'a str, language: &str) -> Words<'a> {
        let raw = tokens(text);
        let merged = merge_numbers(raw, language);
        let (list, sentences) = number_sentences(merged);
        Words { text, list, sentences }
    }

    /// The caller's words from word `first` up to, not including, word `past`.
    pub(super) fn span(&self, first: usize, past: usize) -> Span {
        let start = self.list.get(first).map_or(0, |word| word.start);
        let end = past.checked_sub(1).and_then(|last| self.list.get(last)).map_or(start, |word| word.end.max(start));
        Span { start, end, text: self.text[start..end].to_owned() }
    }

    pub(super) fn norm(&self, at: usize) -> &str {
        self.list.get(at).map_or("", |word| word.norm.as_str())
    }

    pub(super) fn sentence_of(&self, at: usize) -> (usize, usize) {
        self.list.get(at).and_then(|word| self.sentences.get(word.sentence)).copied().unwrap_or((0, 0))
    }

    /// A whole number between 0 and `max`, if the word is one.
    pub(super) fn whole(&self, at: usize, max: u32) -> Option<u32> {
        let value = self.list.get(at)?.value?;
        (value >= 0.0 && value <= f64::from(max) && value.fract() == 0.0).then_some(value as u32)
    }
}

/// Lower case, Latin accents folded, apostrophes and a possessive `'s` dropped.
pub(super) fn normalise(word: &str) -> String {
    let lower = word.to_lowercase();
    let bare = lower.strip_suffix("'s").or_else(|| lower.strip_suffix("’s")).unwrap_or(&lower);
    // "we'll" is no "well": the future tells which Friday is meant.
    if let Some(who) = bare.strip_suffix("'ll").or_else(|| bare.strip_suffix("’ll")) {
        return format!("{who}will");
    }
    bare.chars().filter(|c| !is_apostrophe(*c)).map(fold).collect()
}

fn fold(c: char) -> char {
    match c {
        'á' | 'à' | 'ä' | 'â' | 'ã' => 'a',
        'é' | 'è' | 'ë' | 'ê' => 'e',
        'í' | 'ì' | 'ï' | 'î' => 'i',
        'ó' | 'ò' | 'ö' | 'ô' | 'õ' => 'o',
        'ú' | 'ù' | 'ü' | 'û' => 'u',
        'ñ' => 'n',
        'ç' => 'c',
        other => other,
    }
}

fn is_apostrophe(c: char) -> bool {
    matches!(c, '\'' | '’' | 'ʼ')
}

/// A raw token and whether a sentence ends before it.
struct Raw {
    word: Word,
    breaks: bool,
}

fn tokens(text: &str) -> Vec<Raw> {
    let mut out: Vec<Raw> = Vec::new();
    let (mut at, mut pause, mut breaks, mut dollar) = (0, false, false, None);
    while let Some(c) = text[at..].chars().next() {
        let next = at + c.len_utf8();
        if !c.is_alphanumeric() {
            match c {
                '$' => dollar = Some(at),
                '.' => breaks |= ends_sentence(&text[next..], out.last(), at),
                '!' | '?' | '\n' => breaks = true,
                '…' | ',' | ';' | ':' | '(' | ')' | '—' | '–' => pause = true,
                _ => {}
            }
            if c != '$' && !c.is_whitespace() {
                dollar = None;
            }
            at = next;
            continue;
        }
        let end = if c.is_ascii_digit() { numeral_end(text, at) } else { word_end(text, at) };
        let mut word = read_word(text, at, end);
        if let Some(start) = dollar.take().filter(|_| word.value.is_some()) {
            word.start = start;
            word.dollars = true;
        }
        word.pause = pause;
        out.push(Raw { word, breaks });
        (at, pause, breaks) = (end, false, false);
        if out.len() == WORDS_MAX {
            break;
        }
    }
    out
}

/// A full stop ends a sentence unless it belongs to "Mr.", "Dec." or an initial.
fn ends_sentence(rest: &str, last: Option<&Raw>, at: usize) -> bool {
    let Some(last) = last else { return true };
    if last.word.end == at
        && (ABBREVIATIONS.contains(&last.word.norm.as_str())
            || (last.word.norm.chars().count() == 1 && last.word.value.is_none()))
    {
        return false;
    }
    // "well... on Friday" is a breath, not an end.
    if rest.starts_with('.') {
        return false;
    }
    let mut after = rest.chars();
    match after.next() {
        None => true,
        Some(c) if c.is_alphanumeric() => false,
        Some(_) => {
            let dots = last.word.end != at;
            !dots || after.find(|c| c.is_alphanumeric()).is_none_or(char::is_uppercase)
        }
    }
}

fn word_end(text: &str, start: usize) -> usize {
    let mut end = start;
    let mut chars = text[start..].char_indices().peekable();
    while let Some((offset, c)) = chars.next() {
        let inside =
            c.is_alphanumeric() || (is_apostrophe(c) && chars.peek().is_some_and(|(_, next)| next.is_alphabetic()));
        if !inside {
            break;
        }
        end = start + offset + c.len_utf8();
    }
    end
}

/// Digits with inner separators ("1,200.50", "12/3/26", "555-0142", "9:30") and a suffix ("3rd").
fn numeral_end(text: &str, start: usize) -> usize {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let mut end = start;
    while digit(end) || (matches!(bytes.get(end), Some(b',' | b'.' | b'/' | b'-' | b':')) && digit(end + 1)) {
        end += 1;
    }
    word_end(text, end).max(end)
}

fn read_word(text: &str, start: usize, end: usize) -> Word {
    let written = &text[start..end];
    let mut word = Word {
        start,
        end,
        norm: normalise(written),
        value: None,
        digits: None,
        ordinal: false,
        capital: written.chars().next().is_some_and(char::is_uppercase),
        dollars: false,
        pause: false,
        sentence: 0,
    };
    let body_len = word.norm.find(|c: char| c.is_alphabetic()).unwrap_or(word.norm.len());
    let (body, suffix) = word.norm.split_at(body_len);
    if body.is_empty() {
        return word;
    }
    let scale = match suffix {
        "" => 1.0,
        "k" => 1000.0,
        "st" | "nd" | "rd" | "th" | "ro" | "ero" | "do" => {
            word.ordinal = true;
            1.0
        }
        _ => return word,
    };
    if body.bytes().all(|b| b.is_ascii_digit()) && body.len() <= 15 {
        word.digits = Some(body.to_owned());
    }
    word.value = plain_number(body).map(|value| value * scale);
    word
}

/// "1,200.50", "1.200" (Spanish thousands) or "1200"; `None` for dates and clock times.
fn plain_number(body: &str) -> Option<f64> {
    if body.len() > 15 || body.contains(['/', '-', ':']) {
        return None;
    }
    let thousands = |mark: char| {
        let mut groups = body.split(mark);
        let head = groups.next().is_some_and(|g| (1..=3).contains(&g.len()));
        head && body.contains(mark) && groups.all(|g| g.len() == 3 && g.bytes().all(|b| b.is_ascii_digit()))
    };
    if thousands('.') {
        return body.replace('.', "").parse().ok();
    }
    let whole = body.split('.').next().unwrap_or(body);
    if whole.contains(',') && !whole.split(',').skip(1).all(|g| g.len() == 3) {
        return None;
    }
    body.replace(',', "").parse().ok().filter(|v: &f64| v.is_finite())
}

/// Spoken numbers become one word with a value: "two thousand four hundred" is 2400.
fn merge_numbers(raw: Vec<Raw>, language: &str) -> Vec<Raw> {
    let spoken = Language::spanish();
    let english = Language::english();
    let interpreter = if language == "es" { &spoken } else { &english };
    let found = numbers_in(&raw, interpreter);
    let mut out = Vec::with_capacity(raw.len());
    let mut raw = raw.into_iter().enumerate().peekable();
    let mut found = found.into_iter().peekable();
    while let Some((index, mut first)) = raw.next() {
        while found.peek().is_some_and(|number| number.start < index) {
            found.next();
        }
        if let Some(number) = found.next_if(|number| number.start == index) {
            let several = number.end > number.start + 1;
            while let Some((_, part)) = raw.next_if(|(next, _)| *next < number.end) {
                first.word.end = part.word.end;
            }
            if several {
                first.word.norm.clone_from(&number.text);
            }
            first.word.value = Some(number.value).filter(|value| value.is_finite());
            first.word.ordinal = number.is_ordinal;
            first.word.digits = number
                .text
                .bytes()
                .all(|b| b.is_ascii_digit())
                .then_some(number.text)
                .filter(|digits| !digits.is_empty() && digits.len() <= 15);
        }
        out.push(first);
    }
    out
}

fn numbers_in(raw: &[Raw], language: &Language) -> Vec<text2num::Occurence> {
    let stream = raw.iter().map(Heard);
    find_numbers(stream, language, 0.0)
}

/// How a token looks to the number grammar.
struct Heard<'a>(&'a Raw);

impl Token for Heard<'_> {
    fn text(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.0.word.norm)
    }

    fn text_lowercase(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.0.word.norm)
    }

    fn nt_separated(&self, _previous: &Self) -> bool {
        self.0.word.pause || self.0.breaks
    }

    fn not_a_number_part(&self) -> bool {
        // Digits already carry their value, and "o" is a letter or Spanish "or" far more often than zero.
        !self.0.word.norm.bytes().all(|b| b.is_ascii_alphabetic())
            || self.0.word.norm == "o"
            || self.0.word.norm.len() > 20
    }
}

/// Sentences end at their marks; speech without marks is cut every `SENTENCE_WORDS_MAX` words.
fn number_sentences(raw: Vec<Raw>) -> (Vec<Word>, Vec<(usize, usize)>) {
    let mut sentences = Vec::new();
    let mut first = 0;
    let mut list = Vec::with_capacity(raw.len());
    for (index, Raw { mut word, breaks }) in raw.into_iter().enumerate() {
        let length = index - first;
        let full = length >= SENTENCE_WORDS_MAX || (length >= SENTENCE_WORDS_MAX / 2 && word.pause);
        if (breaks || full) && index > first {
            sentences.push((first, index));
            first = index;
        }
        word.sentence = sentences.len();
        list.push(word);
    }
    if list.len() > first {
        sentences.push((first, list.len()));
    }
    (list, sentences)
}

/// About 70 minutes of speech.
const WORDS_MAX: usize = 12_000;
const SENTENCE_WORDS_MAX: usize = 60;

const ABBREVIATIONS: &[&str] = &[
    "mr", "mrs", "ms", "dr", "st", "ave", "blvd", "apt", "no", "vs", "sr", "sra", "srta", "dra", "jan", "feb", "mar",
    "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec", "ene", "abr", "ago", "dic",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str, language: &str) -> Vec<f64> {
        Words::read(text, language).list.iter().filter_map(|word| word.value).collect()
    }

    #[test]
    fn spoken_and_written_numbers_read_the_same() {
        for text in ["I owe $2,400.", "I owe two thousand four hundred dollars", "I owe 2400", "I owe 2.4k"] {
            assert_eq!(values(text, "en"), [2400.0], "{text}");
        }
        assert_eq!(values("debo dos mil cuatrocientos dólares", "es"), [2400.0]);
        assert_eq!(values("a 3-day notice", "en"), values("a three day notice", "en"));
    }

    #[test]
    fn titles_and_months_do_not_end_a_sentence() {
        let words = Words::read("Mr. Peterson came on Dec. 3. He left.", "en");
        assert_eq!(words.sentences.len(), 2);
    }

    #[test]
    fn a_possessive_and_an_accent_fold() {
        assert_eq!(normalise("Landlord’s"), "landlord");
        assert_eq!(normalise("Mañana"), "manana");
        assert_eq!(normalise("don't"), "dont");
    }

    #[test]
    fn a_span_quotes_the_text_with_its_dollar_sign() {
        let words = Words::read("He wants $1,200 now", "en");
        let at = words.list.iter().position(|word| word.dollars).unwrap();
        assert_eq!(words.span(at, at + 1).text, "$1,200");
    }
}
