//! Signed notes (C2SP `signed-note`) with Ed25519: a text, an empty line, and who stands by it.
use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use data_encoding::{BASE64, HEXLOWER};

/// Signs notes under a name.
pub struct Signer {
    key: Ed25519KeyPair,
    verifier: Verifier,
}

/// The public half: a name and a key, written as `<name>+<key id>+<key>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verifier {
    name: String,
    key: [u8; 32],
}

/// Why a note is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    #[error("not a signed note")]
    Malformed,
    #[error("not signed by the key that is trusted")]
    NotSigned,
    #[error("the signature of the key that is trusted does not fit the text")]
    Refused,
}

impl Signer {
    /// From the 32 secret bytes of an Ed25519 key. `None` if the name cannot stand in a note.
    pub fn new(name: &str, seed: &[u8; 32]) -> Option<Self> {
        let key = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        let public = key.public_key().as_ref().try_into().ok()?;
        let verifier = Verifier::new(name, public)?;
        Some(Self { key, verifier })
    }

    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// The note: the text, which ends with a line feed, and our signature.
    pub fn sign(&self, text: &str) -> String {
        let signature = self.key.sign(text.as_bytes());
        let line = [&self.verifier.id()[..], signature.as_ref()].concat();
        format!("{text}\n{DASH}{} {}\n", self.verifier.name, BASE64.encode(&line))
    }
}

impl Verifier {
    pub fn new(name: &str, key: [u8; 32]) -> Option<Self> {
        is_log_name(name).then(|| Self { name: name.to_owned(), key })
    }

    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().splitn(3, '+');
        let (name, id, key) = (parts.next()?, parts.next()?, BASE64.decode(parts.next()?.as_bytes()).ok()?);
        let key = key.strip_prefix(&[ED25519_TYPE])?.try_into().ok()?;
        let verifier = Self::new(name, key)?;
        (HEXLOWER.encode(&verifier.id()) == id).then_some(verifier)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn key(&self) -> &[u8; 32] {
        &self.key
    }

    /// The text of a note, if this key stands by it.
    pub fn open<'n>(&self, note: &'n str) -> Result<&'n str, NoteError> {
        let (text, signatures) = split(note).ok_or(NoteError::Malformed)?;
        let mut signed = Err(NoteError::NotSigned);
        for line in signatures.lines() {
            let (name, bytes) = signature(line).ok_or(NoteError::Malformed)?;
            if name != self.name || bytes[..4] != self.id() {
                continue;
            }
            let key = UnparsedPublicKey::new(&ED25519, &self.key);
            key.verify(text.as_bytes(), &bytes[4..]).map_err(|_| NoteError::Refused)?;
            signed = Ok(text);
        }
        signed
    }

    fn id(&self) -> [u8; 4] {
        let named = [self.name.as_bytes(), b"\n", &[ED25519_TYPE], &self.key].concat();
        digest(&SHA256, &named).as_ref()[..4].try_into().expect("a digest has more than four bytes")
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[ED25519_TYPE][..], &self.key].concat();
        write!(f, "{}+{}+{}", self.name, HEXLOWER.encode(&self.id()), BASE64.encode(&key))
    }
}

/// The text with its line feed, and the signature lines.
fn split(note: &str) -> Option<(&str, &str)> {
    if note.len() > NOTE_BYTES_MAX || note.bytes().any(|byte| byte < b' ' && byte != b'\n') {
        return None;
    }
    let at = note.rfind("\n\n")? + 1;
    let (text, signatures) = (&note[..at], &note[at + 1..]);
    (!signatures.is_empty() && signatures.ends_with('\n')).then_some((text, signatures))
}

fn signature(line: &str) -> Option<(&str, Vec<u8>)> {
    let (name, signature) = line.strip_prefix(DASH)?.split_once(' ')?;
    let bytes = BASE64.decode(signature.as_bytes()).ok().filter(|bytes| bytes.len() > 4)?;
    is_log_name(name).then_some((name, bytes))
}

/// May name a log: it stands in notes between spaces.
pub fn is_log_name(name: &str) -> bool {
    let fits = |letter: char| !letter.is_whitespace() && !letter.is_control() && letter != '+';
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.chars().all(fits)
}

const DASH: &str = "\u{2014} ";
const ED25519_TYPE: u8 = 1;
const NAME_BYTES_MAX: usize = 255;
/// A head, and room for the cosignatures of more witnesses than there are.
const NOTE_BYTES_MAX: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "example.org/log\n7\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

    fn signer(seed: u8) -> Signer {
        Signer::new("example.org/log", &[seed; 32]).unwrap()
    }

    /// The published example of the specification this format comes from, with its published key.
    #[test]
    fn a_note_of_somebody_else_is_understood() {
        let key = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let verifier = Verifier::parse(key).unwrap();
        assert_eq!(verifier.to_string(), key);
        let text =
            "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
        let note = format!(
            "{text}\n\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
        );
        assert_eq!(verifier.open(&note), Ok(text));
    }

    #[test]
    fn only_the_trusted_key_counts_and_others_may_stand_beside_it() {
        let (ours, other) = (signer(1), signer(2));
        let note = ours.sign(TEXT);
        assert_eq!(ours.verifier().open(&note), Ok(TEXT));
        assert_eq!(other.verifier().open(&note), Err(NoteError::NotSigned));
        let theirs = other.sign(TEXT);
        let both = format!("{note}{}", &theirs[TEXT.len() + 1..]);
        assert_eq!((ours.verifier().open(&both), other.verifier().open(&both)), (Ok(TEXT), Ok(TEXT)));
        let moved = note.replace("\n7\n", "\n8\n");
        assert_eq!(ours.verifier().open(&moved), Err(NoteError::Refused));
    }

    #[test]
    fn names_that_cannot_stand_in_a_note_and_changed_keys_are_refused() {
        for name in ["", "a b", "a+b", "a\nb", "a\u{a0}b"] {
            assert!(Signer::new(name, &[1; 32]).is_none(), "{name:?}");
        }
        let key = signer(1).verifier().to_string();
        assert_eq!(Verifier::parse(&key).as_ref(), Some(signer(1).verifier()));
        assert_eq!(Verifier::parse(&key.replace("example", "elpmaxe")), None, "its id is of the name, too");
    }

    proptest! {
        #[test]
        fn no_note_makes_opening_panic(note in "\\PC{0,20}(\n|\n\n)?(\u{2014} )?\\PC{0,20}\n?") {
            prop_assert!(signer(1).verifier().open(&note).is_err());
            prop_assert!(Verifier::parse(&note).is_none());
        }
    }
}
