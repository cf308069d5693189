//! What lets somebody who called see how their case stands: its number, and a secret they were given for it.
//!
//! The secret has a hundred bits, is told once and kept as a keyed digest. There is one for a case; another takes its
//! place. It is a guard like the others: it ends, and whoever came with it is out with their next request.
use aws_lc_rs::constant_time::verify_slices_are_equal;
use data_encoding::HEXLOWER;
use hotline::lifecycle::clock;
use jiff::civil::Date;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::guards::GuardKind;
use super::{Case, CaseState, Cases, NewGuard};
use crate::people::one_time_password;
use crate::store::StoreError;

/// As much of a case as its caller sees: how it stands and which dates run, and nothing that names anybody.
#[derive(Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CaseForCaller {
    pub case_number: String,
    pub state: CaseState,
    /// Somebody has it in hand.
    pub assigned: bool,
    pub deadlines: Vec<Running>,
    /// RFC 3339
    pub created_at: String,
    pub updated_at: String,
}

/// A date by which something must be done.
#[derive(Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Running {
    pub label: String,
    /// Act by this one: the earliest of all readings.
    #[schema(value_type = String, example = "2026-12-03")]
    pub date: Date,
}

impl Cases {
    /// A new secret for the case's caller, in place of any before. The caller of this chose the id.
    pub async fn give_caller_access(&self, id: Uuid, case: Uuid, by: Uuid) -> Result<Zeroizing<String>, StoreError> {
        let secret = one_time_password()?;
        self.end_caller_access(case, by).await?;
        let new =
            NewGuard { kind: GuardKind::Caller, user_id: None, what: None, reason: "given to who called".to_owned() };
        self.place(id, case, new, Some(self.digest(case, &secret)), by, None).await?;
        Ok(secret)
    }

    /// Tells whether there was one.
    pub async fn end_caller_access(&self, case: Uuid, by: Uuid) -> Result<bool, StoreError> {
        let mut ended = false;
        for guard in self.store.guards(case).await? {
            if guard.kind == GuardKind::Caller.name() && guard.ended_at_ms.is_none() {
                ended |= self.store.end_guard(case, guard.id, by, clock::now_ms().cast_signed()).await?;
            }
        }
        Ok(ended)
    }

    /// The case and the guard that this secret opens, however it was typed.
    pub async fn known_caller(&self, number: &str, secret: &str) -> Result<Option<(Uuid, Uuid)>, StoreError> {
        let found = self.look_up(number).await?;
        // Of no case, too: what takes time here does not tell whether there is one.
        let case = found.as_ref().map_or(Uuid::nil(), |(case, _)| case.id);
        let digest = self.digest(case, secret);
        let Some((case, _)) = found else { return Ok(None) };
        let guards = self.store.guards(case.id).await?;
        let opens = |kept: &str| verify_slices_are_equal(kept.as_bytes(), digest.as_bytes()).is_ok();
        let mut standing =
            guards.iter().filter(|guard| guard.kind == GuardKind::Caller.name() && guard.ended_at_ms.is_none());
        let guard = standing.find(|guard| guard.what.as_deref().is_some_and(opens));
        Ok(guard.map(|guard| (case.id, guard.id)))
    }

    fn digest(&self, case: Uuid, secret: &str) -> String {
        let typed: String = secret.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
        HEXLOWER.encode(&self.vault.blind_index("caller-secret", &format!("{case} {typed}")))
    }
}

impl From<Case> for CaseForCaller {
    fn from(case: Case) -> Self {
        Self {
            case_number: case.case_number,
            state: case.state,
            assigned: case.assigned_to.is_some(),
            deadlines: case.deadlines.into_iter().map(|it| Running { label: it.label, date: it.safe_date }).collect(),
            created_at: case.created_at,
            updated_at: case.updated_at,
        }
    }
}
