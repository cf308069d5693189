//! Ten recovery codes for the day a phone or a key is lost: made with the first second factor, each good once.
//!
//! They are kept as digests under a key that the database does not hold, so that a copy of it is of no use to guess
//! them.
use aws_lc_rs::hmac;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{People, Person, letters};
use crate::store::StoreError;

impl People {
    /// Ten new ones; those before are void. None without a second factor.
    pub async fn renew_recovery_codes(&self, person: &Person) -> Result<Option<Vec<Zeroizing<String>>>, StoreError> {
        if !person.has_factor {
            return Ok(None);
        }
        let codes = new_codes()?;
        self.store.put_recovery_codes(person.id, self.recovery_digests(person.id, &codes)).await?;
        Ok(Some(codes))
    }

    pub async fn recovery_codes_left(&self, user: Uuid) -> Result<u32, StoreError> {
        self.store.recovery_codes_left(user).await
    }

    pub(super) fn recovery_digests(&self, user: Uuid, codes: &[Zeroizing<String>]) -> Vec<[u8; 32]> {
        codes.iter().map(|code| self.recovery_digest(user, code)).collect()
    }

    pub(super) fn recovery_digest(&self, user: Uuid, code: &str) -> [u8; 32] {
        let text = Zeroizing::new(format!("{user} {}", *as_made(code)));
        self.vault.blind_index("recovery-code", &text)
    }
}

pub(super) fn new_codes() -> Result<Vec<Zeroizing<String>>, StoreError> {
    (0..CODES).map(|_| letters::<LETTERS>()).collect()
}

/// As earlier builds kept them, under a key that is sealed with the app's secret.
pub(super) fn former_digest(key: &[u8], code: &str) -> [u8; 32] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), as_made(code).as_bytes());
    tag.as_ref().try_into().expect("HMAC-SHA256 gives 32 bytes")
}

/// However it was typed: without the hyphen, in capitals.
fn as_made(code: &str) -> Zeroizing<String> {
    let letters = code.chars().filter(char::is_ascii_alphanumeric);
    Zeroizing::new(letters.map(|c| c.to_ascii_lowercase()).collect())
}

const CODES: usize = 10;
/// 50 bits, twice what a throttled guesser needs to be kept from.
const LETTERS: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::TotpRow;
    use crate::testing::{administrator, block_on, domain};

    #[test]
    fn codes_that_an_earlier_build_gave_still_open() {
        let (domain, _folder) = domain();
        let person = administrator(&domain);
        let place = hotline::vault::Aad { table: "totp", row: &person.id.to_string(), column: "secret", version: 1 };
        let secret_sealed = domain.people.vault.seal(hotline::vault::KeyClass::Person, &place, &[3; 52]).unwrap();
        let totp = TotpRow { user: person.id, secret_sealed, last_step: 0, created_at_ms: 1, confirmed_at_ms: None };
        let store = &domain.people.store;
        assert!(block_on(store.put_totp(totp)).unwrap());
        let digest = former_digest(&[3; 32], "abcde-fghij");
        block_on(store.confirm_totp(person.id, 5, vec![digest], Uuid::nil(), 8)).unwrap().unwrap();
        let take = |code: &str| block_on(domain.people.take_code(person.id, code)).unwrap();
        assert!(take("abcde-fghik").is_none());
        assert_eq!(take("ABCDE fghij"), Some(crate::people::Factor::Recovery));
        assert!(take("abcde-fghij").is_none(), "used");
    }
}
