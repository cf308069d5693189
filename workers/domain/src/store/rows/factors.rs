//! What proves a user beside their password.
use uuid::Uuid;

/// An authenticator app.
#[derive(Clone)]
pub struct TotpRow {
    pub user: Uuid,
    pub secret_sealed: Vec<u8>,
    /// Steps up to this one are used.
    pub last_step: i64,
    pub created_at_ms: i64,
    pub confirmed_at_ms: Option<i64>,
}

/// A passkey's public half.
#[derive(Clone)]
pub struct PasskeyRow {
    pub id: Uuid,
    pub user: Uuid,
    /// Blind index of the id that the device gave it.
    pub credential_index: [u8; 32],
    /// Its name and the credential.
    pub passkey_sealed: Vec<u8>,
    /// As the device counted last; 0 for ever where it does not count.
    pub sign_count: u32,
    pub created_at_ms: i64,
    pub used_at_ms: Option<i64>,
    /// Another device was seen to hold it, too.
    pub suspended_at_ms: Option<i64>,
}

/// A challenge that is answered once, on whichever worker.
#[derive(Clone, Copy, Debug)]
pub struct ChallengeUse {
    pub id: Uuid,
    /// It is remembered as used until nobody would take it any more.
    pub until_ms: i64,
    pub at_ms: i64,
}

/// A passkey to be added to somebody who is still at that epoch.
#[derive(Clone)]
pub struct PasskeyAddition {
    pub row: PasskeyRow,
    pub at_epoch: u32,
    pub passkeys_max: u32,
    /// Put in place if this is the person's first second factor.
    pub recovery_codes: Vec<[u8; 32]>,
    /// Has shown two factors now; the person's others end.
    pub session: Uuid,
    pub challenge: ChallengeUse,
}

/// What became of a passkey that was to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PasskeyAdded {
    Done {
        is_first_factor: bool,
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

/// A passkey was shown, and the answer was right.
#[derive(Clone)]
pub struct PasskeyShown {
    pub id: Uuid,
    pub passkey_sealed: Vec<u8>,
    pub sign_count: u32,
    pub challenge: ChallengeUse,
}

/// What became of a passkey that was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasskeyTaken {
    Done,
    /// The challenge was answered before.
    Replayed,
    /// The count did not grow: it is suspended from now on.
    Cloned,
    /// It was suspended or removed before.
    Gone,
}
