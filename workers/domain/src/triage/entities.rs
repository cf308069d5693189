//! Names, places, sums and numbers the caller says. Every entity is a cut of the text; a cue word
//! ("my name is", "landlord", a dollar sign) decides what it is, never a guess from capitals alone.
use super::entity_words::{
    ACRONYMS, INTRODUCTIONS, LINKS, NOT_NAMES, ORGANISATION_WORDS, PHONE_WORDS, ROLES, STREETS, TITLES,
};
use super::patterns::Patterns;
use super::types::{Entity, EntityKind};
use super::words::Words;

/// Everything but dates, in text order. At most `ENTITIES_MAX`.
pub(super) fn find(words: &Words<'_>, patterns: &Patterns) -> Vec<Entity> {
    let mut found = patterns.find(words.text);
    let mut at = 0;
    while at < words.list.len() && found.len() < ENTITIES_MAX {
        let read = phone(words, at)
            .or_else(|| address(words, at))
            .or_else(|| money(words, at))
            .or_else(|| person(words, at))
            .or_else(|| organisation(words, at));
        match read {
            Some((entity, past)) => {
                found.push(entity);
                at = past.max(at + 1);
            }
            None => at += 1,
        }
    }
    found.sort_by_key(|entity| (entity.span.start, entity.kind));
    found.dedup_by(|later, first| later.kind == first.kind && later.value == first.value);
    found.truncate(ENTITIES_MAX);
    found
}

type Found = Option<(Entity, usize)>;

fn entity(words: &Words<'_>, kind: EntityKind, value: String, first: usize, past: usize) -> Found {
    Some((Entity { kind, value, span: words.span(first, past) }, past))
}

/// "my name is Maria Lopez", "Mr. Peterson", "me llamo Ana Ruiz", "my landlord Joe Brown".
fn person(words: &Words<'_>, at: usize) -> Found {
    let introduced = INTRODUCTIONS
        .iter()
        .find(|phrase| phrase.iter().enumerate().all(|(offset, word)| words.norm(at + offset) == *word));
    if let Some(phrase) = introduced {
        let mut first = at + phrase.len();
        first += usize::from(TITLES.contains(&words.norm(first)));
        // A transcript without capitals still gives a name after "my name is".
        let past = capitals(words, first, NAME_WORDS_MAX).or_else(|| {
            let plain = |index: &usize| {
                words.list.get(*index).is_some_and(|word| {
                    word.value.is_none() && !NOT_NAMES.contains(&word.norm.as_str()) && (*index == first || !word.pause)
                })
            };
            let surest = phrase.contains(&"name") || phrase.contains(&"nombre") || phrase.contains(&"llamo");
            let length = (first..first + 2).take_while(plain).count();
            (surest && length > 0).then_some(first + length)
        })?;
        return name(words, first, past);
    }
    if TITLES.contains(&words.norm(at)) {
        let past = capitals(words, at + 1, 3)?;
        return name(words, at + 1, past);
    }
    if ROLES.contains(&words.norm(at)) {
        let first = (at + 1..at + 4).find(|index| !LINKS.contains(&words.norm(*index)))?;
        if TITLES.contains(&words.norm(first)) {
            return None;
        }
        let past = capitals(words, first, 3)?;
        return name(words, first, past);
    }
    None
}

fn name(words: &Words<'_>, first: usize, past: usize) -> Found {
    let value = words.span(first, past).text;
    entity(words, EntityKind::Person, value, first, past)
}

/// The end of a run of capitalised words that are no common words, if there is one.
fn capitals(words: &Words<'_>, first: usize, most: usize) -> Option<usize> {
    let sentence = words.list.get(first)?.sentence;
    let length = (first..first + most)
        .take_while(|index| {
            words.list.get(*index).is_some_and(|word| {
                word.capital
                    && word.value.is_none()
                    && word.sentence == sentence
                    && !NOT_NAMES.contains(&word.norm.as_str())
                    && (*index == first || !word.pause)
            })
        })
        .count();
    (length > 0).then_some(first + length)
}

/// "Sunrise Property Management", "Bank of America", "ICE".
fn organisation(words: &Words<'_>, at: usize) -> Found {
    let word = words.list.get(at)?;
    let written = &words.text[word.start..word.end];
    if ACRONYMS.contains(&written) {
        return entity(words, EntityKind::Organisation, written.to_owned(), at, at + 1);
    }
    if !word.capital {
        return None;
    }
    let mut past = at;
    let mut ends_at = None;
    while past < at + ORGANISATION_WORDS_MAX && past < words.list.len() {
        let part = &words.list[past];
        let joins = match part.norm.as_str() {
            "of" | "de" | "del" | "the" => past > at,
            // "Smith and Sons Realty" is one name, "X Management and Bank of Y" two.
            "and" => past > at && ends_at.is_none(),
            _ => false,
        };
        if part.sentence != word.sentence || (past > at && part.pause) || !(part.capital || joins) {
            break;
        }
        past += 1;
        if part.capital && ORGANISATION_WORDS.contains(&part.norm.as_str()) {
            ends_at = Some(past);
        }
    }
    let mut past = ends_at?;
    // "Bank of America", "Department of Labor": the name goes on after the telling word.
    if matches!(words.norm(past), "of" | "de") {
        past = capitals(words, past + 1, 3).unwrap_or(past);
    }
    let first = (at..past).find(|index| !NOT_NAMES.contains(&words.norm(*index)))?;
    // "Bank" or "Court" alone names nobody.
    if past - first < 2 {
        return None;
    }
    let value = words.span(first, past).text;
    entity(words, EntityKind::Organisation, value, first, past)
}

/// "120 Oak Street, apartment 4B", "calle Roble 12".
fn address(words: &Words<'_>, at: usize) -> Found {
    if words.norm(at) == "calle" {
        let named = capitals(words, at + 1, 3)?;
        let past = named + usize::from(words.whole(named, 99_999).is_some());
        return entity(words, EntityKind::Address, words.span(at, past).text, at, past);
    }
    words.whole(at, 99_999)?;
    if words.list[at].dollars {
        return None;
    }
    let street = (at + 2..at + 6).find(|index| {
        STREETS.contains(&words.norm(*index))
            && words.list.get(*index).is_some_and(|word| word.sentence == words.list[at].sentence)
    })?;
    // "3 people on the street": the words between must look like a name.
    let named = (at + 1..street).all(|index| words.list[index].capital || words.list[index].value.is_some());
    if !named {
        return None;
    }
    let mut past = street + 1;
    if matches!(words.norm(past), "apartment" | "apt" | "unit" | "suite" | "number" | "room")
        && words.list.get(past + 1).is_some()
    {
        past += 2;
    }
    entity(words, EntityKind::Address, words.span(at, past).text, at, past)
}

/// "$2,400", "two thousand four hundred dollars", "1,200 dólares".
fn money(words: &Words<'_>, at: usize) -> Found {
    let value = words.list[at].value?;
    let unit = match words.norm(at + 1) {
        "dollar" | "dollars" | "bucks" | "dolar" | "dolares" => Some(1.0),
        "thousand" | "mil" if words.list[at].dollars => Some(1000.0),
        "million" if words.list[at].dollars => Some(1_000_000.0),
        "cents" | "centavos" => Some(0.01),
        _ => None,
    };
    let (scale, past) = match unit {
        Some(scale) => (scale, at + 2),
        None if words.list[at].dollars => (1.0, at + 1),
        None => return None,
    };
    let total = value * scale;
    if !(0.0..1e12).contains(&total) {
        return None;
    }
    let value = if total.fract() == 0.0 { format!("USD {total:.0}") } else { format!("USD {total:.2}") };
    entity(words, EntityKind::Money, value, at, past)
}

/// "555-0142", "(212) 555-0142", "five five five, zero one four two": 7 to 11 digits in a row.
fn phone(words: &Words<'_>, at: usize) -> Found {
    let mut digits = String::new();
    let mut past = at;
    while past < words.list.len() && past < at + PHONE_WORDS_MAX {
        let word = &words.list[past];
        let piece = match (&word.digits, word.norm.as_str()) {
            (Some(digits), _) if !word.dollars && !word.ordinal => digits.clone(),
            // Only inside a number: "five oh one".
            (None, "oh" | "o") if past > at => "0".to_owned(),
            (None, joined) if joined.contains('-') || joined.contains('.') => {
                let joined_digits: String = joined.chars().filter(char::is_ascii_digit).collect();
                let telephone =
                    joined.chars().all(|c| c.is_ascii_digit() || matches!(c, '-' | '.')) && joined_digits.len() >= 7;
                // 2026-12-03 is a date.
                if !telephone || (joined_digits.len() == 8 && joined.find('-') == Some(4)) {
                    break;
                }
                joined_digits
            }
            _ => break,
        };
        if word.sentence != words.list[at].sentence || digits.len() + piece.len() > PHONE_DIGITS_MAX {
            break;
        }
        digits.push_str(&piece);
        past += 1;
    }
    let announced = (at.saturating_sub(5)..at).any(|index| PHONE_WORDS.contains(&words.norm(index)));
    let likely = match digits.len() {
        7 => announced || past - at > 1 || words.list[at].norm.contains('-'),
        10 => true,
        11 => digits.starts_with('1'),
        _ => false,
    };
    // Seven digits that are one plain number are a sum or a case number unless announced.
    likely.then(|| entity(words, EntityKind::Phone, digits, at, past)).flatten()
}

const ENTITIES_MAX: usize = 100;
const NAME_WORDS_MAX: usize = 4;
const ORGANISATION_WORDS_MAX: usize = 7;
const PHONE_WORDS_MAX: usize = 14;
const PHONE_DIGITS_MAX: usize = 11;
