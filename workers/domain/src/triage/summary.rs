//! A summary that cannot invent anything: the two to four sentences that carry most of what was
//! found, verbatim and in the order they were said.
use super::types::{Span, SummarySentence};
use super::words::Words;

/// `weights` are places in the text and how much each matters.
pub(super) fn extract(words: &Words<'_>, weights: &[(Span, f32)]) -> Vec<SummarySentence> {
    let mut ranked: Vec<(usize, f32)> = words
        .sentences
        .iter()
        .enumerate()
        .map(|(index, (first, past))| {
            let span = words.span(*first, *past);
            let gain: f32 = weights
                .iter()
                .filter(|(place, _)| place.start >= span.start && place.end <= span.end)
                .map(|(_, weight)| weight)
                .sum();
            // Long sentences gather cues by length alone.
            (index, gain / (1.0 + (past - first) as f32 / LENGTH_WORDS))
        })
        .collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let best = ranked.first().map_or(0.0, |(_, score)| *score);
    let mut bytes = 0;
    let mut chosen: Vec<usize> = Vec::new();
    for (index, score) in ranked.into_iter().take(SENTENCES_MAX) {
        let enough = chosen.len() >= SENTENCES_MIN && score < best * SHARE_OF_BEST_MIN;
        let span = sentence(words, index);
        if enough || (!chosen.is_empty() && bytes + span.text.len() > BYTES_MAX) {
            break;
        }
        bytes += span.text.len();
        chosen.push(index);
    }
    chosen.sort_unstable();
    chosen
        .into_iter()
        .map(|index| {
            let span = sentence(words, index);
            SummarySentence { text: span.text.clone(), span }
        })
        .collect()
}

/// The sentence with the mark that ends it, if one follows at once.
fn sentence(words: &Words<'_>, index: usize) -> Span {
    let (first, past) = words.sentences[index];
    let mut span = words.span(first, past);
    let mark = words.text[span.end..].chars().next().filter(|c| matches!(c, '.' | '!' | '?' | '…'));
    if let Some(mark) = mark {
        span.end += mark.len_utf8();
        words.text[span.start..span.end].clone_into(&mut span.text);
    }
    span
}

const SENTENCES_MIN: usize = 2;
const SENTENCES_MAX: usize = 4;
const BYTES_MAX: usize = 900;
const LENGTH_WORDS: f32 = 25.0;
const SHARE_OF_BEST_MIN: f32 = 0.3;
