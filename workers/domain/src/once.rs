//! Idempotency keys: the same request, sent again, is answered as the first time and done once.
use hotline::lifecycle::clock;
use hotline::vault::Vault;
use uuid::Uuid;

use crate::store::OnceRow;

/// A request that is to be carried out once.
#[derive(Clone, Debug)]
pub struct Once {
    scope: [u8; 32],
    digest: [u8; 32],
}

impl Once {
    /// `key` is what the client sent; it counts for this user and route alone. `digest` is of the content.
    pub fn new(vault: &Vault, user: Uuid, route: &str, key: &str, digest: [u8; 32]) -> Self {
        let scope = vault.blind_index("idempotency-key", &format!("{user}\n{route}\n{key}"));
        Self { scope, digest }
    }

    pub(crate) fn row(&self) -> OnceRow {
        let at_ms = clock::now_ms().cast_signed();
        OnceRow { scope: self.scope, digest: self.digest, at_ms, forget_before_ms: at_ms - KEEP_MS }
    }
}

/// A day.
const KEEP_MS: i64 = 86_400_000;
