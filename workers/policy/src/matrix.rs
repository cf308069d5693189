//! Which role may do what: a table made from the policies themselves, for people and for a test that keeps it.
use std::fmt::Write as _;

use uuid::Uuid;

use crate::actions::Action;
use crate::engine::Policy;
use crate::facts::{Circumstances, Matter, Minute, Who};
use crate::roles::{Clearance, Role, Standing};

/// Markdown: a row for each action, a column for each role that somebody has alone, with one factor and at noon.
///
/// `house`: may at all, if no matter is concerned. Of matters: up to which classification, where the account has the
/// clearance that its role brings along and no purpose is stated.
pub fn matrix(policy: &Policy) -> String {
    let mut table = String::from("| |");
    for role in Role::ALL {
        let _ = write!(table, " {role} |");
    }
    table.push_str("\n|---|");
    table.push_str(&"---|".repeat(Role::ALL.len()));
    for action in Action::ALL {
        let _ = write!(table, "\n| {} |", action.name());
        for role in Role::ALL {
            let _ = write!(table, " {} |", cell(policy, role, *action));
        }
    }
    table.push('\n');
    table
}

fn cell(policy: &Policy, role: Role, action: Action) -> String {
    let own = Uuid::from_u128(2);
    let standing = Standing::new(&[role], None, 1);
    let who = Who { user: Uuid::from_u128(1), standing };
    let when = Circumstances { minute: NOON, purpose: None };
    if !policy.decide(&who, action, None, &when).allowed {
        return String::new();
    }
    if !action.concerns_matters() {
        return "yes".to_owned();
    }
    let highest = |opened_by: Option<Uuid>| {
        let allowed = |classification: &Clearance| {
            let followers = vec![who.user];
            let matter = Matter { id: own, classification: *classification, opened_by, followers, ..Matter::default() };
            policy.decide(&who, action, Some(&matter), &when).allowed
        };
        Clearance::ALL.into_iter().rev().find(allowed).map(Clearance::name)
    };
    match (highest(None), highest(Some(who.user))) {
        (Some(of_others), _) => of_others.to_owned(),
        (None, Some(of_own)) => format!("{of_own}, own"),
        (None, None) => "none".to_owned(),
    }
}

const NOON: Minute = Minute::of_ms(1_767_614_400_000);
