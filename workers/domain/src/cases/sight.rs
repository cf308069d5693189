//! What of a case its reader sees: who may read it need not see who called, and still less where they live.
//!
//! Policies decide it, for each reader and each case, at each reading. What is masked is named, so that nobody takes it
//! for missing; and a change by somebody who does not see it leaves it as it is.
use serde::{Deserialize, Serialize};

use super::{Case, CaseChange, Contact};
use crate::policy::{Access, Action, Actor, Matter};

/// The parts of a case that are not for all of its readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sight {
    pub identity: bool,
    pub location: bool,
}

impl Sight {
    pub const FULL: Self = Self { identity: true, location: true };

    pub(super) fn of(access: &Access, actor: &Actor, matter: &Matter) -> Self {
        Self {
            identity: access.allows(actor, Action::CaseIdentity, matter),
            location: access.allows(actor, Action::CaseLocation, matter),
        }
    }

    /// Tells two views of one version apart.
    pub fn of_case(case: &Case) -> Self {
        let masked = |pointer: &str| case.masked.iter().any(|masked| masked == pointer);
        Self { identity: !masked(NAME), location: !masked(ADDRESS) }
    }

    /// Takes out what is not for this reader, and names it.
    pub(super) fn mask(self, case: &mut Case) {
        let mut cover = |covered: bool, pointer: &str| {
            if covered {
                case.masked.push(pointer.to_owned());
            }
        };
        cover(!self.identity, NAME);
        cover(!self.identity, "/narrative");
        cover(!self.identity, "/contact/phone");
        cover(!self.identity, "/contact/email");
        cover(!self.location, ADDRESS);
        if !self.identity {
            (case.caller_name, case.narrative) = (None, None);
        }
        if let Some(contact) = &mut case.contact {
            if !self.identity {
                (contact.phone, contact.email) = (None, None);
            }
            if !self.location {
                contact.address = None;
            }
        }
    }

    /// A contact is replaced as a whole, but for the parts that were not shown: those stay unless they are named anew.
    pub(super) fn keep_unseen(self, case: &Case, change: &mut CaseChange) {
        let (Some(before), Some(after)) = (&case.contact, &mut change.contact) else { return };
        let keep = |after: &mut Option<String>, before: &Option<String>| {
            if after.is_none() {
                after.clone_from(before);
            }
        };
        let Contact { phone, email, address, safe_to_call: _ } = before;
        if !self.identity {
            keep(&mut after.phone, phone);
            keep(&mut after.email, email);
        }
        if !self.location {
            keep(&mut after.address, address);
        }
    }
}

const NAME: &str = "/callerName";
const ADDRESS: &str = "/contact/address";
