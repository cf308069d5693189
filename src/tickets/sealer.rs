//! Seals and opens tickets. What is opened comes from strangers: nothing in it can make this panic.
//!
//! A ticket is the key's name, a random nonce, and the session under AES-256-GCM with the name
//! authenticated. A counter would make the nonce cheaper, and tell every caller how many came before; at
//! 10,000 handshakes a second the longest-lived key seals 2^29 times, far below the 2^32 that random nonces allow.
use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use zeroize::Zeroize;

use super::keys::{KEY_NAME_BYTES, TicketKey, TicketKeys};

/// A worker's keys, made ready for use.
pub struct Sealer {
    current: Prepared,
    /// Newest first, without the current one.
    others: Vec<Prepared>,
}

/// Why a ticket does not open. The caller gets a full handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Sealed before this supervisor started, or so long ago that its key is gone; or never.
    UnknownKey,
    /// Too short, too long, or changed on its way.
    Malformed,
}

struct Prepared {
    name: [u8; KEY_NAME_BYTES],
    key: RandomizedNonceKey,
}

impl Sealer {
    pub fn new(keys: &TicketKeys) -> Self {
        let others = keys.iter().filter(|key| key.name != keys.current.name).map(Prepared::new).collect();
        Self { current: Prepared::new(&keys.current), others }
    }

    /// `None` when there is no randomness, or the session is absurdly long.
    pub fn seal(&self, session: &[u8]) -> Option<Vec<u8>> {
        if session.len() > TICKET_BYTES_MAX - OVERHEAD_BYTES {
            return None;
        }
        let Prepared { name, key } = &self.current;
        let mut sealed = Vec::with_capacity(session.len() + TAG_BYTES);
        sealed.extend_from_slice(session);
        let Ok(nonce) = key.seal_in_place_append_tag(Aad::from(name), &mut sealed) else {
            sealed.zeroize();
            return None;
        };
        Some([name, nonce.as_ref().as_slice(), &sealed].concat())
    }

    pub fn open(&self, ticket: &[u8]) -> Result<Vec<u8>, Refusal> {
        if ticket.len() > TICKET_BYTES_MAX {
            return Err(Refusal::Malformed);
        }
        let (name, rest) = ticket.split_first_chunk::<KEY_NAME_BYTES>().ok_or(Refusal::Malformed)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>().ok_or(Refusal::Malformed)?;
        let known = std::iter::once(&self.current).chain(&self.others).find(|prepared| prepared.name == *name);
        let Prepared { key, .. } = known.ok_or(Refusal::UnknownKey)?;
        let mut opened = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let session_bytes =
            key.open_in_place(nonce, Aad::from(name), &mut opened).map_err(|_| Refusal::Malformed)?.len();
        opened.truncate(session_bytes);
        Ok(opened)
    }
}

impl Prepared {
    fn new(key: &TicketKey) -> Self {
        let cipher = RandomizedNonceKey::new(&AES_256_GCM, &key.secret).expect("AES-256 takes 32 bytes");
        Self { name: key.name, key: cipher }
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealer({} keys)", self.others.len() + 1)
    }
}

const TAG_BYTES: usize = 16;
const OVERHEAD_BYTES: usize = KEY_NAME_BYTES + NONCE_LEN + TAG_BYTES;
/// The field that carries a ticket has a length of two bytes.
const TICKET_BYTES_MAX: usize = u16::MAX as usize;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys() -> TicketKeys {
        TicketKeys::random().unwrap()
    }

    #[test]
    fn a_sibling_that_has_not_heard_and_a_successor_open_it() {
        let before = keys();
        let mut after = before.clone();
        after.rotate().unwrap();
        let (old, new) = (Sealer::new(&before), Sealer::new(&after));
        assert_eq!(old.open(&new.seal(b"session").unwrap()).unwrap(), b"session");
        assert_eq!(new.open(&old.seal(b"session").unwrap()).unwrap(), b"session");
        let again = Sealer::new(&before);
        assert_eq!(again.open(&old.seal(b"").unwrap()).unwrap(), b"");
    }

    #[test]
    fn a_stranger_to_the_key_learns_that_only() {
        let ticket = Sealer::new(&keys()).seal(b"session").unwrap();
        assert_eq!(Sealer::new(&keys()).open(&ticket), Err(Refusal::UnknownKey));
    }

    #[test]
    fn tickets_of_the_same_session_cannot_be_linked_but_by_their_key() {
        let sealer = Sealer::new(&keys());
        let (one, two) = (sealer.seal(b"session").unwrap(), sealer.seal(b"session").unwrap());
        assert_eq!(one[..KEY_NAME_BYTES], two[..KEY_NAME_BYTES]);
        assert_ne!(one[KEY_NAME_BYTES..][..NONCE_LEN], two[KEY_NAME_BYTES..][..NONCE_LEN]);
        assert_ne!(one[KEY_NAME_BYTES + NONCE_LEN..], two[KEY_NAME_BYTES + NONCE_LEN..]);
    }

    #[test]
    fn a_ticket_that_no_field_could_carry_is_neither_made_nor_opened() {
        let sealer = Sealer::new(&keys());
        let longest = vec![7; TICKET_BYTES_MAX - OVERHEAD_BYTES];
        let ticket = sealer.seal(&longest).unwrap();
        assert_eq!((ticket.len(), sealer.open(&ticket).unwrap()), (TICKET_BYTES_MAX, longest));
        assert!(sealer.seal(&vec![7; TICKET_BYTES_MAX - OVERHEAD_BYTES + 1]).is_none());
        assert_eq!(sealer.open(&vec![7; TICKET_BYTES_MAX + 1]), Err(Refusal::Malformed));
    }

    #[test]
    fn keys_are_not_shown() {
        assert_eq!(format!("{:?}", Sealer::new(&keys())), "Sealer(2 keys)");
    }

    proptest! {
        #[test]
        fn no_bytes_make_opening_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let sealer = Sealer::new(&keys());
            prop_assert!(sealer.open(&bytes).is_err());
            let ours = sealer.seal(b"").unwrap();
            let forged = [&ours[..KEY_NAME_BYTES], &bytes].concat();
            prop_assert_eq!(sealer.open(&forged), Err(Refusal::Malformed));
        }

        #[test]
        fn a_changed_or_cut_ticket_is_refused(session in prop::collection::vec(any::<u8>(), 0..200), at: prop::sample::Index, bit in 0u8..8) {
            let sealer = Sealer::new(&keys());
            let ticket = sealer.seal(&session).unwrap();
            let mut changed = ticket.clone();
            changed[at.index(ticket.len())] ^= 1 << bit;
            prop_assert!(sealer.open(&changed).is_err());
            prop_assert!(sealer.open(&ticket[..at.index(ticket.len())]).is_err());
            prop_assert_eq!(sealer.open(&ticket).unwrap(), session);
        }
    }
}
