//! A proof that can be kept and shown (C2SP `tlog-proof`): the way from an entry to a head, and the signed head.
//!
//! It is checked with the entry, the proof and the log's public key alone: no server, no key of ours, no network.
use std::fmt;

use data_encoding::BASE64;

use super::Checkpoint;
use super::hash::{self, Hash};
use super::note::{NoteError, Verifier};
use super::proof::is_included;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Of the entry, from 0.
    pub index: u64,
    pub path: Vec<Hash>,
    /// The signed note.
    pub checkpoint: String,
}

/// Why a proof does not show what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    #[error("not a proof: it does not begin with {HEAD}, or its lines are not those of one")]
    Malformed,
    #[error("the checkpoint in the proof is not believed: {0}")]
    Checkpoint(#[from] NoteError),
    #[error("the entry is not the one that the proof is about, or was changed")]
    NotIncluded,
}

impl Proof {
    pub fn parse(text: &str) -> Result<Self, ProofError> {
        let (proof, checkpoint) = text.split_once("\n\n").ok_or(ProofError::Malformed)?;
        let mut lines = proof.lines().peekable();
        if lines.next() != Some(HEAD) {
            return Err(ProofError::Malformed);
        }
        lines.next_if(|line| line.starts_with("extra "));
        let index = lines.next().and_then(|line| line.strip_prefix("index ")).ok_or(ProofError::Malformed)?;
        let number: u64 = index.parse().map_err(|_| ProofError::Malformed)?;
        let path: Option<Vec<Hash>> = lines.map(hash).collect();
        match path {
            Some(path) if number.to_string() == index && path.len() <= 64 => {
                Ok(Self { index: number, path, checkpoint: checkpoint.to_owned() })
            }
            _ => Err(ProofError::Malformed),
        }
    }

    /// The head under which the entry is found.
    pub fn check(&self, entry: &[u8], verifier: &Verifier) -> Result<Checkpoint, ProofError> {
        let head = Checkpoint::open(&self.checkpoint, verifier)?;
        let leaf = hash::leaf(entry);
        if is_included(&leaf, self.index, head.size, &self.path, &head.root) {
            Ok(head)
        } else {
            Err(ProofError::NotIncluded)
        }
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEAD}\nindex {}", self.index)?;
        self.path.iter().try_for_each(|hash| writeln!(f, "{}", BASE64.encode(hash)))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

fn hash(line: &str) -> Option<Hash> {
    BASE64.decode(line.as_bytes()).ok()?.try_into().ok()
}

const HEAD: &str = "c2sp.org/tlog-proof@v1";

#[cfg(test)]
mod tests {
    use super::super::proof::tests::leaves;
    use super::super::{Signer, inclusion, root};
    use super::*;
    use proptest::prelude::*;

    fn proof(index: u64, size: u64) -> (Proof, Verifier) {
        let leaves = leaves(size);
        let signer = Signer::new("example.org/log", &[1; 32]).unwrap();
        let head = Checkpoint { origin: "example.org/log".to_owned(), size, root: root(&leaves, size).unwrap() };
        let path = inclusion(&leaves, index, size).unwrap();
        (Proof { index, path, checkpoint: head.sign(&signer) }, signer.verifier().clone())
    }

    #[test]
    fn what_was_written_is_read_and_shows_its_entry_alone() {
        for (index, size) in [(0, 1), (0, 2), (5, 7), (299, 300)] {
            let (proof, verifier) = proof(index, size);
            assert_eq!(Proof::parse(&proof.to_string()), Ok(proof.clone()));
            assert_eq!(proof.check(&index.to_be_bytes(), &verifier).unwrap().size, size);
            assert_eq!(proof.check(b"something else", &verifier), Err(ProofError::NotIncluded));
            let stranger = Signer::new("example.org/log", &[2; 32]).unwrap();
            let refused = ProofError::Checkpoint(NoteError::NotSigned);
            assert_eq!(proof.check(&index.to_be_bytes(), stranger.verifier()), Err(refused));
        }
        let (proof, verifier) = proof(3, 9);
        let extra = proof.to_string().replace("index", "extra YWJj\nindex");
        assert!(Proof::parse(&extra).unwrap().check(&3u64.to_be_bytes(), &verifier).is_ok());
    }

    proptest! {
        #[test]
        fn no_text_makes_reading_panic(text in "(c2sp.org/tlog-proof@v1\n)?(index 0\n)?\\PC{0,40}\n{0,2}\\PC{0,20}") {
            let (_, verifier) = proof(0, 1);
            if let Ok(proof) = Proof::parse(&text) {
                prop_assert!(proof.check(b"", &verifier).is_err());
            }
        }
    }
}
