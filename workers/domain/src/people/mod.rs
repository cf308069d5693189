//! People with an account: found by a blind index of their name, known by an Argon2id hash and a second factor.
mod factor;
mod passkeys;
mod password;
mod recovery;
mod rules;
mod staff;
mod totp;
mod tries;

use std::sync::Arc;

use aws_lc_rs::rand;
use hotline::config;
use hotline::lifecycle::clock;
use hotline::vault::{Aad, KeyClass, Vault};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::policy::{Clearance, Role};
use crate::store::{Store, StoreError, UserRow};

pub use factor::{Confirmed, Enrolment, Factor};
pub use passkeys::{Added, NewPasskey, PASSKEYS_MAX, Passkey, challenge_use};
pub use rules::PasswordRefusal;
pub use staff::{PasswordChange, Reset, StaffChange};
pub use totp::code_at;
pub use tries::{Attempt, Verdict};

use password::Passwords;

/// The room of people.
#[derive(Clone)]
pub struct People {
    store: Arc<dyn Store>,
    vault: Arc<Vault>,
    passwords: Passwords,
}

/// Somebody with an account.
#[derive(Clone)]
pub struct Person {
    pub id: Uuid,
    pub name: String,
    pub roles: Vec<Role>,
    /// Of their own; none: as their roles are.
    pub clearance: Option<Clearance>,
    pub must_change_password: bool,
    /// Has a second factor that is asked for.
    pub has_factor: bool,
    pub disabled: bool,
    /// Moves when rights or proofs change.
    pub epoch: u32,
    pub created_at_ms: u64,
}

impl People {
    pub(crate) fn new(store: Arc<dyn Store>, vault: Arc<Vault>, threads: &config::Pool) -> Result<Self, StoreError> {
        let passwords = Passwords::start(Arc::clone(&vault), threads)?;
        Ok(Self { store, vault, passwords })
    }

    /// Makes the first administrator if there is nobody at all; tells whether it did. Of several
    /// processes, one does. The caller has the password in a safe place before: there is no second.
    ///
    /// It is an attorney too: on the first day somebody has to be able to read the first case.
    pub async fn create_first_administrator(
        &self,
        password: Zeroizing<String>,
        must_change: bool,
    ) -> Result<bool, StoreError> {
        if !self.nobody_is_here().await? {
            return Ok(false);
        }
        let roles = [Role::Admin, Role::Attorney];
        let user = self.row(FIRST_ADMINISTRATOR, &password, &roles, must_change).await?;
        self.store.insert_first_user(user).await
    }

    /// Whether this is the very first start.
    pub async fn nobody_is_here(&self) -> Result<bool, StoreError> {
        Ok(!self.store.has_users().await?)
    }

    /// The person with this name and password, unless the account is closed or the password was given by somebody
    /// else too long ago. Takes as long for a name that does not exist.
    pub async fn verify(&self, name: &str, password: &str) -> Result<Option<Person>, StoreError> {
        let row = self.store.user_by_name(self.name_index(name)).await?;
        let hash = row.as_ref().map(|row| row.password_hash.as_str());
        if !self.passwords.verify(password, hash).await? {
            return Ok(None);
        }
        let opens = |row: &UserRow| row.disabled_at_ms.is_none() && !has_lapsed(row, clock::now_ms());
        row.filter(opens).map(|row| person(&self.vault, &row)).transpose()
    }

    pub async fn find(&self, name: &str) -> Result<Option<Person>, StoreError> {
        let row = self.store.user_by_name(self.name_index(name)).await?;
        row.map(|row| person(&self.vault, &row)).transpose()
    }

    async fn row(&self, name: &str, password: &str, roles: &[Role], must_change: bool) -> Result<UserRow, StoreError> {
        let id = Uuid::now_v7();
        let row = id.to_string();
        Ok(UserRow {
            id,
            name_index: self.name_index(name),
            name_sealed: self.vault.seal(KeyClass::Person, &name_place(&row), name.as_bytes())?,
            roles: staff::role_names(roles),
            password_hash: self.passwords.hash(password).await?,
            must_change_password: must_change,
            epoch: 1,
            created_at_ms: clock::now_ms().cast_signed(),
            clearance: None,
            disabled_at_ms: None,
            password_at_ms: clock::now_ms().cast_signed(),
            password_stands_alone: rules::stands_alone(password),
            has_factor: false,
        })
    }

    fn name_index(&self, name: &str) -> [u8; 32] {
        self.vault.blind_index("user-name", &rules::normal(name.trim()).to_lowercase())
    }
}

impl Person {
    /// Works for the hotline: reads, decides or administers.
    pub fn is_staff(&self) -> bool {
        self.roles.iter().any(|role| role.is_staff())
    }
}

/// A person from their row.
pub(crate) fn person(vault: &Vault, row: &UserRow) -> Result<Person, StoreError> {
    let place = row.id.to_string();
    let name = vault.open(KeyClass::Person, &name_place(&place), &row.name_sealed)?;
    let name = String::from_utf8(name.to_vec()).map_err(|_| StoreError::Malformed { what: "a name" })?;
    Ok(Person {
        id: row.id,
        name,
        roles: roles_of(row)?,
        clearance: clearance_of(row)?,
        must_change_password: row.must_change_password,
        has_factor: row.has_factor,
        disabled: row.disabled_at_ms.is_some(),
        epoch: row.epoch,
        created_at_ms: row.created_at_ms.cast_unsigned(),
    })
}

pub(crate) fn roles_of(row: &UserRow) -> Result<Vec<Role>, StoreError> {
    let unknown = StoreError::Malformed { what: "a role" };
    row.roles.split(',').map(Role::parse).collect::<Option<_>>().ok_or(unknown)
}

pub(crate) fn clearance_of(row: &UserRow) -> Result<Option<Clearance>, StoreError> {
    let unknown = StoreError::Malformed { what: "a clearance" };
    row.clearance.as_deref().map(|name| Clearance::parse(name).ok_or(unknown)).transpose()
}

/// A password that somebody else gave, on paper or in a message, does not open the account for ever.
fn has_lapsed(row: &UserRow, now_ms: u64) -> bool {
    let age_ms = now_ms.saturating_sub(row.password_at_ms.cast_unsigned());
    row.must_change_password && row.password_at_ms > 0 && age_ms >= GIVEN_PASSWORD_MS
}

fn name_place(row: &str) -> Aad<'_> {
    Aad { table: "users", row, column: "name", version: 1 }
}

/// Twenty letters and digits that are not mistaken for one another: 100 bits.
pub fn one_time_password() -> Result<Zeroizing<String>, StoreError> {
    letters::<20>()
}

/// Random letters and digits, in groups of five.
fn letters<const N: usize>() -> Result<Zeroizing<String>, StoreError> {
    let mut bytes = Zeroizing::new([0; N]);
    random(&mut *bytes)?;
    let letters = bytes.iter().map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]));
    let mut text = Zeroizing::new(String::with_capacity(N + N / 5));
    for (at, letter) in letters.enumerate() {
        if at > 0 && at % 5 == 0 {
            text.push('-');
        }
        text.push(letter);
    }
    Ok(text)
}

fn random(bytes: &mut [u8]) -> Result<(), StoreError> {
    rand::fill(bytes).map_err(|_| StoreError::Failed("no randomness".to_owned()))
}

/// A week: an invitation waits for somebody who is away, and not for who finds it later.
const GIVEN_PASSWORD_MS: u64 = 7 * 86_400_000;
/// What the first administrator is called.
pub const FIRST_ADMINISTRATOR: &str = "admin";
/// 32 symbols, so that no remainder prefers some of them.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{block_on, domain};

    #[test]
    fn the_first_administrator_is_made_once_and_can_log_in() {
        let (domain, _folder) = domain();
        let chosen = Zeroizing::new("correct horse battery".to_owned());
        assert!(block_on(domain.people.create_first_administrator(chosen, false)).unwrap());
        let second = one_time_password().unwrap();
        assert!(!block_on(domain.people.create_first_administrator(second, true)).unwrap());
        let person = block_on(domain.people.verify(" Admin ", "correct horse battery")).unwrap().unwrap();
        assert_eq!(person.name, "admin");
        assert_eq!(person.roles, [Role::Admin, Role::Attorney]);
        assert!(block_on(domain.people.verify("admin", "wrong")).unwrap().is_none());
        assert_eq!(
            domain.people.name_index("Zoe\u{308}"),
            domain.people.name_index("zo\u{eb} "),
            "however it is typed"
        );
        assert!(block_on(domain.people.verify("nobody", "correct horse battery")).unwrap().is_none());
    }

    #[test]
    fn a_password_that_was_given_lapses_and_one_that_was_chosen_does_not() {
        let (domain, _folder) = domain();
        let row = block_on(domain.people.row("ana", "a one-time password", &[Role::Intake], true)).unwrap();
        let given_ms = row.password_at_ms.cast_unsigned();
        assert!(!has_lapsed(&row, given_ms + GIVEN_PASSWORD_MS - 1));
        assert!(has_lapsed(&row, given_ms + GIVEN_PASSWORD_MS));
        let chosen = UserRow { must_change_password: false, ..row.clone() };
        let unknown = UserRow { password_at_ms: 0, ..row.clone() };
        assert!(!has_lapsed(&chosen, u64::MAX / 2) && !has_lapsed(&unknown, u64::MAX / 2));

        let long_ago = UserRow { password_at_ms: given_ms.cast_signed() - GIVEN_PASSWORD_MS.cast_signed(), ..row };
        assert!(block_on(domain.people.store.insert_user(long_ago)).unwrap());
        assert!(block_on(domain.people.verify("ana", "a one-time password")).unwrap().is_none());
    }

    #[test]
    fn one_time_passwords_differ() {
        let first = one_time_password().unwrap();
        assert_eq!(first.len(), 23);
        assert_ne!(*first, *one_time_password().unwrap());
    }
}
