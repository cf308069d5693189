//! Who may do what: permissions as bits, roles as sets of them. What is not listed is not allowed.
//!
//! An administrator runs the service and does not read what callers told; who does both has two roles.
use std::fmt;

use uuid::Uuid;

/// A set of permissions; fits the board's session cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Permissions(u64);

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

/// Who acts, with which rights, at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Actor {
    pub user: Uuid,
    pub permissions: Permissions,
}

impl Permissions {
    pub const NONE: Self = Self(0);
    /// Read cases (the seed's name for it).
    pub const CASE_ACCESS: Self = Self(1);
    pub const CASE_WRITE: Self = Self(1 << 1);
    /// Hand in recordings.
    pub const CALL_PROCESS: Self = Self(1 << 2);
    pub const CALL_READ: Self = Self(1 << 3);
    pub const AI_USE: Self = Self(1 << 4);
    pub const LIVE_SUBSCRIBE: Self = Self(1 << 5);
    /// See what is marked RESTRICTED.
    pub const RESTRICTED_READ: Self = Self(1 << 6);
    /// See what is marked TOP_SECRET.
    pub const TOP_SECRET_READ: Self = Self(1 << 7);
    pub const AUDIT_READ: Self = Self(1 << 8);
    pub const USER_MANAGE: Self = Self(1 << 9);
    pub const COMPLEX_QUERY_EXECUTION: Self = Self(1 << 10);

    pub const fn bits(self) -> u64 {
        self.0
    }

    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// All of `wanted` are held.
    pub const fn contain(self, wanted: Self) -> bool {
        self.0 & wanted.0 == wanted.0
    }

    pub fn names(self) -> Vec<&'static str> {
        CATALOGUE.iter().filter(|(_, permission)| self.contain(*permission)).map(|(name, _)| *name).collect()
    }
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

    pub const fn permissions(self) -> Permissions {
        const INTAKE: Permissions = Permissions::CASE_ACCESS
            .and(Permissions::CASE_WRITE)
            .and(Permissions::CALL_PROCESS)
            .and(Permissions::CALL_READ)
            .and(Permissions::AI_USE)
            .and(Permissions::LIVE_SUBSCRIBE);
        match self {
            Self::Admin => Permissions::USER_MANAGE,
            Self::Attorney => INTAKE.and(Permissions::RESTRICTED_READ).and(Permissions::TOP_SECRET_READ),
            Self::Auditor => Permissions::AUDIT_READ,
            Self::Caller | Self::Custodian => Permissions::NONE,
            Self::Intake | Self::Paralegal => INTAKE,
            Self::Security => Permissions::AUDIT_READ.and(Permissions::LIVE_SUBSCRIBE),
            Self::Service => Permissions::CALL_PROCESS.and(Permissions::CALL_READ).and(Permissions::LIVE_SUBSCRIBE),
            Self::Supervisor => INTAKE.and(Permissions::RESTRICTED_READ).and(Permissions::COMPLEX_QUERY_EXECUTION),
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

/// The rights of somebody with these roles.
pub fn permissions_of(roles: &[Role]) -> Permissions {
    roles.iter().fold(Permissions::NONE, |held, role| held.and(role.permissions()))
}

const CATALOGUE: &[(&str, Permissions)] = &[
    ("case_access", Permissions::CASE_ACCESS),
    ("case_write", Permissions::CASE_WRITE),
    ("call_process", Permissions::CALL_PROCESS),
    ("call_read", Permissions::CALL_READ),
    ("ai_use", Permissions::AI_USE),
    ("live_subscribe", Permissions::LIVE_SUBSCRIBE),
    ("restricted_read", Permissions::RESTRICTED_READ),
    ("top_secret_read", Permissions::TOP_SECRET_READ),
    ("audit_read", Permissions::AUDIT_READ),
    ("user_manage", Permissions::USER_MANAGE),
    ("COMPLEX_QUERY_EXECUTION", Permissions::COMPLEX_QUERY_EXECUTION),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_the_service_does_not_mean_reading_what_callers_told() {
        for role in [Role::Admin, Role::Auditor, Role::Security, Role::Caller] {
            assert!(!role.permissions().contain(Permissions::CASE_ACCESS), "{role}");
        }
    }

    #[test]
    fn every_permission_has_one_name() {
        let all = CATALOGUE.iter().fold(0, |bits, (_, permission)| {
            assert_eq!(bits & permission.bits(), 0);
            bits | permission.bits()
        });
        let granted = permissions_of(&Role::ALL).bits();
        assert_eq!(granted & !all, 0, "a role has a right without a name");
    }

    #[test]
    fn roles_are_read_back() {
        for role in Role::ALL {
            assert_eq!(Role::parse(role.name()), Some(role));
        }
        assert_eq!(Role::parse("root"), None);
    }
}
