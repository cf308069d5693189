//! Sessions: what a token names. The store is the authority, the board its copy for the hot path.
use std::sync::Arc;

use hotline::board::SessionCell;
use hotline::config;
use hotline::lifecycle::clock;
use uuid::Uuid;

use crate::people::{Person, clearance_of, roles_of};
use crate::policy::Standing;
use crate::store::{SessionRow, Store, StoreError};

/// The room of sessions.
#[derive(Clone)]
pub struct Sessions {
    store: Arc<dyn Store>,
    settings: config::Sessions,
}

/// A session with its user's standing as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    pub id: Uuid,
    pub user: Uuid,
    pub standing: Standing,
    pub epoch: u32,
    pub created_at_ms: u64,
    pub expires_at_ms: u64,
    pub last_seen_ms: u64,
    pub automation: bool,
    pub revoked: bool,
    /// How many factors were shown: NIST's assurance level.
    pub factors: u8,
    /// When one was shown last.
    pub proven_at_ms: u64,
    /// The user's password was given by somebody else.
    pub must_change_password: bool,
    /// Somebody of the staff who has no second factor.
    pub lacks_factor: bool,
}

impl Sessions {
    pub(crate) fn new(store: Arc<dyn Store>, settings: config::Sessions) -> Self {
        Self { store, settings }
    }

    /// A session for somebody who proved who they are by so many factors. `ttl_seconds` is for automation: a life of
    /// its own and no idle limit. None if the person has changed since they were looked up.
    pub async fn create(
        &self,
        person: &Person,
        factors: u8,
        ttl_seconds: Option<u64>,
    ) -> Result<Option<Session>, StoreError> {
        let now_ms = clock::now_ms();
        let longest = self.settings.automation_seconds_max;
        let seconds = ttl_seconds.map_or(self.settings.absolute_seconds, |ttl| ttl.min(longest));
        let row = SessionRow {
            // Random, not ordered: it is the secret part of knowing a session.
            id: Uuid::new_v4(),
            user: person.id,
            created_at_ms: now_ms.cast_signed(),
            expires_at_ms: (now_ms + seconds * 1_000).cast_signed(),
            last_seen_ms: now_ms.cast_signed(),
            automation: ttl_seconds.is_some(),
            revoked_at_ms: None,
            factors,
            // An operator's word for a machine proves no person.
            proven_at_ms: if ttl_seconds.is_some() { 0 } else { now_ms.cast_signed() },
        };
        let id = row.id;
        if !self.store.insert_session(row, person.epoch).await? {
            return Ok(None);
        }
        self.find(id).await
    }

    pub async fn find(&self, id: Uuid) -> Result<Option<Session>, StoreError> {
        let Some((session, user)) = self.store.session(id).await? else { return Ok(None) };
        let roles = roles_of(&user)?;
        Ok(Some(Session {
            id: session.id,
            user: session.user,
            standing: Standing::new(&roles, clearance_of(&user)?, session.factors),
            epoch: user.epoch,
            created_at_ms: session.created_at_ms.cast_unsigned(),
            expires_at_ms: session.expires_at_ms.cast_unsigned(),
            last_seen_ms: session.last_seen_ms.cast_unsigned(),
            automation: session.automation,
            revoked: session.revoked_at_ms.is_some() || user.disabled_at_ms.is_some(),
            factors: session.factors,
            proven_at_ms: session.proven_at_ms.cast_unsigned(),
            must_change_password: user.must_change_password && !session.automation,
            lacks_factor: !user.has_factor && !session.automation && roles.iter().any(|role| role.is_staff()),
        }))
    }

    /// Ends it for good; tells whether it was alive. The caller marks the board.
    pub async fn revoke(&self, id: Uuid) -> Result<bool, StoreError> {
        self.store.revoke_session(id, clock::now_ms().cast_signed()).await
    }

    /// Ends whatever sessions a user has, but for one; tells which. The caller marks the board.
    pub async fn revoke_all(&self, user: Uuid, but: Option<Uuid>) -> Result<Vec<Uuid>, StoreError> {
        self.store.revoke_sessions_of(user, but, clock::now_ms().cast_signed()).await
    }

    /// A user's sessions that have not ended, newest first. Whether they rested too long is the caller's to see.
    pub async fn of_user(&self, user: Uuid) -> Result<Vec<SessionRow>, StoreError> {
        self.store.sessions_of(user, clock::now_ms().cast_signed()).await
    }

    /// A factor was shown in this session just now; `factors` in all.
    pub async fn prove(&self, id: Uuid, factors: u8) -> Result<(), StoreError> {
        self.store.prove_session(id, factors, clock::now_ms().cast_signed()).await
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
            standing: self.standing.to_bits(),
            epoch: self.epoch,
            expires_at_ms: self.expires_at_ms,
            // Automation has no idle limit: it counts as seen until it expires.
            last_seen_ms: if self.automation { self.expires_at_ms } else { self.last_seen_ms },
            revoked: self.revoked,
            must_change_password: self.must_change_password,
            lacks_factor: self.lacks_factor,
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
        let session = block_on(domain.sessions.create(&person, 1, None)).unwrap().unwrap();
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
            (0..3).map(|_| block_on(domain.sessions.create(&person, 1, None)).unwrap().unwrap().id).collect();
        assert!(block_on(domain.sessions.revoke(made.remove(0))).unwrap());
        assert!(block_on(domain.sessions.revoke_all(Uuid::new_v4(), None)).unwrap().is_empty());
        let mut ended = block_on(domain.sessions.revoke_all(person.id, None)).unwrap();
        ended.sort();
        made.sort();
        assert_eq!(ended, made, "the one that had ended is not named again");
        assert!(made.iter().all(|id| block_on(domain.sessions.find(*id)).unwrap().unwrap().revoked));
    }

    #[test]
    fn use_is_remembered_and_never_goes_back() {
        let (domain, _folder) = domain();
        let session = block_on(domain.sessions.create(&administrator(&domain), 1, None)).unwrap().unwrap();
        let later = session.last_seen_ms + 90_000;
        block_on(domain.sessions.touch(session.id, later)).unwrap();
        block_on(domain.sessions.touch(session.id, later - 50_000)).unwrap();
        assert_eq!(block_on(domain.sessions.find(session.id)).unwrap().unwrap().last_seen_ms, later);
    }

    #[test]
    fn automation_has_its_own_life_within_the_limit() {
        let (domain, _folder) = domain();
        let person = administrator(&domain);
        let hour = block_on(domain.sessions.create(&person, 1, Some(3_600))).unwrap().unwrap();
        assert_eq!(hour.expires_at_ms - hour.created_at_ms, 3_600_000);
        assert_eq!(hour.cell().last_seen_ms, hour.expires_at_ms);
        let century = block_on(domain.sessions.create(&person, 1, Some(u64::from(u32::MAX)))).unwrap().unwrap();
        assert_eq!(century.expires_at_ms - century.created_at_ms, 2_592_000_000);
    }
}
