//! The domain, as this worker asks it: what the store says, with the board kept in step, and its
//! errors turned into what a caller may know.
use std::sync::Arc;

use hotline::board::SessionCell;
use hotline::vault::{Aad, KeyClass};
use hotline_domain::calls::Call;
use hotline_domain::cases::{self, Case, CaseError};
use hotline_domain::people::Person;
use hotline_domain::policy::{Action, Permissions};
use hotline_domain::sessions::Session;
use hotline_domain::store::StoreError;
use http::HeaderValue;
use http::header::RETRY_AFTER;
use uuid::Uuid;

use crate::app::App;
use crate::gate::{Caller, Principal};
use crate::problem::{Problem, Reply};

impl App {
    /// A session, on the board from its first moment.
    /// None if the person has changed since they proved who they are.
    pub(crate) async fn start_session(
        &self,
        person: &Person,
        factors: u8,
        ttl_seconds: Option<u64>,
    ) -> Reply<Option<Session>> {
        let created = self.domain.sessions.create(person, factors, ttl_seconds).await;
        let session = created.map_err(|error| self.broken(error))?;
        if let Some(session) = &session {
            self.board.put_session(session.id.as_u128(), session.cell());
        }
        Ok(session)
    }

    /// Ends a session for every worker, and for good.
    pub(crate) async fn end_session(&self, session: Uuid) -> Reply<()> {
        // The board first: from here on nobody gets in, whatever becomes of the store.
        self.board.revoke_session(session.as_u128());
        self.domain.sessions.revoke(session).await.map_err(|error| self.broken(error))?;
        self.refresh(&[session], &[]).await;
        Ok(())
    }

    /// A person has changed in the store: from the answer on every worker acts on it. Sessions that ended are on the
    /// board as ended, so that nobody who read them a moment before brings them back.
    pub(crate) async fn refresh(&self, ended: &[Uuid], living: &[Uuid]) {
        for session in ended {
            self.board.revoke_session(session.as_u128());
        }
        for session in ended.iter().chain(living) {
            if self.session_from_store(*session).await.is_err() {
                // Its rights are not known: whoever it is logs in again.
                self.board.revoke_session(session.as_u128());
            }
        }
        for session in ended {
            self.announce(crate::live::session_topic(*session), &serde_json::json!({ "event": "session.ended" }));
        }
    }

    /// What the store knows of a session; on the board afterwards.
    pub(crate) async fn session_from_store(&self, session: Uuid) -> Reply<Option<SessionCell>> {
        let found = self.domain.sessions.find(session).await.map_err(|error| self.broken(error))?;
        Ok(found.map(|found| {
            self.board.put_session(session.as_u128(), found.cell());
            found.cell()
        }))
    }

    /// So that the idle limit survives a restart; and the board learns what a worker that was killed in the middle of
    /// a change could not put there any more. Nobody waits for it.
    pub(crate) fn note_session_use(&self, session: Uuid, now_ms: u64) {
        let (sessions, board) = (self.domain.sessions.clone(), Arc::clone(&self.board));
        tokio::spawn(async move {
            let noted = sessions.touch(session, now_ms).await;
            match noted.and(sessions.find(session).await) {
                Ok(found) => drop(found.map(|found| board.put_session(session.as_u128(), found.cell()))),
                Err(error) => tracing::debug!(%error, "could not note the use of a session"),
            }
        });
    }

    /// A case this principal may see, by id or number.
    pub(crate) async fn visible_case(&self, principal: &Principal, id: &str) -> Reply<Option<Case>> {
        if !principal.may(Permissions::CASE_ACCESS) {
            return Ok(None);
        }
        let sought = self.domain.cases.find(&principal.actor(), id).await;
        Ok(sought.map_err(|error| self.broken(error))?.found())
    }

    pub(crate) async fn case_is_visible(&self, principal: &Principal, id: &str) -> bool {
        matches!(self.visible_case(principal, id).await, Ok(Some(_)))
    }

    /// A case and the generation that a copy of it belongs to: taken before the case was read.
    pub(crate) async fn case_with_generation(&self, caller: &Caller, id: &str) -> Reply<(Case, u64, u64)> {
        let case_id = match Uuid::try_parse(id) {
            Ok(case_id) => case_id,
            Err(_) => self.case_for(caller, Action::CaseAccess, id).await?.0.id,
        };
        let key = cases::generation_key(case_id);
        let generation = self.board.generation(key);
        let (case, matter) = self.case_for(caller, Action::CaseAccess, &case_id.to_string()).await?;
        Ok((self.domain.cases.shown(&caller.principal.actor(), case, &matter), key, generation))
    }

    /// A call this principal may see.
    pub(crate) async fn visible_call(&self, principal: &Principal, id: &str) -> Reply<Option<Call>> {
        let Ok(id) = Uuid::try_parse(id) else { return Ok(None) };
        let sought = self.domain.calls.find(&principal.actor(), id).await;
        Ok(sought.map_err(|error| self.broken(error))?.found())
    }

    pub(crate) async fn call_is_visible(&self, principal: &Principal, id: &str) -> bool {
        matches!(self.visible_call(principal, id).await, Ok(Some(_)))
    }

    pub(crate) async fn store_answers(&self) -> bool {
        self.domain.ping().await.is_ok()
    }

    /// Every class of this role seals and opens.
    pub(crate) fn keys_are_there(&self) -> bool {
        // Twice a second for years: with keys of this boot's and slot's own, these never use up one for all.
        let row = format!("{}@{:016x}", self.slot, self.boot_id);
        let aad = Aad { table: "health", row: &row, column: "", version: 1 };
        [KeyClass::Cache, KeyClass::Case, KeyClass::Call, KeyClass::Person].into_iter().all(|class| {
            let sealed = self.vault.seal(class, &aad, b"?");
            sealed.is_ok_and(|sealed| self.vault.open(class, &aad, &sealed).is_ok())
        })
    }

    pub(crate) fn refused_case(&self, error: CaseError) -> Problem {
        match error {
            CaseError::Invalid(invalid) => Problem::invalid(invalid.pointer, invalid.reason),
            CaseError::Store(error) => self.broken(error),
        }
    }

    /// An error of the store as a caller may know it; the log has the rest.
    pub(crate) fn broken(&self, error: StoreError) -> Problem {
        match error {
            StoreError::Busy => {
                self.meters.refused("store");
                Problem::unavailable("store-busy", "The store is busy.")
            }
            StoreError::Crowded { retry_after } => {
                self.meters.refused("passwords");
                let seconds = retry_after.as_secs_f64().ceil() as u64;
                Problem::unavailable("log-in-busy", "Too many log-ins are being checked at this moment.")
                    .member("retryAfterSeconds", seconds)
                    .header(RETRY_AFTER, HeaderValue::from(seconds))
            }
            StoreError::Erased => Problem::erased(),
            error => {
                tracing::error!(%error, "the store failed");
                Problem::internal()
            }
        }
    }
}
