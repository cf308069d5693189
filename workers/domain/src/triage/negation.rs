//! Whether the caller denies what a cue says: "he never hit me". Denial is read narrowly, because a
//! missed emergency costs more than a needless one: "not only", "not sure", "I don't know if",
//! "no longer safe" and a cue that carries its own "not" are no denials.
use super::cues::Hit;
use super::words::Words;

/// Words that turn a sentence round; a cue's gap may not swallow one ("he .. hit" is not "he never hit").
pub(super) fn is_not(word: &str) -> bool {
    NOT.contains(&word)
}

pub(super) fn denied(words: &Words<'_>, hit: Hit) -> bool {
    let (begin, _) = words.sentence_of(hit.first);
    let from = hit.first.saturating_sub(REACH_WORDS).max(begin);
    for at in (from..hit.first).rev() {
        // A comma or "but" ends what a "not" reaches.
        if words.list.get(at + 1).is_some_and(|next| next.pause) || CLAUSE_ENDS.contains(&words.norm(at)) {
            return false;
        }
        if is_not(words.norm(at)) {
            return !HEDGES.contains(&words.norm(at + 1)) && !doubted(words, at, begin);
        }
    }
    false
}

/// "don't know if", "can't say that": doubt, not denial.
fn doubted(words: &Words<'_>, not_at: usize, begin: usize) -> bool {
    let before = not_at.checked_sub(1).filter(|at| *at >= begin).map_or("", |at| words.norm(at));
    HEDGES.contains(&before)
        || matches!(words.norm(not_at + 1), "know" | "understand" | "want" | "se" | "quiero" | "remember")
}

const REACH_WORDS: usize = 4;
const NOT: &[&str] = &[
    "not", "no", "never", "didnt", "doesnt", "dont", "isnt", "wasnt", "arent", "werent", "hasnt", "havent", "wont",
    "nobody", "without", "nunca", "jamas", "nadie", "ni", "sin",
];
/// After (or before) a "not" these make it doubt or complaint: "not sure", "would not stop hitting".
const HEDGES: &[&str] = &[
    "only", "sure", "just", "longer", "yet", "idea", "clue", "why", "if", "that", "stop", "stopped", "stops", "quit",
    "care", "believe", "matter", "let", "leave", "allow", "help", "solo", "todavia", "aun", "deja", "para", "creo",
];
const CLAUSE_ENDS: &[&str] = &[
    "but", "because", "and", "so", "if", "until", "when", "while", "after", "before", "since", "that", "why", "how",
    "pero", "porque", "y", "si", "cuando", "que", "hasta", "desde",
];
