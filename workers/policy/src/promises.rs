//! What no set of files may break, whatever it says: asked of the policies themselves before they are used.
//!
//! The built-in policies forbid what can be forbidden in a sentence. These promises are about what must not be
//! permitted to anybody who has only this role: they stop a careless line, not an operator who gives out roles.
use uuid::Uuid;

use crate::actions::{Action, Permissions};
use crate::engine::Policy;
use crate::facts::{Circumstances, Matter, Minute, Purpose, Who};
use crate::roles::{Clearance, Role, Standing};

/// In words, each promise that these policies break.
pub(crate) fn broken(policy: &Policy) -> Vec<String> {
    let mut broken = Vec::new();
    for role in [Role::Admin, Role::Auditor, Role::Security, Role::Custodian, Role::Caller] {
        let told =
            CONTENT.iter().find(|action| policy.decide(&trusted(role), **action, Some(&matter()), &now()).allowed);
        broken.extend(told.map(|action| {
            format!("{role} alone may {}: reading what clients told takes a role of casework", action.name())
        }));
    }
    let managers = Role::ALL.into_iter().filter(|role| may(policy, *role, Permissions::USER_MANAGE));
    if !managers.into_iter().any(|role| role == Role::Admin) {
        broken.push("admin may not user_manage: nobody could give anybody a role again".to_owned());
    }
    for role in [Role::Caller, Role::Service] {
        if may(policy, role, Permissions::USER_MANAGE) {
            broken.push(format!("{role} may user_manage: only staff give roles"));
        }
    }
    broken
}

fn may(policy: &Policy, role: Role, permission: Permissions) -> bool {
    policy.permissions(trusted(role).standing, NOON).contain(permission)
}

/// Somebody with one role and nothing in their way.
fn trusted(role: Role) -> Who {
    Who { user: Uuid::from_u128(1), standing: Standing::new(&[role], Some(Clearance::TopSecret), 2) }
}

fn matter() -> Matter {
    Matter { id: Uuid::from_u128(2), classification: Clearance::Confidential, ..Matter::default() }
}

fn now() -> Circumstances {
    Circumstances { minute: NOON, purpose: Some(Purpose::Emergency) }
}

const CONTENT: [Action; 6] = [
    Action::CaseAccess,
    Action::CaseWrite,
    Action::CaseIdentity,
    Action::CaseLocation,
    Action::CallRead,
    Action::AiUse,
];
/// A Monday.
const NOON: Minute = Minute::of_ms(1_767_614_400_000);
