//! What to say of a key that nobody reads: why it cannot be, or which one was meant.
use std::collections::BTreeSet;

/// The remedy for an unknown key, given all known ones.
pub(super) fn unknown_key(key: &str, known: &BTreeSet<String>) -> String {
    if let Some((_, why)) = REFUSED.iter().find(|(refused, _)| *refused == key) {
        return (*why).to_owned();
    }
    let nearest = known.iter().map(|candidate| (distance(key, candidate), candidate)).min();
    match nearest {
        Some((distance, candidate)) if distance <= key.len() / 3 => {
            format!("is not a setting; did you mean {candidate}?")
        }
        _ => "is not a setting; config/hotline.toml lists them all".to_owned(),
    }
}

/// Settings of other servers that would weaken this one, and why they are not here.
const REFUSED: &[(&str, &str)] = &[
    ("tls.dhparam", "is not supported: TLS 1.3 has no Diffie-Hellman parameter files; remove it"),
    (
        "tls.ciphers",
        "is not a setting: TLS 1.3 with AES-256-GCM, ChaCha20-Poly1305 and AES-128-GCM is all that is spoken; the ECDHE-RSA-… names belong to TLS 1.2; remove it",
    ),
    ("tls.min_version", "is not a setting: TLS 1.3 is the only version spoken; remove it"),
    ("tls.max_version", "is not a setting: TLS 1.3 is the only version spoken; remove it"),
    ("server.hostname", "is not a setting: name the address to bind in server.bind"),
    ("server.port", "is not a setting: the port is part of server.bind"),
];

/// Edits between two words (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let replaced = corner + usize::from(from != *to);
            corner = row[j + 1];
            row[j + 1] = replaced.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_that_was_meant_is_named() {
        let known = BTreeSet::from(["workers.drain_deadline_ms".to_owned(), "tls.key".to_owned()]);
        assert!(unknown_key("workers.drain_deadline", &known).contains("workers.drain_deadline_ms"));
        assert!(unknown_key("colour", &known).contains("config/hotline.toml"));
        assert!(unknown_key("tls.dhparam", &known).contains("TLS 1.3"));
    }
}
