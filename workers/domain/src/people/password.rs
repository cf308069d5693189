//! Passwords: Argon2id over a peppered digest, on threads of their own.
//!
//! A hash costs tens of milliseconds and 19 MiB by design, so it never runs on an event loop, and the
//! queue for it is bounded: a flood of log-ins is refused, it does not eat the machine.
use std::sync::Arc;

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::rand;
use data_encoding::BASE64_NOPAD;
use hotline::config;
use hotline::vault::Vault;
use zeroize::Zeroizing;

use super::rules::normal;
use crate::pool::{Pool, PoolError};
use crate::store::StoreError;

/// Hashes and verifies.
#[derive(Clone)]
pub(super) struct Passwords {
    pool: Pool,
    vault: Arc<Vault>,
}

impl Passwords {
    pub(super) fn start(vault: Arc<Vault>, threads: &config::Pool) -> Result<Self, StoreError> {
        Ok(Self { pool: Pool::start("password", threads)?, vault })
    }

    /// A new hash, with its parameters and salt.
    pub(super) async fn hash(&self, password: &str) -> Result<String, StoreError> {
        let peppered = self.pepper(password);
        self.run(move || {
            let mut salt = [0; SALT_BYTES];
            rand::fill(&mut salt).map_err(|_| StoreError::Failed("no randomness".to_owned()))?;
            let hash = digest(&peppered, &salt, PRESENT)?;
            Ok(Encoded { costs: PRESENT, salt, hash }.to_text())
        })
        .await
    }

    /// Whether the password is the one that was hashed. Without a hash (no such person) it takes as long
    /// and says no.
    pub(super) async fn verify(&self, password: &str, hash: Option<&str>) -> Result<bool, StoreError> {
        let peppered = self.pepper(password);
        let known = hash.map(Encoded::parse);
        self.run(move || match known {
            Some(Some(known)) => {
                let found = digest(&peppered, &known.salt, known.costs)?;
                Ok(verify_slices_are_equal(&*found, &*known.hash).is_ok())
            }
            Some(None) => Err(StoreError::Malformed { what: "a password hash" }),
            None => digest(&peppered, &[0; SALT_BYTES], PRESENT).map(|_| false),
        })
        .await
    }

    /// The pepper lives in the vault: a stolen database alone does not allow guessing.
    fn pepper(&self, password: &str) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.vault.blind_index("password-pepper", &normal(password)))
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        match self.pool.run(work).await {
            Ok(done) => done,
            Err(PoolError::Full { retry_after }) => Err(StoreError::Crowded { retry_after }),
            Err(PoolError::Lost) => Err(StoreError::Failed("a hash was not computed".to_owned())),
        }
    }
}

fn digest(peppered: &[u8; 32], salt: &[u8], costs: Costs) -> Result<Zeroizing<[u8; HASH_BYTES]>, StoreError> {
    let malformed = |_| StoreError::Malformed { what: "password parameters" };
    let params = Params::new(costs.memory_kib, costs.passes, costs.lanes, Some(HASH_BYTES)).map_err(malformed)?;
    let mut hash = Zeroizing::new([0; HASH_BYTES]);
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password_into(peppered, salt, &mut *hash).map_err(malformed)?;
    Ok(hash)
}

/// What a hash costs to compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Costs {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

/// The usual text form: `$argon2id$v=19$m=19456,t=2,p=1$salt$hash`.
struct Encoded {
    costs: Costs,
    salt: [u8; SALT_BYTES],
    hash: Zeroizing<[u8; HASH_BYTES]>,
}

impl Encoded {
    fn to_text(&self) -> String {
        let Costs { memory_kib, passes, lanes } = self.costs;
        let (salt, hash) = (BASE64_NOPAD.encode(&self.salt), BASE64_NOPAD.encode(&*self.hash));
        format!("$argon2id$v=19$m={memory_kib},t={passes},p={lanes}${salt}${hash}")
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix("$argon2id$v=19$m=")?.split('$');
        let costs: Vec<u32> = parts.next()?.split([',', '=']).filter_map(|number| number.parse().ok()).collect();
        let &[memory_kib, passes, lanes] = &costs[..] else { return None };
        let bytes = |text: &str| BASE64_NOPAD.decode(text.as_bytes()).ok();
        let salt = bytes(parts.next()?)?.try_into().ok()?;
        let hash = Zeroizing::new(bytes(parts.next()?)?.try_into().ok()?);
        Some(Self { costs: Costs { memory_kib, passes, lanes }, salt, hash })
    }
}

/// OWASP's second recommended set: 19 MiB, two passes.
const PRESENT: Costs = Costs { memory_kib: 19_456, passes: 2, lanes: 1 };
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{block_on, vault};

    fn started(vault: Arc<Vault>) -> Result<Passwords, StoreError> {
        let folder = tempfile::tempdir().unwrap();
        Passwords::start(vault, &crate::testing::config(&folder).passwords)
    }

    #[test]
    fn a_password_is_recognised_and_nothing_else_is() {
        let passwords = started(vault()).unwrap();
        let hash = block_on(passwords.hash("correct horse")).unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(block_on(passwords.verify("correct horse", Some(&hash))).unwrap());
        assert!(!block_on(passwords.verify("correct hors", Some(&hash))).unwrap());
        assert!(!block_on(passwords.verify("correct horse", None)).unwrap());
        assert!(block_on(passwords.verify("x", Some("$argon2id$v=19$m=1"))).is_err());
    }

    #[test]
    fn another_pepper_knows_no_password() {
        let hash = block_on(started(vault()).unwrap().hash("correct horse")).unwrap();
        let other = started(crate::testing::other_vault()).unwrap();
        assert!(!block_on(other.verify("correct horse", Some(&hash))).unwrap());
    }
}
