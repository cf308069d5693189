//! Second factors that are typed: the codes of an authenticator app, and recovery codes for the day it is lost.
//!
//! The app's secret is sealed and bound to its row. Every code works once, on all workers.
use hotline::lifecycle::clock;
use hotline::vault::{Aad, KeyClass};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::totp;
use super::{People, Person, random, recovery};
use crate::store::{StoreError, TotpRow};

/// What a new authenticator app is told, once.
pub struct Enrolment {
    /// In base 32, to be typed.
    pub secret: Zeroizing<String>,
    /// For the picture.
    pub uri: Zeroizing<String>,
}

/// A second factor that is asked for from now on.
pub struct Confirmed {
    pub recovery_codes: Vec<Zeroizing<String>>,
    /// Sessions that had shown one factor only, and are over.
    pub ended: Vec<Uuid>,
}

/// Which factor a code was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Factor {
    Totp,
    Recovery,
}

impl Factor {
    /// The app's codes are six digits; whatever else is typed is meant for recovery.
    pub fn meant_by(code: &str) -> Self {
        let code = code.trim();
        let is_of_app = code.len() == APP_DIGITS && code.bytes().all(|byte| byte.is_ascii_digit());
        if is_of_app { Self::Totp } else { Self::Recovery }
    }
}

/// What is sealed: the app's secret, and a key under which earlier builds kept recovery codes.
struct Secrets(Zeroizing<[u8; SECRET_BYTES + KEY_BYTES]>);

impl People {
    /// A secret that waits for its first code. None if the person has a second factor already.
    pub async fn enrol_totp(&self, person: &Person) -> Result<Option<Enrolment>, StoreError> {
        let mut secrets = Secrets(Zeroizing::new([0; SECRET_BYTES + KEY_BYTES]));
        random(&mut *secrets.0)?;
        let row = person.id.to_string();
        let totp = TotpRow {
            user: person.id,
            secret_sealed: self.vault.seal(KeyClass::Person, &secret_place(&row), &*secrets.0)?,
            last_step: 0,
            created_at_ms: clock::now_ms().cast_signed(),
            confirmed_at_ms: None,
        };
        if !self.store.put_totp(totp).await? {
            return Ok(None);
        }
        Ok(Some(Enrolment {
            secret: Zeroizing::new(totp::spelled(secrets.app())),
            uri: Zeroizing::new(totp::uri(&person.name, secrets.app())),
        }))
    }

    /// The first code of the app; `session` has shown both factors then. None if the code is wrong, or late.
    pub async fn confirm_totp(&self, user: Uuid, code: &str, session: Uuid) -> Result<Option<Confirmed>, StoreError> {
        let Some((totp, secrets)) = self.secrets(user).await? else { return Ok(None) };
        let now_ms = clock::now_ms();
        let waits_since_ms = now_ms.saturating_sub(totp.created_at_ms.cast_unsigned());
        let step = totp::step_of(secrets.app(), code, now_ms / 1_000);
        let (Some(step), true) = (step, waits_since_ms < CONFIRM_WITHIN_MS) else { return Ok(None) };
        let (recovery_codes, at_ms) = (recovery::new_codes()?, now_ms.cast_signed());
        let digests = self.recovery_digests(user, &recovery_codes);
        let confirmed = self.store.confirm_totp(user, step.cast_signed(), digests, session, at_ms).await?;
        Ok(confirmed.map(|ended| Confirmed { recovery_codes, ended }))
    }

    /// Whether the person has an app that is asked for.
    pub async fn has_app(&self, user: Uuid) -> Result<bool, StoreError> {
        Ok(self.store.totp(user).await?.is_some_and(|totp| totp.confirmed_at_ms.is_some()))
    }

    /// Takes a code, of the app or for recovery, if it is right and unused. Tells which it was.
    pub async fn take_code(&self, user: Uuid, code: &str) -> Result<Option<Factor>, StoreError> {
        let app = self.secrets(user).await?.filter(|(totp, _)| totp.confirmed_at_ms.is_some());
        let code = code.trim();
        if Factor::meant_by(code) == Factor::Totp {
            let step = app.and_then(|(_, secrets)| totp::step_of(secrets.app(), code, clock::now_ms() / 1_000));
            let Some(step) = step else { return Ok(None) };
            let taken = self.store.use_totp_step(user, step.cast_signed()).await?;
            return Ok(taken.then_some(Factor::Totp));
        }
        if self.store.use_recovery_code(user, self.recovery_digest(user, code)).await? {
            return Ok(Some(Factor::Recovery));
        }
        let Some((_, secrets)) = app else { return Ok(None) };
        let taken = self.store.use_recovery_code(user, recovery::former_digest(secrets.former_key(), code)).await?;
        Ok(taken.then_some(Factor::Recovery))
    }

    async fn secrets(&self, user: Uuid) -> Result<Option<(TotpRow, Secrets)>, StoreError> {
        let Some(totp) = self.store.totp(user).await? else { return Ok(None) };
        let row = user.to_string();
        let opened = self.vault.open(KeyClass::Person, &secret_place(&row), &totp.secret_sealed)?;
        let malformed = |_| StoreError::Malformed { what: "a second factor" };
        let secrets = Secrets(Zeroizing::new(opened.as_slice().try_into().map_err(malformed)?));
        Ok(Some((totp, secrets)))
    }
}

impl Secrets {
    fn app(&self) -> &[u8] {
        &self.0[..SECRET_BYTES]
    }

    fn former_key(&self) -> &[u8] {
        &self.0[SECRET_BYTES..]
    }
}

fn secret_place(row: &str) -> Aad<'_> {
    Aad { table: "totp", row, column: "secret", version: 1 }
}

/// As long as the digest, as RFC 4226 recommends.
const SECRET_BYTES: usize = 20;
const KEY_BYTES: usize = 32;
const APP_DIGITS: usize = 6;
/// A secret that was shown and not used is not left lying about.
const CONFIRM_WITHIN_MS: u64 = 900_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{administrator, block_on, domain, vault};
    use data_encoding::BASE32_NOPAD;

    fn secret_of(enrolment: &Enrolment) -> Vec<u8> {
        BASE32_NOPAD.decode(enrolment.secret.as_bytes()).unwrap()
    }

    fn code(secret: &[u8], steps_on: u64) -> String {
        totp::code_at(secret, clock::now_ms() / 1_000 + 30 * steps_on)
    }

    #[test]
    fn a_factor_counts_once_confirmed_and_each_code_once() {
        let (domain, _folder) = domain();
        let person = administrator(&domain);
        let people = &domain.people;
        let session = block_on(domain.sessions.create(&person, 1, None)).unwrap().unwrap();
        let other = block_on(domain.sessions.create(&person, 1, None)).unwrap().unwrap();
        let lost = block_on(people.enrol_totp(&person)).unwrap().unwrap();
        let secret = secret_of(&block_on(people.enrol_totp(&person)).unwrap().unwrap());
        assert_ne!(secret_of(&lost), secret, "asking again gives another one");
        assert!(!block_on(people.find("admin")).unwrap().unwrap().has_factor, "not yet confirmed");
        assert!(block_on(people.take_code(person.id, &code(&secret, 0))).unwrap().is_none(), "not yet confirmed");

        let now = code(&secret, 0);
        let wrong = code(&secret_of(&lost), 0);
        assert!(block_on(people.confirm_totp(person.id, &wrong, session.id)).unwrap().is_none());
        let confirmed = block_on(people.confirm_totp(person.id, &now, session.id)).unwrap().unwrap();
        assert_eq!(confirmed.ended, [other.id]);
        assert!(block_on(people.confirm_totp(person.id, &code(&secret, 1), session.id)).unwrap().is_none());
        let person = block_on(people.find("admin")).unwrap().unwrap();
        assert!(person.has_factor);
        assert!(block_on(people.enrol_totp(&person)).unwrap().is_none(), "it is taken away first");
        let session = block_on(domain.sessions.find(session.id)).unwrap().unwrap();
        assert_eq!((session.factors, session.epoch), (2, person.epoch));

        assert!(block_on(people.take_code(person.id, &now)).unwrap().is_none(), "the first code is used");
        let next = code(&secret, 1);
        assert_eq!(block_on(people.take_code(person.id, &next)).unwrap(), Some(Factor::Totp));
        assert!(block_on(people.take_code(person.id, &next)).unwrap().is_none(), "replayed");
        assert!(block_on(people.take_code(person.id, &now)).unwrap().is_none(), "an earlier step");

        let codes = confirmed.recovery_codes;
        assert_eq!(codes.len(), 10);
        let typed = codes[3].to_uppercase().replace('-', " ");
        assert_eq!(block_on(people.take_code(person.id, &typed)).unwrap(), Some(Factor::Recovery));
        assert!(block_on(people.take_code(person.id, &codes[3])).unwrap().is_none(), "used");
        assert_eq!(block_on(people.recovery_codes_left(person.id)).unwrap(), 9);
        let renewed = block_on(people.renew_recovery_codes(&person)).unwrap().unwrap();
        assert!(block_on(people.take_code(person.id, &codes[4])).unwrap().is_none(), "void");
        assert_eq!(block_on(people.take_code(person.id, &renewed[4])).unwrap(), Some(Factor::Recovery));
        for forged in ["", "      ", "-----", "123456", "aaaaa-aaaaa", "\u{663}\u{663}\u{663}", "a\0"] {
            assert!(block_on(people.take_code(person.id, forged)).unwrap().is_none(), "{forged:?}");
        }
    }

    #[test]
    fn of_many_who_bring_the_same_code_one_gets_in() {
        let (domain, _folder) = domain();
        let person = administrator(&domain);
        let session = block_on(domain.sessions.create(&person, 1, None)).unwrap().unwrap();
        let secret = secret_of(&block_on(domain.people.enrol_totp(&person)).unwrap().unwrap());
        block_on(domain.people.confirm_totp(person.id, &code(&secret, 0), session.id)).unwrap().unwrap();
        let next = code(&secret, 1);
        let got_in = std::thread::scope(|scope| {
            let tries: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| block_on(domain.people.take_code(person.id, &next)).unwrap().is_some()))
                .collect();
            tries.into_iter().map(|each| each.join().unwrap()).filter(|taken| *taken).count()
        });
        assert_eq!(got_in, 1);
    }

    #[test]
    fn a_secret_that_was_copied_to_another_person_does_not_open() {
        let (domain, _folder) = domain();
        let person = administrator(&domain);
        block_on(domain.people.enrol_totp(&person)).unwrap().unwrap();
        let totp = block_on(domain.people.store.totp(person.id)).unwrap().unwrap();
        let (own, other) = (person.id.to_string(), Uuid::now_v7().to_string());
        assert!(vault().open(KeyClass::Person, &secret_place(&own), &totp.secret_sealed).is_ok());
        assert!(vault().open(KeyClass::Person, &secret_place(&other), &totp.secret_sealed).is_err());
    }
}
