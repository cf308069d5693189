//! Whether the words around an expression of time look back or ahead. "He taped it up on Friday"
//! and "he comes on Friday" mean different Fridays; the nearest telling word decides.
use crate::triage::words::Words;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tense {
    Past,
    Future,
}

/// Looks outward from the words `first..past`, inside the sentence; silence means ahead, because
/// a date not yet gone is the one that can still be missed.
pub(super) fn tense_around(words: &Words<'_>, first: usize, past: usize) -> Tense {
    let (begin, end) = words.sentence_of(first);
    for cost in 1..=REACH_WORDS + AFTER_COST {
        let before = first.checked_sub(cost).filter(|at| *at >= begin && cost <= REACH_WORDS);
        let after = cost.checked_sub(AFTER_COST + 1).map(|ahead| past + ahead).filter(|at| *at < end);
        for at in [before, after].into_iter().flatten() {
            let word = words.norm(at);
            if AHEAD.contains(&word) {
                return Tense::Future;
            }
            if BACK.contains(&word) {
                return Tense::Past;
            }
        }
    }
    Tense::Future
}

const REACH_WORDS: usize = 12;
/// A verb before the date tells more than one after it: "I got it Friday and have to leave".
const AFTER_COST: usize = 4;

const AHEAD: &[&str] = &[
    "hewill",
    "shewill",
    "theywill",
    "wewill",
    "iwill",
    "itwill",
    "youwill",
    "will",
    "shall",
    "going",
    "gonna",
    "must",
    "by",
    "until",
    "till",
    "before",
    "have",
    "has",
    "need",
    "needs",
    "is",
    "are",
    "wants",
    "coming",
    "upcoming",
    "scheduled",
    "comes",
    "starts",
    "due",
    "deadline",
    "va",
    "van",
    "voy",
    "vamos",
    "tengo",
    "tiene",
    "tenemos",
    "debo",
    "debemos",
    "antes",
    "hasta",
    "para",
    "sera",
    "es",
    "viene",
    "quiere",
    "vence",
    "hay",
    "sacara",
    "cambiara",
];

const BACK: &[&str] = &[
    "ago",
    "yesterday",
    "was",
    "were",
    "got",
    "gave",
    "put",
    "received",
    "came",
    "served",
    "sent",
    "left",
    "posted",
    "taped",
    "handed",
    "found",
    "happened",
    "started",
    "since",
    "took",
    "fired",
    "arrested",
    "filed",
    "lost",
    "changed",
    "locked",
    "kicked",
    "hit",
    "mailed",
    "delivered",
    "stuck",
    "did",
    "told",
    "stopped",
    "picked",
    "detained",
    "went",
    "dated",
    "recibi",
    "recibimos",
    "dio",
    "dieron",
    "puso",
    "pusieron",
    "llego",
    "mando",
    "mandaron",
    "dejo",
    "dejaron",
    "fue",
    "desde",
    "paso",
    "despidieron",
    "llevaron",
    "arrestaron",
    "pego",
    "entrego",
    "entregaron",
    "cambio",
];
