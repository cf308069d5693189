//! Those who sign in, their sessions, and what was tried in their name.
use uuid::Uuid;

#[derive(Clone)]
pub struct UserRow {
    pub id: Uuid,
    /// Blind index of the folded name.
    pub name_index: [u8; 32],
    pub name_sealed: Vec<u8>,
    /// Names of roles, separated by commas.
    pub roles: String,
    pub password_hash: String,
    pub must_change_password: bool,
    /// Moves when the user's rights or proofs change.
    pub epoch: u32,
    pub created_at_ms: i64,
    /// Up to which classification; none: as the roles are.
    pub clearance: Option<String>,
    pub disabled_at_ms: Option<i64>,
    /// When the password was given or chosen; 0: not known.
    pub password_at_ms: i64,
    /// The password is long enough to be the only factor.
    pub password_stands_alone: bool,
    /// Has a confirmed app or a passkey, be it suspended; looked up, not kept here.
    pub has_factor: bool,
}

/// What is to become of a user, all in one transaction; the epoch moves with it.
#[derive(Clone, Default)]
pub struct UserChange {
    /// Only if the user is still at this epoch.
    pub at_epoch: Option<u32>,
    pub password: Option<NewPassword>,
    pub roles: Option<String>,
    /// Of their own, or the roles'.
    pub clearance: Option<Option<String>>,
    pub disabled: Option<bool>,
    /// Takes second factors away. With the last one go the recovery codes, and a password that does not stand alone
    /// must then change.
    pub drop: Dropped,
    /// Ends the user's sessions, all but `keep_session`.
    pub end_sessions: bool,
    pub keep_session: Option<Uuid>,
    pub at_ms: i64,
}

/// Which second factors go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dropped {
    #[default]
    Nothing,
    App,
    Passkey(Uuid),
    All,
}

#[derive(Clone)]
pub struct NewPassword {
    pub hash: String,
    pub must_change: bool,
    pub stands_alone: bool,
}

/// What became of a change to a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// The sessions that were ended, and those that live on.
    Done {
        ended: Vec<Uuid>,
        living: Vec<Uuid>,
    },
    NotFound,
    /// Somebody else changed the user meanwhile.
    Moved,
    /// Nobody would be left who can manage users.
    LastAdministrator,
}

/// When a log-in counts although many have failed.
#[derive(Clone, Copy, Debug)]
pub struct SuccessWhen {
    pub failures_max: u32,
    pub known_since_ms: i64,
    /// Something else vouches: a second factor for a password, a recovery code for the app.
    pub vouched: bool,
}

/// What of the tries is still needed: what was touched at this moment or later.
#[derive(Clone, Copy, Debug)]
pub struct TriesKeep {
    pub failed_since_ms: i64,
    pub succeeded_since_ms: i64,
    pub names_since_ms: i64,
}

/// How tries to log in stand, for one name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TriesRow {
    /// In a row, from this place.
    pub failures_here: u32,
    pub failed_here_at_ms: i64,
    /// 0: never.
    pub succeeded_here_at_ms: i64,
    /// In a row, from anywhere.
    pub failures: u32,
}

#[derive(Clone, Debug)]
pub struct SessionRow {
    pub id: Uuid,
    pub user: Uuid,
    pub created_at_ms: i64,
    pub expires_at_ms: i64,
    pub last_seen_ms: i64,
    /// Made by `hotline token`: has no idle limit.
    pub automation: bool,
    pub revoked_at_ms: Option<i64>,
    /// How many factors were shown.
    pub factors: u8,
    /// When a factor was shown last.
    pub proven_at_ms: i64,
}
