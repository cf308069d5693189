//! What a password must be: long enough, and not what a guesser tries first (NIST SP 800-63B-4).
//!
//! No rules of composition, no hints, no change by the calendar. Every character counts, none is cut off.
use std::sync::LazyLock;

use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

/// Why a password is refused; fit to be shown to who chose it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordRefusal {
    #[error("is too short: it needs {chars_min} characters or more")]
    TooShort { chars_min: usize },
    #[error("is too long: {CHARS_MAX} characters are taken in full, no more")]
    TooLong,
    #[error("is made of what guessers try first: common passwords, or runs such as 12345 or aaaaa")]
    Common,
    #[error("is made of the account's name or the service's")]
    Context,
    #[error("is the one that is to be replaced")]
    Same,
}

/// Whether this may become the password of the person called `name`.
pub(super) fn check(password: &str, name: &str, has_factor: bool) -> Result<(), PasswordRefusal> {
    let password = normal(password);
    let chars = password.chars().count();
    let chars_min = if has_factor { CHARS_MIN_WITH_FACTOR } else { CHARS_MIN };
    if chars < chars_min {
        return Err(PasswordRefusal::TooShort { chars_min });
    }
    if chars > CHARS_MAX {
        return Err(PasswordRefusal::TooLong);
    }
    let folded = Zeroizing::new(password.to_lowercase());
    let name = name.to_lowercase();
    let named = name.split(|c: char| !c.is_alphanumeric()).filter(|part| part.chars().count() >= 3);
    let without_context = without(&folded, named.chain([name.as_str(), "hotline"]));
    if *without_context != *folded && is_little(&without_context) {
        return Err(PasswordRefusal::Context);
    }
    let rest = without(&without_context, COMMON.iter().copied());
    if is_little(&without_runs(&rest)) {
        return Err(PasswordRefusal::Common);
    }
    Ok(())
}

/// Long enough to be the only factor.
pub(super) fn stands_alone(password: &str) -> bool {
    normal(password).chars().count() >= CHARS_MIN
}

/// The same letters are the same password, however the keyboard composed them.
pub(super) fn normal(password: &str) -> Zeroizing<String> {
    // Room from the start, so that no shorter copy is left behind unwiped. NFC grows a text at most threefold.
    let mut normal = Zeroizing::new(String::with_capacity(3 * password.len()));
    normal.extend(password.nfc());
    normal
}

/// What is left when every occurrence of the words is taken out.
fn without<'a>(text: &str, words: impl Iterator<Item = &'a str>) -> Zeroizing<String> {
    let mut rest = Zeroizing::new(text.to_owned());
    for word in words.filter(|word| !word.is_empty()) {
        rest = Zeroizing::new(rest.replace(word, ""));
    }
    rest
}

/// Takes out characters that only continue a run: the same again, or the next or the one before in the alphabet, or
/// the neighbour on the keyboard; and a second half that repeats the first.
fn without_runs(text: &str) -> Zeroizing<String> {
    let chars: Vec<char> = text.chars().collect();
    let repeats = (1..=chars.len() / 2).find(|period| chars.iter().zip(&chars[*period..]).all(|(a, b)| a == b));
    let once = &chars[..repeats.unwrap_or(chars.len())];
    let mut left = Zeroizing::new(String::with_capacity(text.len()));
    for (at, char) in once.iter().enumerate() {
        if at == 0 || !follows(once[at - 1], *char) {
            left.push(*char);
        }
    }
    left
}

fn follows(one: char, next: char) -> bool {
    let (a, b) = (one as i64, next as i64);
    let beside = |row: &str| {
        let (first, second) = (row.find(one), row.find(next));
        matches!((first, second), (Some(a), Some(b)) if a.abs_diff(b) == 1)
    };
    (a - b).abs() <= 1 || KEYBOARD.iter().any(|row| beside(row))
}

/// What remains when the guessable is taken out is no obstacle either.
fn is_little(rest: &str) -> bool {
    rest.chars().count() < REST_CHARS_MIN
}

/// Longest first, so that no word is cut up by a shorter one.
static COMMON: LazyLock<Vec<&str>> = LazyLock::new(|| {
    let mut words: Vec<&str> = include_str!("common-passwords.txt").split_whitespace().collect();
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    words
});

const KEYBOARD: [&str; 4] = ["1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm"];
const CHARS_MIN: usize = 15;
const CHARS_MIN_WITH_FACTOR: usize = 8;
/// Twice what must be accepted at least.
const CHARS_MAX: usize = 128;
const REST_CHARS_MIN: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use PasswordRefusal::{Common, Context, TooLong, TooShort};

    #[test]
    fn rule_by_rule() {
        let alone = Err(TooShort { chars_min: 15 });
        let beside = Err(TooShort { chars_min: 8 });
        let table: &[(&str, bool, Result<(), PasswordRefusal>)] = &[
            // Length, in characters and not in bytes.
            ("umbrella kettl", false, alone),
            ("umbrella kettle", false, Ok(())),
            ("kettlew", true, beside),
            ("kettle w", true, Ok(())),
            ("ключевоеслово", false, alone),
            ("снегвлетенебыл1", false, Ok(())),
            // No rule of composition.
            ("onlylowercaselettershere", false, Ok(())),
            ("72 91 40 18 55 36 07", false, Ok(())),
            // The blocklist, also when it is only stuck together.
            ("password", true, Err(Common)),
            ("Password123", true, Err(Common)),
            ("passwordpassword", false, Err(Common)),
            ("Password1234567890", false, Err(Common)),
            ("iloveyousunshine!", false, Err(Common)),
            ("aaaaaaaaaaaaaaaa", false, Err(Common)),
            ("abcabcabcabcabcabc", false, Err(Common)),
            ("123456789012345", false, Err(Common)),
            ("qwertyuiopasdfgh", false, Err(Common)),
            ("abcdefghijklmnop", false, Err(Common)),
            // Words of this place.
            ("hotlinehotline1", false, Err(Context)),
            ("Ana.Ruiz-hotline", false, Err(Context)),
            ("ana.ruiz.ana.ruiz", false, Err(Context)),
            ("the hotline rings at midnight", false, Ok(())),
        ];
        for (password, has_factor, expected) in table {
            assert_eq!(check(password, "ana.ruiz", *has_factor), *expected, "{password}");
        }
        let long = "m7 kx-".repeat(21);
        assert_eq!(check(&format!("{long}qp"), "ana", false), Ok(()), "128 characters");
        assert_eq!(check(&format!("{long}qpz"), "ana", false), Err(TooLong), "129 characters");
        let wide = "語".repeat(3) + &"雨水道木火土金日月星空海".repeat(10);
        assert_eq!(wide.chars().count(), 123);
        assert_eq!(check(&wide, "ana", false), Ok(()), "no limit in bytes");
    }

    #[test]
    fn composed_and_decomposed_letters_are_the_same_password() {
        assert_eq!(*normal("Zu\u{308}rich"), *normal("Z\u{fc}rich"));
        assert_ne!(*normal("ﬁ"), *normal("fi"), "nothing is folded away");
    }
}
