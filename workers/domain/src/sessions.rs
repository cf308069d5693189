//! Sessions: what a token names. The store is the authority, the board its copy for the hot path.
use std::sync::Arc;

use hotline::board::SessionCell;
use hotline::config;
use hotline::lifecycle::clock;
use uuid::Uuid;

use crate::people::roles_of;
use crate::policy::{Permissions, permissions_of};
use crate::store::{SessionRow, Store, StoreError};

/// The room of sessions.
#[derive(Clone)]
pub struct Sessions {
    store: Arc<dyn Store>,
    settings: config::Sessions,
}

/// A session with its user's rights as they are now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    pub id: Uuid,
    pub user: Uuid,
    pub permissions: Permissions,
    pub epoch: u32,
    pub created_at_ms: u64,
    pub expires_at_ms: u64,
    pub last_seen_ms: u64,
    pub automation: bool,
    pub revoked: bool,
}

impl Sessions {
    pub(crate) fn new(store: Arc<dyn Store>, settings: config::Sessions) -> Self {
        Self { store, settings }
    }

    /// A session for somebody who proved who they are. `ttl_seconds` is for automation: a life of its own
    /// and no idle limit.
    pub async fn create(&self, user: Uuid, ttl_seconds: Option<u64>) -> Result<Session, StoreError> {
        let now_ms = clock::now_ms();
        let longest = self.settings.automation_seconds_max;
        let seconds = ttl_seconds.map_or(self.settings.absolute_seconds, |ttl| ttl.min(longest));
        let row = SessionRow {
            // Random, not ordered: it is the secret part of knowing a session.
            id: Uuid::new_v4(),
            user,
            created_at_ms: now_ms.cast_signed(),
            expires_at_ms: (now_ms + seconds * 1_000).cast_signed(),
            last_seen_ms: now_ms.cast_signed(),
            automation: ttl_seconds.is_some(),
            revoked_at_ms: None,
        };
        let id = row.id;
        self.store.insert_session(row).await?;
        self.find(id).await?.ok_or(StoreError::Malformed { what: "a session without its user" })
    }

    pub async fn find(&self, id: Uuid) -> Result<Option<Session>, StoreError> {
        let Some((session, user)) = self.store.session(id).await? else { return Ok(None) };
        Ok(Some(Session {
            id: session.id,
            user: session.user,
            permissions: permissions_of(&roles_of(&user)?),
            epoch: user.epoch,
            created_at_ms: session.created_at_ms.cast_unsigned(),
            expires_at_ms: session.expires_at_ms.cast_unsigned(),
            last_seen_ms: session.last_seen_ms.cast_unsigned(),
            automation: session.automation,
            revoked: session.revoked_at_ms.is_some(),
        }))
    }

    /// Ends it for good; tells whether it was alive. The caller marks the board.
    pub async fn revoke(&self, id: Uuid) -> Result<bool, StoreError> {
        self.store.revoke_session(id, clock::now_ms().cast_signed()).await
    }

    /// Ends whatever sessions a user has; tells which. The caller marks the board.
    pub async fn revoke_all(&self, user: Uuid) -> Result<Vec<Uuid>, StoreError> {
        self.store.revoke_sessions_of(user, clock::now_ms().cast_signed()).await
    }

    /// Keeps the idle limit right over restarts; callers do this once a minute at most.
    pub async fn touch(&self, id: Uuid, seen_ms: u64) -> Result<(), StoreError> {
        self.store.touch_session(id, seen_ms.cast_signed()).await
    }

    /// Forgets what ended more than a day ago.
    pub async fn purge(&self) -> Result<u64, StoreError> {
        self.store.purge_sessions(clock::now_ms().cast_signed() - KEEP_ENDED_MS).await
    }
}

impl Session {
    /// As the board keeps it.
    pub fn cell(&self) -> SessionCell {
        SessionCell {
            user: self.user.as_u128(),
            permissions: self.permissions.bits(),
            epoch: self.epoch,
            expires_at_ms: self.expires_at_ms,
            // Automation has no idle limit: it counts as seen until it expires.
            last_seen_ms: if self.automation { self.expires_at_ms } else { self.last_seen_ms },
            revoked: self.revoked,
        }
    }
}

const KEEP_ENDED_MS: i64 = 86_400_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{administrator, block_on, domain};

    #[test]
    fn a_session_lives_until_it_is_revoked() {
        let (domain, _folder) = domain();
        let person = administrator(&domain);
        let session = block_on(domain.sessions.create(person.id, None)).unwrap();
        assert_eq!(session.expires_at_ms - session.created_at_ms, 86_400_000);
        assert!(!session.revoked);
        assert!(block_on(domain.sessions.revoke(session.id)).unwrap());
        assert!(!block_on(domain.sessions.revoke(session.id)).unwrap());
        assert!(block_on(domain.sessions.find(session.id)).unwrap().unwrap().revoked);
        assert!(block_on(domain.sessions.find(Uuid::new_v4())).unwrap().is_none());
    }

    #[test]
    fn all_sessions_of_one_user_end_and_nobody_elses() {
        let (domain, _folder) = domain();
        let person = administrator(&domain);
        let mut made: Vec<Uuid> =
            (0..3).map(|_| block_on(domain.sessions.create(person.id, None)).unwrap().id).collect();
        assert!(block_on(domain.sessions.revoke(made.remove(0))).unwrap());
        assert!(block_on(domain.sessions.revoke_all(Uuid::new_v4())).unwrap().is_empty());
        let mut ended = block_on(domain.sessions.revoke_all(person.id)).unwrap();
        ended.sort();
        made.sort();
        assert_eq!(ended, made, "the one that had ended is not named again");
        assert!(made.iter().all(|id| block_on(domain.sessions.find(*id)).unwrap().unwrap().revoked));
    }

    #[test]
    fn use_is_remembered_and_never_goes_back() {
        let (domain, _folder) = domain();
        let session = block_on(domain.sessions.create(administrator(&domain).id, None)).unwrap();
        let later = session.last_seen_ms + 90_000;
        block_on(domain.sessions.touch(session.id, later)).unwrap();
        block_on(domain.sessions.touch(session.id, later - 50_000)).unwrap();
        assert_eq!(block_on(domain.sessions.find(session.id)).unwrap().unwrap().last_seen_ms, later);
    }

    #[test]
    fn automation_has_its_own_life_within_the_limit() {
        let (domain, _folder) = domain();
        let person = administrator(&domain);
        let hour = block_on(domain.sessions.create(person.id, Some(3_600))).unwrap();
        assert_eq!(hour.expires_at_ms - hour.created_at_ms, 3_600_000);
        assert_eq!(hour.cell().last_seen_ms, hour.expires_at_ms);
        let century = block_on(domain.sessions.create(person.id, Some(u64::from(u32::MAX)))).unwrap();
        assert_eq!(century.expires_at_ms - century.created_at_ms, 2_592_000_000);
    }
}
