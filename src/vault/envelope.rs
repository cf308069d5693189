//! The bytes of a sealed value: format, class, key version, nonce, ciphertext, tag.
//!
//! AES-256-GCM. The header is authenticated with the place, so a value cannot be passed off as one
//! of another class or key version.
use aws_lc_rs::aead::{self, AES_256_GCM, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;
use zeroize::Zeroizing;

use super::{Aad, KeyClass, VaultError};

/// What stands before the nonce.
#[derive(Clone, Copy)]
pub(super) struct Header {
    pub(super) class: KeyClass,
    pub(super) key_version: u16,
}

impl Header {
    pub(super) fn read(sealed: &[u8]) -> Result<Self, VaultError> {
        if sealed.len() < OVERHEAD_BYTES {
            return Err(VaultError::Malformed);
        }
        Self::of(*sealed.first_chunk().ok_or(VaultError::Malformed)?)
    }

    pub(super) fn of([format, number, low, high]: [u8; HEADER_BYTES]) -> Result<Self, VaultError> {
        let class = KeyClass::ALL.into_iter().find(|class| class_number(*class) == number);
        match class {
            Some(class) if format == FORMAT => Ok(Self { class, key_version: u16::from_le_bytes([low, high]) }),
            _ => Err(VaultError::Malformed),
        }
    }

    pub(super) fn bytes(self) -> [u8; HEADER_BYTES] {
        let [low, high] = self.key_version.to_le_bytes();
        [FORMAT, class_number(self.class), low, high]
    }
}

pub(super) fn seal(key: &[u8; 32], header: Header, aad: &Aad<'_>, plain: &[u8]) -> Result<Vec<u8>, VaultError> {
    let mut nonce = [0; NONCE_LEN];
    rand::fill(&mut nonce).map_err(|_| VaultError::Random)?;
    let mut sealed = Vec::with_capacity(plain.len() + OVERHEAD_BYTES);
    sealed.extend_from_slice(&header.bytes());
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(plain);
    let bound = aead::Aad::from(aad.bytes(&header.bytes()));
    let tag = gcm(key)
        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), bound, &mut sealed[PLAIN_AT..])
        .map_err(|_| VaultError::TooLong)?;
    sealed.extend_from_slice(tag.as_ref());
    Ok(sealed)
}

pub(super) fn open(
    key: &[u8; 32],
    header: Header,
    aad: &Aad<'_>,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    let nonce = Nonce::try_assume_unique_for_key(&sealed[HEADER_BYTES..PLAIN_AT]).map_err(|_| VaultError::Malformed)?;
    let mut opened = Zeroizing::new(sealed[PLAIN_AT..].to_vec());
    let bound = aead::Aad::from(aad.bytes(&header.bytes()));
    let plain = gcm(key).open_in_place(nonce, bound, &mut opened).map_err(|_| VaultError::Refused)?;
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

pub(super) const FORMAT: u8 = 1;
pub(super) const HEADER_BYTES: usize = 4;
const PLAIN_AT: usize = HEADER_BYTES + NONCE_LEN;
const TAG_BYTES: usize = 16;
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
    fn classes_keep_their_numbers() {
        let numbers = KeyClass::ALL.map(class_number);
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8], "stored values carry these");
    }
}
