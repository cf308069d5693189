//! What stands around a case: walls against those with a conflict, the team that alone works on it, legal holds, what
//! its client withholds, and glass that somebody broke. Policies decide what follows from it.
//!
//! A guard is never changed or taken out. It ends, and what ended stays to be read.
use hotline::lifecycle::clock;
use hotline::vault::{Aad, KeyClass};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Case, Cases, Classification, Invalid, check_text};
use crate::policy::{Clearance, Grant, Matter};
use crate::store::{CaseKey, GuardRow, StoreError};
use crate::subjects::Opener;

/// What a guard does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GuardKind {
    /// Keeps one user away, whatever they are.
    Wall,
    /// Makes one user part of the team; who is not in it is kept away.
    Member,
    /// Keeps the case as it is.
    Hold,
    /// What the client does not want done with it.
    Withheld,
    /// Lets who called see how it stands, with a secret.
    Caller,
    /// Lets one user in for a while where clearance or team would not.
    BrokenGlass,
}

/// What a client may withhold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Consent {
    /// By a machine.
    Analysis,
    Recording,
    /// With another organisation.
    Sharing,
}

/// A guard as people see it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Guard {
    pub id: Uuid,
    pub kind: GuardKind,
    pub user_id: Option<Uuid>,
    pub what: Option<Consent>,
    pub reason: String,
    pub made_by: Uuid,
    /// RFC 3339
    pub made_at: String,
    pub until: Option<String>,
    pub ended_at: Option<String>,
    pub ended_by: Option<Uuid>,
}

/// A guard to be placed.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewGuard {
    pub kind: GuardKind,
    /// Whom a wall or the team is about.
    pub user_id: Option<Uuid>,
    /// What is withheld.
    pub what: Option<Consent>,
    pub reason: String,
}

impl NewGuard {
    pub fn check(&self) -> Result<(), Invalid> {
        check_reason(&self.reason)?;
        let wrong = |pointer, reason: &str| Err(Invalid { pointer, reason: reason.to_owned() });
        match (self.kind, self.user_id, self.what) {
            (GuardKind::BrokenGlass, ..) => wrong("/kind", "is broken by POST …/break-glass"),
            (GuardKind::Caller, ..) => wrong("/kind", "is given by POST …/caller-access"),
            (GuardKind::Wall | GuardKind::Member, None, _) => wrong("/userId", "says whom it is about"),
            (GuardKind::Hold | GuardKind::Withheld, Some(_), _) => wrong("/userId", "is about nobody in particular"),
            (GuardKind::Withheld, _, None) => wrong("/what", "says what is withheld"),
            (GuardKind::Wall | GuardKind::Member | GuardKind::Hold, _, Some(_)) => {
                wrong("/what", "is for what a client withholds")
            }
            _ => Ok(()),
        }
    }
}

/// Words that an auditor can follow, not a keystroke.
pub fn check_reason(reason: &str) -> Result<(), Invalid> {
    if reason.trim().chars().count() < REASON_CHARS_MIN {
        let reason = format!("must say why, in {REASON_CHARS_MIN} characters or more");
        return Err(Invalid { pointer: "/reason", reason });
    }
    check_text("/reason", Some(&reason.to_owned()), REASON_CHARS_MAX)
}

impl Cases {
    /// What stands around the case and what once did, in the order in which it came.
    pub async fn guards(&self, case: Uuid) -> Result<Vec<Guard>, StoreError> {
        let row = self.store.case(CaseKey::Id(case)).await?.ok_or(StoreError::Malformed { what: "no such case" })?;
        let opener = self.keys.opener(KeyClass::Case, row.subject, row.subject_key.as_deref())?;
        self.store.guards(case).await?.iter().map(|guard| opened(guard, reason_of(&opener, guard)?)).collect()
    }

    /// The caller chose the id, so that the act could be recorded before it is done.
    pub async fn place_guard(&self, id: Uuid, case: Uuid, new: NewGuard, by: Uuid) -> Result<Guard, StoreError> {
        let what = new.what.map(|what| what.name().to_owned());
        self.place(id, case, new, what, by, None).await
    }

    /// Lets `by` in until that moment.
    pub async fn break_glass(
        &self,
        id: Uuid,
        case: Uuid,
        reason: String,
        by: Uuid,
        until_ms: i64,
    ) -> Result<Guard, StoreError> {
        let new = NewGuard { kind: GuardKind::BrokenGlass, user_id: Some(by), what: None, reason };
        self.place(id, case, new, None, by, Some(until_ms)).await
    }

    /// False if there is none that stands.
    pub async fn end_guard(&self, case: Uuid, id: Uuid, by: Uuid) -> Result<bool, StoreError> {
        self.store.end_guard(case, id, by, clock::now_ms().cast_signed()).await
    }

    pub(super) async fn place(
        &self,
        id: Uuid,
        case: Uuid,
        new: NewGuard,
        what: Option<String>,
        by: Uuid,
        until_ms: Option<i64>,
    ) -> Result<Guard, StoreError> {
        let place = id.to_string();
        let keys = self.keys.of(self.subject_of(case).await?).await?;
        let row = GuardRow {
            id,
            case,
            subject: keys.subject,
            kind: new.kind.name().to_owned(),
            user: new.user_id,
            what,
            reason_sealed: keys.case.seal(&reason_place(&place), new.reason.as_bytes())?,
            made_by: by,
            made_at_ms: clock::now_ms().cast_signed(),
            until_ms,
            ended_at_ms: None,
            ended_by: None,
        };
        let guard = opened(&row, new.reason)?;
        self.store.insert_guard(row).await?;
        Ok(guard)
    }
}

impl GuardKind {
    pub const ALL: [Self; 6] = [Self::Wall, Self::Member, Self::Hold, Self::Withheld, Self::Caller, Self::BrokenGlass];

    pub fn name(self) -> &'static str {
        match self {
            Self::Wall => "wall",
            Self::Member => "member",
            Self::Hold => "hold",
            Self::Withheld => "withheld",
            Self::Caller => "caller",
            Self::BrokenGlass => "broken-glass",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl Consent {
    const ALL: [Self; 3] = [Self::Analysis, Self::Recording, Self::Sharing];

    fn name(self) -> &'static str {
        match self {
            Self::Analysis => "analysis",
            Self::Recording => "recording",
            Self::Sharing => "sharing",
        }
    }
}

/// The facts of a matter with what stands around it.
pub(crate) fn surrounded(mut matter: Matter, guards: &[GuardRow]) -> Result<Matter, StoreError> {
    for guard in guards {
        let kind = GuardKind::parse(&guard.kind).ok_or(StoreError::Malformed { what: "a guard" })?;
        match (kind, guard.user) {
            (GuardKind::Wall, Some(user)) => matter.walled.push(user),
            (GuardKind::Member, Some(user)) => matter.team.push(user),
            (GuardKind::Hold, _) => matter.held = true,
            (GuardKind::Caller, _) => matter.followers.push(guard.id),
            (GuardKind::Withheld, _) => matter.withheld.extend(guard.what.clone()),
            (GuardKind::BrokenGlass, Some(user)) => {
                matter.grants.push(Grant { user, until_ms: guard.until_ms.unwrap_or_default() });
            }
            (GuardKind::Wall | GuardKind::Member | GuardKind::BrokenGlass, None) => {
                return Err(StoreError::Malformed { what: "a guard about nobody" });
            }
        }
    }
    Ok(matter)
}

/// What decisions about a case are made of.
pub(crate) fn matter_of(case: &Case, guards: &[GuardRow]) -> Result<Matter, StoreError> {
    let matter = Matter {
        id: case.id,
        classification: clearance_for(case.classification),
        state: case.state.name().to_owned(),
        jurisdiction: case.jurisdiction.clone(),
        opened_by: case.created_by,
        assigned_to: case.assigned_to,
        ..Matter::default()
    };
    surrounded(matter, guards)
}

pub(crate) fn clearance_for(classification: Classification) -> Clearance {
    match classification {
        Classification::Public => Clearance::Public,
        Classification::Internal => Clearance::Internal,
        Classification::Confidential => Clearance::Confidential,
        Classification::Restricted => Clearance::Restricted,
        Classification::TopSecret => Clearance::TopSecret,
    }
}

/// Nothing, where whoever it is about was erased.
fn reason_of(opener: &Opener<'_>, row: &GuardRow) -> Result<String, StoreError> {
    if row.reason_sealed.is_empty() {
        return Ok(String::new());
    }
    let reason = opener.open(&reason_place(&row.id.to_string()), &row.reason_sealed)?;
    String::from_utf8(reason.to_vec()).map_err(|_| StoreError::Malformed { what: "a reason" })
}

fn opened(row: &GuardRow, reason: String) -> Result<Guard, StoreError> {
    let malformed = |what| StoreError::Malformed { what };
    let kind = GuardKind::parse(&row.kind).ok_or(malformed("a guard"))?;
    let consent = |name: &str| Consent::ALL.into_iter().find(|consent| consent.name() == name);
    Ok(Guard {
        id: row.id,
        kind,
        user_id: row.user,
        what: match row.what.as_deref().filter(|_| kind == GuardKind::Withheld) {
            Some(what) => Some(consent(what).ok_or(malformed("a consent"))?),
            None => None,
        },
        reason,
        made_by: row.made_by,
        made_at: clock::rfc3339(row.made_at_ms),
        until: row.until_ms.map(clock::rfc3339),
        ended_at: row.ended_at_ms.map(clock::rfc3339),
        ended_by: row.ended_by,
    })
}

fn reason_place(row: &str) -> Aad<'_> {
    Aad { table: "case_guards", row, column: "reason", version: 1 }
}

const REASON_CHARS_MIN: usize = 10;
const REASON_CHARS_MAX: usize = 2_000;
