//! What can be asked of the policies, and sets of it.
//!
//! An action is asked of one matter, or of the house: "may they at all?". The answers of the house are what a session
//! may do before it is known to whom.

macro_rules! actions {
    ($($(#[$doc:meta])* $action:ident $constant:ident = $name:literal on $on:ident,)*) => {
        /// A thing to do. The names are the policies' and the API's.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Action { $($(#[$doc])* $action,)* }

        impl Action {
            pub const ALL: &'static [Self] = &[$(Self::$action,)*];

            pub const fn name(self) -> &'static str {
                match self { $(Self::$action => $name,)* }
            }

            /// Whether it is also asked of single matters.
            pub const fn concerns_matters(self) -> bool {
                match self { $(Self::$action => actions!(@$on),)* }
            }
        }

        impl Permissions {
            $($(#[$doc])* pub const $constant: Self = Self::of(Action::$action);)*
        }
    };
    (@matters) => { true };
    (@house) => { false };
}

actions! {
    /// Read cases.
    CaseAccess CASE_ACCESS = "case_access" on matters,
    CaseWrite CASE_WRITE = "case_write" on matters,
    /// See in a case who called, how to reach them, and what they told.
    CaseIdentity CASE_IDENTITY = "case_identity" on matters,
    /// See in a case where its caller lives.
    CaseLocation CASE_LOCATION = "case_location" on matters,
    /// Walls, teams, and what a client does not want.
    CaseGuard CASE_GUARD = "case_guard" on matters,
    /// Legal holds.
    CaseHold CASE_HOLD = "case_hold" on matters,
    CaseArchive CASE_ARCHIVE = "case_archive" on matters,
    /// Destroy what a case holds when it need not be kept any more.
    CaseDispose CASE_DISPOSE = "case_dispose" on matters,
    /// See how the own matter stands, as its caller.
    CaseFollow CASE_FOLLOW = "case_follow" on matters,
    /// Get in for a while where clearance or team would not let one, with a reason that is kept.
    BreakGlass BREAK_GLASS = "break_glass" on matters,
    /// Hand in recordings.
    CallProcess CALL_PROCESS = "call_process" on matters,
    CallRead CALL_READ = "call_read" on matters,
    AiUse AI_USE = "ai_use" on matters,
    LiveSubscribe LIVE_SUBSCRIBE = "live_subscribe" on house,
    AuditRead AUDIT_READ = "audit_read" on house,
    /// Say that somebody looks after an alert.
    AlertAcknowledge ALERT_ACKNOWLEDGE = "alert_acknowledge" on house,
    UserManage USER_MANAGE = "user_manage" on house,
    ComplexQueryExecution COMPLEX_QUERY_EXECUTION = "COMPLEX_QUERY_EXECUTION" on house,
}

/// A set of actions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Permissions(u64);

impl Action {
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|action| action.name() == name)
    }
}

impl Permissions {
    pub const NONE: Self = Self(0);

    pub const fn of(action: Action) -> Self {
        Self(1 << action as u64)
    }

    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// All of `wanted` are held.
    pub const fn contain(self, wanted: Self) -> bool {
        self.0 & wanted.0 == wanted.0
    }

    pub fn names(self) -> Vec<&'static str> {
        Action::ALL.iter().filter(|action| self.contain(Self::of(**action))).map(|action| action.name()).collect()
    }
}

impl FromIterator<Action> for Permissions {
    fn from_iter<T: IntoIterator<Item = Action>>(actions: T) -> Self {
        actions.into_iter().fold(Self::NONE, |set, action| set.and(Self::of(action)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_is_found_by_its_name_and_has_a_bit_of_its_own() {
        let mut all = Permissions::NONE;
        for action in Action::ALL {
            assert_eq!(Action::parse(action.name()), Some(*action));
            assert!(!all.contain(Permissions::of(*action)));
            all = all.and(Permissions::of(*action));
        }
        assert_eq!(all.names().len(), Action::ALL.len());
        assert_eq!(Action::parse("root"), None);
    }
}
