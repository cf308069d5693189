//! What a person is to the hotline, and what a session carries of it: small enough for a word of the board.
use std::fmt;

use serde::{Deserialize, Serialize};

/// What a person is to the hotline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Admin,
    Attorney,
    Auditor,
    Caller,
    Custodian,
    Intake,
    Paralegal,
    Security,
    Service,
    Supervisor,
}

/// Up to which classification somebody is trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Clearance {
    #[default]
    Public,
    Internal,
    Confidential,
    Restricted,
    TopSecret,
}

/// Roles, clearance and how many factors were shown. Says who somebody is; the policies say what follows from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Standing {
    pub(crate) roles: u16,
    pub clearance: Clearance,
    pub factors: u8,
}

impl Role {
    pub const ALL: [Self; 10] = [
        Self::Admin,
        Self::Attorney,
        Self::Auditor,
        Self::Caller,
        Self::Custodian,
        Self::Intake,
        Self::Paralegal,
        Self::Security,
        Self::Service,
        Self::Supervisor,
    ];

    /// What somebody with this role is cleared for unless their account says otherwise.
    pub const fn clearance(self) -> Clearance {
        match self {
            Self::Attorney => Clearance::TopSecret,
            Self::Supervisor => Clearance::Restricted,
            Self::Intake | Self::Paralegal | Self::Service => Clearance::Confidential,
            Self::Admin | Self::Auditor | Self::Custodian | Self::Security => Clearance::Internal,
            Self::Caller => Clearance::Public,
        }
    }

    /// Works for the hotline; not who calls it, and no machine.
    pub const fn is_staff(self) -> bool {
        !matches!(self, Self::Caller | Self::Service)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Attorney => "attorney",
            Self::Auditor => "auditor",
            Self::Caller => "caller",
            Self::Custodian => "custodian",
            Self::Intake => "intake",
            Self::Paralegal => "paralegal",
            Self::Security => "security",
            Self::Service => "service",
            Self::Supervisor => "supervisor",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Clearance {
    pub const ALL: [Self; 5] = [Self::Public, Self::Internal, Self::Confidential, Self::Restricted, Self::TopSecret];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Public => "PUBLIC",
            Self::Internal => "INTERNAL",
            Self::Confidential => "CONFIDENTIAL",
            Self::Restricted => "RESTRICTED",
            Self::TopSecret => "TOP_SECRET",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|clearance| clearance.name() == name)
    }
}

impl Standing {
    /// The roles' highest clearance, unless the person has one of their own.
    pub fn new(roles: &[Role], own: Option<Clearance>, factors: u8) -> Self {
        let of_roles = roles.iter().map(|role| role.clearance()).max().unwrap_or_default();
        let roles = roles.iter().fold(0, |set, role| set | 1 << *role as u16);
        Self { roles, clearance: own.unwrap_or(of_roles), factors }
    }

    pub fn roles(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |role| self.roles & (1 << *role as u16) != 0)
    }

    /// For a word of the board.
    pub fn to_bits(self) -> u64 {
        u64::from(self.roles) | (self.clearance as u64) << 16 | u64::from(self.factors) << 24
    }

    pub fn from_bits(bits: u64) -> Self {
        let clearance = Clearance::ALL.get((bits >> 16) as usize & 0xff).copied().unwrap_or_default();
        Self { roles: bits as u16, clearance, factors: (bits >> 24) as u8 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_and_clearances_are_read_back() {
        for role in Role::ALL {
            assert_eq!(Role::parse(role.name()), Some(role));
        }
        for clearance in Clearance::ALL {
            assert_eq!(Clearance::parse(clearance.name()), Some(clearance));
        }
        assert_eq!(Role::parse("root"), None);
    }

    #[test]
    fn a_standing_fits_a_word_of_the_board() {
        for role in Role::ALL {
            for own in [None, Some(Clearance::Internal), Some(Clearance::TopSecret)] {
                let standing = Standing::new(&[role, Role::Intake], own, 2);
                assert_eq!(Standing::from_bits(standing.to_bits()), standing);
                assert!(standing.roles().any(|held| held == role));
            }
        }
        assert_eq!(Standing::new(&[Role::Admin, Role::Attorney], None, 1).clearance, Clearance::TopSecret);
        assert_eq!(Standing::new(&[Role::Attorney], Some(Clearance::Internal), 1).clearance, Clearance::Internal);
    }
}
