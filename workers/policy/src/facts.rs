//! What a decision is made of: who asks, of which matter, under which circumstances.
use jiff::tz::TimeZone;
use uuid::Uuid;

use crate::roles::{Clearance, Standing};

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Who {
    pub user: Uuid,
    pub standing: Standing,
}

/// A case with its call, or a call that is not yet a case, as far as decisions go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Matter {
    pub id: Uuid,
    pub classification: Clearance,
    pub state: String,
    pub jurisdiction: String,
    pub opened_by: Option<Uuid>,
    pub assigned_to: Option<Uuid>,
    pub walled: Vec<Uuid>,
    pub team: Vec<Uuid>,
    /// Who called about it.
    pub followers: Vec<Uuid>,
    pub held: bool,
    pub withheld: Vec<String>,
    /// Who has broken the glass, and until when.
    pub grants: Vec<Grant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Grant {
    pub user: Uuid,
    pub until_ms: i64,
}

/// The minute in which a decision is made, and for which it is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Minute(i64);

/// What for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    Intake,
    Representation,
    Supervision,
    QualityReview,
    LegalProcess,
    Emergency,
}

/// When, and what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Circumstances {
    pub minute: Minute,
    pub purpose: Option<Purpose>,
}

impl Matter {
    /// The user's broken glass reaches to the end of this minute. (The last one begun does not count: a grant ends
    /// early rather than late.)
    pub(crate) fn is_granted(&self, user: Uuid, minute: Minute) -> bool {
        self.grants.iter().any(|grant| grant.user == user && grant.until_ms >= minute.end_ms())
    }
}

impl Minute {
    pub const fn of_ms(now_ms: u64) -> Self {
        Self((now_ms / 60_000).cast_signed())
    }

    fn end_ms(self) -> i64 {
        (self.0 + 1) * 60_000
    }

    /// Monday is 1; minutes since midnight. UTC.
    pub(crate) fn of_the_week(self) -> (i64, i64) {
        let moment = jiff::Timestamp::from_second(self.0.saturating_mul(60)).unwrap_or(jiff::Timestamp::MAX);
        let time = moment.to_zoned(TimeZone::UTC);
        (i64::from(time.weekday().to_monday_one_offset()), i64::from(time.hour()) * 60 + i64::from(time.minute()))
    }
}

impl Purpose {
    pub const ALL: [Self; 6] = [
        Self::Intake,
        Self::Representation,
        Self::Supervision,
        Self::QualityReview,
        Self::LegalProcess,
        Self::Emergency,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Intake => "intake",
            Self::Representation => "representation",
            Self::Supervision => "supervision",
            Self::QualityReview => "quality-review",
            Self::LegalProcess => "legal-process",
            Self::Emergency => "emergency",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|purpose| purpose.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_knows_its_place_in_the_week() {
        // 2026-01-05T08:31:59Z was a Monday.
        assert_eq!(Minute::of_ms(1_767_601_919_000).of_the_week(), (1, 8 * 60 + 31));
        assert_eq!(Minute::of_ms(0).of_the_week(), (4, 0), "1970 began on a Thursday");
    }

    #[test]
    fn broken_glass_mends_itself_with_its_last_minute() {
        let user = Uuid::from_u128(1);
        let matter = Matter { grants: vec![Grant { user, until_ms: 150_000 }], ..Matter::default() };
        assert!(matter.is_granted(user, Minute::of_ms(0)));
        assert!(matter.is_granted(user, Minute::of_ms(119_999)));
        assert!(!matter.is_granted(user, Minute::of_ms(120_000)), "it would reach beyond the grant");
        assert!(!matter.is_granted(Uuid::from_u128(2), Minute::of_ms(0)));
    }
}
