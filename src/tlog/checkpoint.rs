//! The head of a log at a size (C2SP `tlog-checkpoint`): origin, size, root, one a line.
use data_encoding::BASE64;

use super::hash::Hash;
use super::note::{NoteError, Signer, Verifier};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log this is.
    pub origin: String,
    /// How many entries it has.
    pub size: u64,
    pub root: Hash,
}

impl Checkpoint {
    pub fn sign(&self, signer: &Signer) -> String {
        signer.sign(&self.text())
    }

    /// What a note says, if the key stands by it and it is about the log that the key is named after.
    pub fn open(note: &str, verifier: &Verifier) -> Result<Self, NoteError> {
        let checkpoint = Self::parse(verifier.open(note)?).ok_or(NoteError::Malformed)?;
        if checkpoint.origin == verifier.name() { Ok(checkpoint) } else { Err(NoteError::NotSigned) }
    }

    /// What a note says, whoever signed it: worth no more than the place it was found at.
    pub fn read(note: &str) -> Option<Self> {
        Self::parse(note.rsplit_once("\n\n")?.0)
    }

    fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, BASE64.encode(&self.root))
    }

    /// Lines behind the third are for others.
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let (origin, size, root) = (lines.next()?, lines.next()?, lines.next()?);
        let number: u64 = size.parse().ok()?;
        let root = BASE64.decode(root.as_bytes()).ok()?.try_into().ok()?;
        let is_plain = !origin.is_empty() && number.to_string() == size && lines.all(|line| !line.is_empty());
        is_plain.then(|| Self { origin: origin.to_owned(), size: number, root })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_believed_from_the_log_it_is_of() {
        let signer = Signer::new("example.org/log", &[1; 32]).unwrap();
        let head = Checkpoint { origin: "example.org/log".to_owned(), size: 7, root: [9; 32] };
        let note = head.sign(&signer);
        assert!(note.starts_with("example.org/log\n7\nCQkJ"), "{note}");
        assert_eq!(Checkpoint::open(&note, signer.verifier()), Ok(head.clone()));
        let other = Checkpoint { origin: "example.org/other".to_owned(), ..head };
        assert_eq!(Checkpoint::open(&other.sign(&signer), signer.verifier()), Err(NoteError::NotSigned));
    }

    #[test]
    fn what_is_no_head_is_refused() {
        let root = BASE64.encode(&[9; 32]);
        for text in [
            String::new(),
            format!("\n7\n{root}\n"),
            format!("log\n07\n{root}\n"),
            format!("log\n+7\n{root}\n"),
            format!("log\n-7\n{root}\n"),
            "log\n7\nCQkJ\n".to_owned(),
            format!("log\n7\n{root}\n\nmore\n"),
        ] {
            assert_eq!(Checkpoint::parse(&text), None, "{text:?}");
        }
        assert!(Checkpoint::parse(&format!("log\n7\n{root}\nextension\n")).is_some());
    }
}
