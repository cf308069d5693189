//! Whom a full worker serves first: what each request is to a hotline, from its route and its caller.
//!
//! | class | what is in it |
//! |---|---|
//! | emergency | a call or case that our own triage found to be an emergency; whatever somebody who takes calls marks with `X-Emergency: true`, within a budget |
//! | live call | somebody is on the line: the recording, its status, triage, opening the case, live events |
//! | interactive | somebody sits before a screen: one case, log-in, log-out, the own account, one colleague's |
//! | batch | lists and exports, the API's description, paths that are not there, everything of strangers |
//!
//! A stranger's request is never more than interactive, and only where strangers have to come in (log-in,
//! and live connections, whose ticket is looked at later). What a stranger says about urgency is not read.
use hotline_domain::policy::Permissions;
use http::Method;

use crate::gate::{Principal, Route};

/// In the order in which they are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    Emergency,
    LiveCall,
    Interactive,
    Batch,
}

impl Class {
    /// Before anybody has said that it is an emergency.
    pub(crate) fn of(route: Route, method: &Method, principal: Option<&Principal>) -> Self {
        let known = principal.is_some();
        match route {
            Route::Login | Route::CallerLogin | Route::LoginMfa | Route::LoginPasskey | Route::LoginPasskeyOptions => {
                Self::Interactive
            }
            Route::Live if !known => Self::Interactive,
            _ if !known => Self::Batch,
            Route::VoiceProcess
            | Route::VoiceStatus
            | Route::Analyze
            | Route::Recommend
            | Route::LiveTicket
            | Route::Live => Self::LiveCall,
            // A case is opened while its caller is on the line; reading through all of them can wait.
            Route::Cases if *method == Method::POST => Self::LiveCall,
            Route::Case
            | Route::CaseVersion
            | Route::Disposition
            | Route::CaseEvidence
            | Route::EvidenceUpload
            | Route::Evidence
            | Route::EvidenceContent
            | Route::EvidenceTransfer
            | Route::EvidenceSeal
            | Route::CaseGuards
            | Route::CaseGuard
            | Route::BreakGlass
            | Route::CallerAccess
            | Route::CallerCase
            | Route::Logout
            | Route::Mfa
            | Route::Totp
            | Route::TotpConfirm
            | Route::RecoveryCodes
            | Route::Password
            | Route::OwnSessions
            | Route::OwnSession
            | Route::StepUp
            | Route::StepUpOptions
            | Route::Passkeys
            | Route::PasskeyOptions
            | Route::Passkey
            | Route::User
            | Route::UserReset
            | Route::AuditRecord
            | Route::Acknowledgement => Self::Interactive,
            Route::Cases
            | Route::CaseVersions
            | Route::Dispositions
            | Route::EvidenceVerify
            | Route::Users
            | Route::OpenApi
            | Route::Jwks
            | Route::AuditHead
            | Route::AuditTile
            | Route::Unknown
            | Route::Health
            | Route::HealthLive
            | Route::HealthReady => Self::Batch,
        }
    }

    /// Whether this principal's word that somebody is in danger is taken.
    pub(crate) fn believes(principal: &Principal) -> bool {
        principal.may(Permissions::CALL_PROCESS)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Emergency => "emergency",
            Self::LiveCall => "live-call",
            Self::Interactive => "interactive",
            Self::Batch => "batch",
        }
    }

    /// When a refused caller may ask again. Whoever is in danger comes back at once, whoever lists can wait.
    pub(crate) fn retry_after_seconds(self) -> u32 {
        match self {
            Self::Emergency | Self::LiveCall => 1,
            Self::Interactive => 2,
            Self::Batch => 10,
        }
    }

    pub(super) fn rank(self) -> u32 {
        self as u32
    }

    /// Sixteenths of the present limit that may be at work when a request of this rank begins: there is
    /// always room left for those before it.
    pub(super) fn sixteenths(rank: u32) -> u32 {
        match rank {
            0 => 16,
            1 => 15,
            2 => 14,
            _ => 8,
        }
    }

    pub(crate) const ALL: [Self; CLASSES] = [Self::Emergency, Self::LiveCall, Self::Interactive, Self::Batch];
}

pub(crate) const CLASSES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_never_come_before_callers() {
        for route in Route::ALL {
            for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE] {
                let stranger = Class::of(route, &method, None);
                assert!(stranger >= Class::Interactive, "{route:?}");
                assert!(Class::of(route, &method, Some(&Principal::example(1))) <= stranger, "{route:?}");
            }
        }
    }

    #[test]
    fn somebody_on_the_line_comes_before_a_list() {
        let lawyer = Principal::example(1);
        let class = |route, method| Class::of(route, &method, Some(&lawyer));
        assert_eq!(class(Route::VoiceProcess, Method::POST), Class::LiveCall);
        assert_eq!(class(Route::Cases, Method::POST), Class::LiveCall);
        assert_eq!(class(Route::Case, Method::GET), Class::Interactive);
        assert_eq!(class(Route::Cases, Method::GET), Class::Batch);
    }

    #[test]
    fn only_who_takes_calls_is_believed() {
        assert!(Class::believes(&Principal::example(1)));
        let auditor = Principal { permissions: Permissions::AUDIT_READ, ..Principal::example(1) };
        assert!(!Class::believes(&auditor));
    }
}
