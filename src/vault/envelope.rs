//! The bytes of a sealed value: what its key comes from, nonce, ciphertext, tag.
//!
//! AES-256-GCM. The header is authenticated with the place, so a value cannot be passed off as one
//! of another format, class or key version.
use aws_lc_rs::aead::{self, AES_256_GCM, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;
use zeroize::Zeroizing;

use super::{KeyClass, VaultError};

/// What the key of a sealed value comes from, as its first bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Under {
    /// This version of the class's data key.
    Class(KeyClass, u16),
    /// The key that its subject has for the class (`vault::SubjectKey`).
    Subject(KeyClass),
    /// As `Subject`, and in segments (`vault::SealingWriter`).
    Segments(KeyClass),
}

impl Under {
    /// Nothing if we did not seal what begins so.
    pub fn of([format, number, low, high]: Head) -> Option<Self> {
        let class = KeyClass::ALL.into_iter().find(|class| class_number(*class) == number)?;
        match (format, u16::from_le_bytes([low, high])) {
            (FORMAT_CLASS, version) => Some(Self::Class(class, version)),
            (FORMAT_SUBJECT, 0) => Some(Self::Subject(class)),
            (FORMAT_SEGMENTS, 0) => Some(Self::Segments(class)),
            _ => None,
        }
    }

    /// What every value begins with that is sealed so.
    pub fn head(self) -> Head {
        match self {
            Self::Class(class, version) => {
                let [low, high] = version.to_le_bytes();
                [FORMAT_CLASS, class_number(class), low, high]
            }
            // A subject has one key for a class; the last two bytes would number others.
            Self::Subject(class) => [FORMAT_SUBJECT, class_number(class), 0, 0],
            Self::Segments(class) => [FORMAT_SEGMENTS, class_number(class), 0, 0],
        }
    }

    pub(super) fn read(sealed: &[u8]) -> Result<Self, VaultError> {
        if sealed.len() < OVERHEAD_BYTES {
            return Err(VaultError::Malformed);
        }
        sealed.first_chunk().and_then(|head| Self::of(*head)).ok_or(VaultError::Malformed)
    }
}

/// The first bytes of a sealed value.
pub type Head = [u8; 4];

/// `bound` is the place in bytes, header included.
pub(super) fn seal(key: &[u8; 32], head: Head, bound: Vec<u8>, plain: &[u8]) -> Result<Vec<u8>, VaultError> {
    let mut nonce = [0; NONCE_LEN];
    rand::fill(&mut nonce).map_err(|_| VaultError::Random)?;
    let mut sealed = Vec::with_capacity(plain.len() + OVERHEAD_BYTES);
    sealed.extend_from_slice(&head);
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(plain);
    let tag = gcm(key)
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            aead::Aad::from(bound),
            &mut sealed[PLAIN_AT..],
        )
        .map_err(|_| VaultError::TooLong)?;
    sealed.extend_from_slice(tag.as_ref());
    Ok(sealed)
}

/// `sealed` is long enough: its header was read.
pub(super) fn open(key: &[u8; 32], bound: Vec<u8>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    let nonce = Nonce::try_assume_unique_for_key(&sealed[HEAD_BYTES..PLAIN_AT]).map_err(|_| VaultError::Malformed)?;
    let mut opened = Zeroizing::new(sealed[PLAIN_AT..].to_vec());
    let plain = gcm(key).open_in_place(nonce, aead::Aad::from(bound), &mut opened).map_err(|_| VaultError::Refused)?;
    let plain_bytes = plain.len();
    opened.truncate(plain_bytes);
    Ok(opened)
}

/// The class as sealed values spell it. Never changes its meaning: values outlive programs.
pub(super) fn class_number(class: KeyClass) -> u8 {
    match class {
        KeyClass::Audit => 1,
        KeyClass::Cache => 2,
        KeyClass::Case => 3,
        KeyClass::Call => 4,
        KeyClass::BlindIndex => 5,
        KeyClass::Person => 6,
        KeyClass::Token => 7,
        KeyClass::LogSigning => 8,
    }
}

pub(super) fn gcm(key: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("AES-256 takes 32 bytes"))
}

/// Formats never change their meaning: values outlive programs.
const FORMAT_CLASS: u8 = 1;
const FORMAT_SUBJECT: u8 = 2;
const FORMAT_SEGMENTS: u8 = 3;
pub(super) const HEAD_BYTES: usize = size_of::<Head>();
const PLAIN_AT: usize = HEAD_BYTES + NONCE_LEN;
pub(super) const TAG_BYTES: usize = 16;
const OVERHEAD_BYTES: usize = PLAIN_AT + TAG_BYTES;

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::HEXLOWER;

    fn bytes<const N: usize>(hex: &str) -> [u8; N] {
        HEXLOWER.decode(hex.as_bytes()).unwrap().try_into().unwrap()
    }

    /// NIST CAVP gcmEncryptExtIV256: 96-bit IV, 128-bit text, no associated data, first vector.
    #[test]
    fn the_cipher_is_the_one_that_nist_describes() {
        let key: [u8; 32] = bytes("31bdadd96698c204aa9ce1448ea94ae1fb4a9a0b3c9d773b51bb1822666b8f22");
        let mut text: [u8; 16] = bytes("2db5168e932556f8089a0622981d017d");
        let nonce = Nonce::assume_unique_for_key(bytes("0d18e06c7c725ac9e362e1ce"));
        let tag = gcm(&key).seal_in_place_separate_tag(nonce, aead::Aad::empty(), &mut text).unwrap();
        assert_eq!(text, bytes("fa4362189661d163fcd6a56d8bf0405a"));
        assert_eq!(tag.as_ref(), bytes::<16>("d636ac1bbedd5cc3ee727dc2ab4a9489"));
    }

    #[test]
    fn heads_are_read_as_they_were_written() {
        for class in KeyClass::ALL {
            for under in [Under::Class(class, 0x0201), Under::Subject(class), Under::Segments(class)] {
                assert_eq!(Under::of(under.head()), Some(under));
            }
        }
        assert_eq!(Under::Class(KeyClass::Call, 0x0201).head(), [1, 4, 1, 2], "stored values begin so");
        assert_eq!(
            [2, 3].map(|format| Under::of([format, 4, 1, 0])),
            [None, None],
            "a subject has one key for a class"
        );
        assert_eq!([[0, 4, 0, 0], [4, 4, 0, 0], [1, 0, 0, 0], [1, 9, 0, 0]].map(Under::of), [None; 4]);
    }

    #[test]
    fn classes_keep_their_numbers() {
        let numbers = KeyClass::ALL.map(class_number);
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8], "stored values carry these");
    }
}
