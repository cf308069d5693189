//! What the audit key does: seals details, vouches for checkpoints.
//!
//! Details are sealed with AES-256-GCM. Each start of the scribe (and each try after a failed write)
//! draws 16 random bytes and derives a key of its own from them; under it the record's number in the
//! log is the nonce. A number is used once within a start, and two starts share a key only if 128
//! random bits meet, so no nonce is ever used twice even where a trimmed record's number returns.
use aws_lc_rs::aead::{self, AES_256_GCM, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::{hkdf, hmac, rand};
use data_encoding::BASE64;
use zeroize::Zeroizing;

use super::record::Record;
use crate::wire::KeyBytes;

/// All versions of the audit key.
pub struct AuditKeys {
    versions: Vec<KeyBytes>,
}

/// Why details stay closed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum OpenError {
    #[error("could not open the details: not sealed by this program")]
    Malformed,
    #[error("could not open the details: version {0} of the audit key is not at hand")]
    NoVersion(u16),
    #[error("could not open the details: changed, or of another record")]
    Refused,
}

impl AuditKeys {
    /// Takes the versions of the key, of which there is at least one; the highest seals.
    pub fn new(mut versions: Vec<KeyBytes>) -> Option<Self> {
        versions.sort_by_key(|key| std::cmp::Reverse(key.version));
        (!versions.is_empty()).then_some(Self { versions })
    }

    /// A key for one start. `None` when the system has no random bytes.
    pub fn sealer(&self) -> Option<Sealer> {
        let newest = self.newest();
        let mut start = [0; START_BYTES];
        rand::fill(&mut start).ok()?;
        Some(Sealer { version: newest.version, start, key: details_key(newest, &start) })
    }

    /// The details of a record in clear.
    pub fn open(&self, record: &Record) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let sealed = BASE64.decode(record.details.as_bytes()).map_err(|_| OpenError::Malformed)?;
        let (header, body) = sealed.split_first_chunk::<HEADER_BYTES>().ok_or(OpenError::Malformed)?;
        let [format, low, high, start @ ..] = header;
        if *format != FORMAT {
            return Err(OpenError::Malformed);
        }
        let version = u16::from_le_bytes([*low, *high]);
        let key = self.versions.iter().find(|key| key.version == version).ok_or(OpenError::NoVersion(version))?;
        let bound = aead::Aad::from(place(header, &record.source, record.source_number));
        let mut opened = Zeroizing::new(body.to_vec());
        let plain = details_key(key, start)
            .open_in_place(nonce(record.seq), bound, &mut opened)
            .map_err(|_| OpenError::Refused)?;
        let plain_bytes = plain.len();
        opened.truncate(plain_bytes);
        Ok(opened)
    }

    /// The version that seals and vouches.
    pub(super) fn newest_version(&self) -> u16 {
        self.newest().version
    }

    /// The authentication code of a checkpoint's content, with the newest key.
    pub(super) fn mac(&self, content: &[u8]) -> [u8; 32] {
        let code = hmac::sign(&mac_key(self.newest()), content);
        code.as_ref().try_into().expect("HMAC-SHA256 gives 32 bytes")
    }

    /// Whether we made the code. A version that is not at hand vouches for nothing.
    pub(super) fn is_our_mac(&self, version: u16, content: &[u8], code: &[u8]) -> bool {
        let key = self.versions.iter().find(|key| key.version == version);
        key.is_some_and(|key| hmac::verify(&mac_key(key), content, code).is_ok())
    }

    fn newest(&self) -> &KeyBytes {
        self.versions.first().expect("`new` takes no empty list")
    }
}

/// The version of the key that opens a record's details; none if there are none.
pub(super) fn version_of(record: &Record) -> Option<u16> {
    let head = BASE64.decode(record.details.get(..4)?.as_bytes()).ok()?;
    let [FORMAT, low, high] = head[..] else { return None };
    Some(u16::from_le_bytes([low, high]))
}

/// Seals the details of one start's records.
pub struct Sealer {
    version: u16,
    start: [u8; START_BYTES],
    key: LessSafeKey,
}

impl Sealer {
    /// Seals for the record `seq`, which has not had details sealed by this sealer before.
    pub(super) fn seal(&self, seq: u64, source: &str, number: u64, plain: &[u8]) -> String {
        let [low, high] = self.version.to_le_bytes();
        let mut sealed = Vec::with_capacity(HEADER_BYTES + plain.len() + TAG_BYTES);
        sealed.extend_from_slice(&[FORMAT, low, high]);
        sealed.extend_from_slice(&self.start);
        let bound = aead::Aad::from(place(&sealed, source, number));
        sealed.extend_from_slice(plain);
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce(seq), bound, &mut sealed[HEADER_BYTES..])
            .expect("details are far below the 64 GiB that GCM takes");
        sealed.extend_from_slice(tag.as_ref());
        BASE64.encode(&sealed)
    }
}

fn details_key(key: &KeyBytes, start: &[u8]) -> LessSafeKey {
    let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, b"hotline-audit-v1").extract(&key.bytes);
    let info = [b"details\0", start];
    let material = extracted.expand(&info, &AES_256_GCM).expect("32 bytes are one block of HKDF-SHA256");
    LessSafeKey::new(UnboundKey::from(material))
}

fn mac_key(key: &KeyBytes) -> hmac::Key {
    let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, b"hotline-audit-v1").extract(&key.bytes);
    extracted.expand(&[b"checkpoint\0"], hmac::HMAC_SHA256).expect("32 bytes are one block of HKDF-SHA256").into()
}

/// Numbers have a fixed length and the source comes last, so no two places have the same bytes.
fn place(header: &[u8], source: &str, number: u64) -> Vec<u8> {
    [header, &number.to_le_bytes(), source.as_bytes()].concat()
}

fn nonce(seq: u64) -> Nonce {
    let mut bytes = [0; aead::NONCE_LEN];
    bytes[4..].copy_from_slice(&seq.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

const FORMAT: u8 = 1;
const START_BYTES: usize = 16;
/// Format, key version, start.
const HEADER_BYTES: usize = 3 + START_BYTES;
const TAG_BYTES: usize = 16;
