//! Which promise a path belongs to, found before anything is spent on the request.
//!
//! The router knows the handlers; this table knows what the gate must know earlier: whether an
//! identity is needed, which body is allowed how large, and the template that stands for the path in
//! metrics and logs. A test keeps it equal to the generated OpenAPI document.
mod paths;

use hotline::config::Limits;

/// One row for each path template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Route {
    Health,
    HealthLive,
    HealthReady,
    OpenApi,
    Jwks,
    Login,
    Logout,
    LoginMfa,
    LoginPasskey,
    LoginPasskeyOptions,
    Mfa,
    Totp,
    TotpConfirm,
    RecoveryCodes,
    Password,
    OwnSessions,
    OwnSession,
    StepUp,
    StepUpOptions,
    Passkeys,
    PasskeyOptions,
    Passkey,
    Users,
    User,
    UserReset,
    VoiceProcess,
    VoiceStatus,
    Cases,
    Case,
    CaseVersions,
    CaseVersion,
    Disposition,
    Dispositions,
    CaseEvidence,
    EvidenceUpload,
    Evidence,
    EvidenceContent,
    EvidenceVerify,
    EvidenceTransfer,
    EvidenceSeal,
    CaseGuards,
    CaseGuard,
    BreakGlass,
    CallerAccess,
    CallerLogin,
    CallerCase,
    Analyze,
    Recommend,
    LiveTicket,
    Live,
    AuditRecord,
    Acknowledgement,
    AuditHead,
    AuditTile,
    /// No such path.
    Unknown,
}

/// What the gate does with a request before its handler sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Answers whatever the load and the budget: what watches us must not be refused.
    Probe,
    /// For everybody, within the anonymous budget.
    Public,
    /// Needs an identity.
    Private,
}

impl Route {
    /// The path with its variable parts named; never holds what a caller wrote.
    pub(crate) fn template(self) -> &'static str {
        match self {
            Self::Health => "/health",
            Self::HealthLive => "/health/live",
            Self::HealthReady => "/health/ready",
            Self::OpenApi => "/api/v1/openapi.json",
            Self::Jwks => "/api/v1/auth/jwks.json",
            Self::Login => "/api/v1/auth/login",
            Self::Logout => "/api/v1/auth/logout",
            Self::LoginMfa => "/api/v1/auth/login/mfa",
            Self::LoginPasskey => "/api/v1/auth/login/passkey",
            Self::LoginPasskeyOptions => "/api/v1/auth/login/passkey/options",
            Self::Mfa => "/api/v1/auth/mfa",
            Self::Totp => "/api/v1/auth/mfa/totp",
            Self::TotpConfirm => "/api/v1/auth/mfa/totp/confirm",
            Self::RecoveryCodes => "/api/v1/auth/mfa/recovery-codes",
            Self::Password => "/api/v1/auth/password",
            Self::OwnSessions => "/api/v1/auth/sessions",
            Self::OwnSession => "/api/v1/auth/sessions/{sessionId}",
            Self::StepUp => "/api/v1/auth/step-up",
            Self::StepUpOptions => "/api/v1/auth/step-up/options",
            Self::Passkeys => "/api/v1/auth/passkeys",
            Self::PasskeyOptions => "/api/v1/auth/passkeys/options",
            Self::Passkey => "/api/v1/auth/passkeys/{passkeyId}",
            Self::Users => "/api/v1/users",
            Self::User => "/api/v1/users/{userId}",
            Self::UserReset => "/api/v1/users/{userId}/reset",
            Self::VoiceProcess => "/api/v1/voice/process",
            Self::VoiceStatus => "/api/v1/voice/status/{callId}",
            Self::Cases => "/api/v1/cases",
            Self::Case => "/api/v1/cases/{caseId}",
            Self::CaseVersions => "/api/v1/cases/{caseId}/versions",
            Self::CaseVersion => "/api/v1/cases/{caseId}/versions/{version}",
            Self::Disposition => "/api/v1/cases/{caseId}/disposition",
            Self::Dispositions => "/api/v1/dispositions",
            Self::CaseEvidence => "/api/v1/cases/{caseId}/evidence",
            Self::EvidenceUpload => "/api/v1/evidence/upload",
            Self::Evidence => "/api/v1/evidence/{evidenceId}",
            Self::EvidenceContent => "/api/v1/evidence/{evidenceId}/content",
            Self::EvidenceVerify => "/api/v1/evidence/{evidenceId}/verify",
            Self::EvidenceTransfer => "/api/v1/evidence/{evidenceId}/transfer",
            Self::EvidenceSeal => "/api/v1/evidence/{evidenceId}/seal",
            Self::CaseGuards => "/api/v1/cases/{caseId}/guards",
            Self::CaseGuard => "/api/v1/cases/{caseId}/guards/{guardId}",
            Self::BreakGlass => "/api/v1/cases/{caseId}/break-glass",
            Self::CallerAccess => "/api/v1/cases/{caseId}/caller-access",
            Self::CallerLogin => "/api/v1/caller/login",
            Self::CallerCase => "/api/v1/caller/case",
            Self::Analyze => "/api/v1/ai/analyze",
            Self::Recommend => "/api/v1/ai/recommend",
            Self::LiveTicket => "/api/v1/live/ticket",
            Self::Live => "/ws",
            Self::AuditRecord => "/api/v1/audit/records/{seq}",
            Self::Acknowledgement => "/api/v1/audit/records/{seq}/acknowledgement",
            Self::AuditHead => "/api/v1/audit/log/checkpoint",
            Self::AuditTile => "/api/v1/audit/log/tile/{name}",
            Self::Unknown => "other",
        }
    }

    pub(crate) fn access(self) -> Access {
        match self {
            Self::Health | Self::HealthLive | Self::HealthReady => Access::Probe,
            Self::OpenApi
            | Self::Jwks
            | Self::CallerLogin
            | Self::Login
            | Self::LoginMfa
            | Self::LoginPasskey
            | Self::LoginPasskeyOptions
            | Self::Unknown => Access::Public,
            _ => Access::Private,
        }
    }

    /// For those who called, with a token of their own kind.
    pub(crate) fn is_for_callers(self) -> bool {
        self == Self::CallerCase
    }

    /// Carries what a caller told us.
    pub(crate) fn is_confidential(self) -> bool {
        self.access() == Access::Private
    }

    /// What somebody may do whose account is not in order yet: put it in order, or leave.
    pub(crate) fn sets_in_order(self) -> bool {
        matches!(
            self,
            Self::Logout
                | Self::Mfa
                | Self::Totp
                | Self::TotpConfirm
                | Self::Passkeys
                | Self::PasskeyOptions
                | Self::Passkey
                | Self::Password
                | Self::StepUp
                | Self::StepUpOptions
        )
    }

    pub(crate) fn body_bytes_max(self, limits: &Limits) -> u64 {
        match self {
            // The parts around the recording have a place of their own.
            Self::VoiceProcess => limits.audio_bytes_max + FORM_OVERHEAD_BYTES,
            Self::EvidenceUpload => limits.evidence_bytes_max + FORM_OVERHEAD_BYTES,
            _ => limits.json_bytes_max,
        }
    }

    /// How long a body may be on its way.
    pub(crate) fn body_deadline_ms(self, limits: &Limits) -> u64 {
        match self {
            Self::EvidenceUpload => limits.evidence_deadline_ms,
            _ => limits.body_deadline_ms,
        }
    }

    /// A recording may take as long as its body may; everything else must be done sooner.
    pub(crate) fn deadline_ms(self, limits: &Limits, synchronous_wait_ms: u64) -> u64 {
        match self {
            Self::VoiceProcess => limits.request_deadline_ms.max(limits.body_deadline_ms) + synchronous_wait_ms,
            Self::EvidenceUpload | Self::EvidenceVerify => limits.request_deadline_ms.max(limits.evidence_deadline_ms),
            _ => limits.request_deadline_ms,
        }
    }

    pub(crate) const ALL: [Self; 55] = [
        Self::Health,
        Self::HealthLive,
        Self::HealthReady,
        Self::OpenApi,
        Self::Jwks,
        Self::Login,
        Self::Logout,
        Self::LoginMfa,
        Self::LoginPasskey,
        Self::LoginPasskeyOptions,
        Self::Mfa,
        Self::Totp,
        Self::TotpConfirm,
        Self::RecoveryCodes,
        Self::Password,
        Self::OwnSessions,
        Self::OwnSession,
        Self::StepUp,
        Self::StepUpOptions,
        Self::Passkeys,
        Self::PasskeyOptions,
        Self::Passkey,
        Self::Users,
        Self::User,
        Self::UserReset,
        Self::VoiceProcess,
        Self::VoiceStatus,
        Self::Cases,
        Self::Case,
        Self::CaseVersions,
        Self::CaseVersion,
        Self::Disposition,
        Self::Dispositions,
        Self::CaseEvidence,
        Self::EvidenceUpload,
        Self::Evidence,
        Self::EvidenceContent,
        Self::EvidenceVerify,
        Self::EvidenceTransfer,
        Self::EvidenceSeal,
        Self::CaseGuards,
        Self::CaseGuard,
        Self::BreakGlass,
        Self::CallerAccess,
        Self::CallerLogin,
        Self::CallerCase,
        Self::Analyze,
        Self::Recommend,
        Self::LiveTicket,
        Self::Live,
        Self::AuditRecord,
        Self::Acknowledgement,
        Self::AuditHead,
        Self::AuditTile,
        Self::Unknown,
    ];
}

/// Boundaries and text fields of a multipart form.
pub(crate) const FORM_OVERHEAD_BYTES: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_finds_its_own_row() {
        for (index, route) in Route::ALL.into_iter().enumerate() {
            assert_eq!(route as usize, index, "the table of metrics is indexed by this");
            let path = route
                .template()
                .replace("{callId}", "c-1")
                .replace("{caseId}", "123")
                .replace("{seq}", "7")
                .replace("{name}", "0/000")
                .replace("{sessionId}", "ab")
                .replace("{passkeyId}", "ab")
                .replace("{userId}", "u")
                .replace("{version}", "1")
                .replace("{evidenceId}", "e")
                .replace("{guardId}", "g");
            assert_eq!(Route::of(&path), route, "{path}");
        }
    }
}
