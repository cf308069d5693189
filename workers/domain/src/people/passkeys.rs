//! Passkeys of people: whose they are, what they are called, how often their device has counted.
//!
//! What a credential says is for the crate that speaks WebAuthn; here it is text, sealed with the name it was given
//! and bound to its row. A device's count that does not grow means that two devices hold the passkey: it is
//! suspended, and goes on being asked for until its owner removes it.
use data_encoding::HEXLOWER;
use hotline::lifecycle::clock;
use hotline::vault::{Aad, KeyClass};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{People, Person, recovery};
use crate::store::{ChallengeUse, PasskeyAdded, PasskeyAddition, PasskeyRow, PasskeyShown, PasskeyTaken, StoreError};

/// A passkey somebody has.
#[derive(Clone)]
pub struct Passkey {
    pub id: Uuid,
    pub user: Uuid,
    pub name: String,
    /// Its public half.
    pub credential: String,
    pub created_at_ms: u64,
    pub used_at_ms: Option<u64>,
    pub suspended: bool,
}

/// A passkey that a device has just made.
pub struct NewPasskey<'a> {
    pub name: &'a str,
    /// The device's name for it.
    pub credential_id: &'a [u8],
    pub credential: String,
    pub sign_count: u32,
}

/// What became of a new passkey.
#[derive(Debug)]
pub enum Added {
    /// With recovery codes if it is the first second factor; and the sessions that are over.
    Done {
        id: Uuid,
        recovery_codes: Option<Vec<Zeroizing<String>>>,
        ended: Vec<Uuid>,
    },
    /// It is registered, with this account or another.
    Known,
    TooMany,
    /// The person has changed meanwhile.
    Moved,
    /// The challenge was answered before.
    Replayed,
}

/// What is sealed.
#[derive(Serialize, Deserialize)]
struct Document {
    name: String,
    credential: String,
}

impl People {
    /// In the order in which they were made.
    pub async fn passkeys(&self, user: Uuid) -> Result<Vec<Passkey>, StoreError> {
        let rows = self.store.passkeys_of(user).await?;
        rows.iter().map(|row| self.opened(row)).collect()
    }

    /// By the device's name for it.
    pub async fn passkey(&self, credential_id: &[u8]) -> Result<Option<Passkey>, StoreError> {
        let row = self.store.passkey(self.credential_index(credential_id)).await?;
        row.map(|row| self.opened(&row)).transpose()
    }

    /// From here on it is asked for; `session` has shown two factors, the person's others end.
    pub async fn add_passkey(
        &self,
        person: &Person,
        new: NewPasskey<'_>,
        session: Uuid,
        challenge: ChallengeUse,
    ) -> Result<Added, StoreError> {
        let id = Uuid::now_v7();
        let recovery_codes = recovery::new_codes()?;
        let addition = PasskeyAddition {
            row: PasskeyRow {
                id,
                user: person.id,
                credential_index: self.credential_index(new.credential_id),
                passkey_sealed: self.sealed(id, new.name, new.credential)?,
                sign_count: new.sign_count,
                created_at_ms: challenge.at_ms,
                used_at_ms: None,
                suspended_at_ms: None,
            },
            at_epoch: person.epoch,
            passkeys_max: PASSKEYS_MAX,
            recovery_codes: self.recovery_digests(person.id, &recovery_codes),
            session,
            challenge,
        };
        Ok(match self.store.add_passkey(addition).await? {
            PasskeyAdded::Done { is_first_factor, ended } => {
                Added::Done { id, recovery_codes: is_first_factor.then_some(recovery_codes), ended }
            }
            PasskeyAdded::Known => Added::Known,
            PasskeyAdded::TooMany => Added::TooMany,
            PasskeyAdded::Moved => Added::Moved,
            PasskeyAdded::Replayed => Added::Replayed,
        })
    }

    /// The passkey was shown; `credential` and `sign_count` are as they are from now on.
    pub async fn take_passkey(
        &self,
        passkey: &Passkey,
        credential: String,
        sign_count: u32,
        challenge: ChallengeUse,
    ) -> Result<PasskeyTaken, StoreError> {
        let passkey_sealed = self.sealed(passkey.id, &passkey.name, credential)?;
        self.store.take_passkey(PasskeyShown { id: passkey.id, passkey_sealed, sign_count, challenge }).await
    }

    /// Two devices hold it. False if the challenge was answered before, which tells nothing.
    pub async fn suspend_passkey(&self, passkey: &Passkey, challenge: ChallengeUse) -> Result<bool, StoreError> {
        self.store.suspend_passkey(passkey.id, challenge).await
    }

    fn sealed(&self, id: Uuid, name: &str, credential: String) -> Result<Vec<u8>, StoreError> {
        let document = serde_json::to_vec(&Document { name: name.to_owned(), credential });
        let document = document.map_err(|error| StoreError::Failed(error.to_string()))?;
        Ok(self.vault.seal(KeyClass::Person, &place(&id.to_string()), &document)?)
    }

    fn opened(&self, row: &PasskeyRow) -> Result<Passkey, StoreError> {
        let document = self.vault.open(KeyClass::Person, &place(&row.id.to_string()), &row.passkey_sealed)?;
        let malformed = |_| StoreError::Malformed { what: "a passkey" };
        let Document { name, credential } = serde_json::from_slice(&document).map_err(malformed)?;
        Ok(Passkey {
            id: row.id,
            user: row.user,
            name,
            credential,
            created_at_ms: row.created_at_ms.cast_unsigned(),
            used_at_ms: row.used_at_ms.map(i64::cast_unsigned),
            suspended: row.suspended_at_ms.is_some(),
        })
    }

    fn credential_index(&self, id: &[u8]) -> [u8; 32] {
        self.vault.blind_index("passkey", &HEXLOWER.encode(id))
    }
}

/// Used now; remembered for as long as anybody would take it.
pub fn challenge_use(id: Uuid, expires_at_s: u64) -> ChallengeUse {
    ChallengeUse {
        id,
        until_ms: (expires_at_s * 1_000).cast_signed() + CLOCKS_APART_MS,
        at_ms: clock::now_ms().cast_signed(),
    }
}

fn place(row: &str) -> Aad<'_> {
    Aad { table: "passkeys", row, column: "passkey", version: 1 }
}

/// A phone, a laptop, a key in the drawer, and room to replace them.
pub const PASSKEYS_MAX: u32 = 10;
/// Workers read one clock; it may be set back.
const CLOCKS_APART_MS: i64 = 60_000;

#[cfg(test)]
#[path = "passkeys_tests.rs"]
mod tests;
