//! From a path to its row, without allocating and without asking the router.
use super::Route;

impl Route {
    pub(crate) fn of(path: &str) -> Self {
        let Some(rest) = path.strip_prefix("/api/v1/") else {
            return match path {
                "/health" => Self::Health,
                "/health/live" => Self::HealthLive,
                "/health/ready" => Self::HealthReady,
                "/ws" => Self::Live,
                _ => Self::Unknown,
            };
        };
        match rest {
            "openapi.json" => Self::OpenApi,
            "auth/jwks.json" => Self::Jwks,
            "auth/login" => Self::Login,
            "auth/logout" => Self::Logout,
            "auth/login/mfa" => Self::LoginMfa,
            "auth/login/passkey" => Self::LoginPasskey,
            "auth/login/passkey/options" => Self::LoginPasskeyOptions,
            "auth/passkeys" => Self::Passkeys,
            "auth/passkeys/options" => Self::PasskeyOptions,
            "auth/step-up/options" => Self::StepUpOptions,
            "auth/mfa" => Self::Mfa,
            "auth/mfa/totp" => Self::Totp,
            "auth/mfa/totp/confirm" => Self::TotpConfirm,
            "auth/mfa/recovery-codes" => Self::RecoveryCodes,
            "auth/password" => Self::Password,
            "auth/sessions" => Self::OwnSessions,
            "auth/step-up" => Self::StepUp,
            "users" => Self::Users,
            "voice/process" => Self::VoiceProcess,
            "cases" => Self::Cases,
            "dispositions" => Self::Dispositions,
            "evidence/upload" => Self::EvidenceUpload,
            "caller/login" => Self::CallerLogin,
            "caller/case" => Self::CallerCase,
            "ai/analyze" => Self::Analyze,
            "ai/recommend" => Self::Recommend,
            "live/ticket" => Self::LiveTicket,
            "audit/log/checkpoint" => Self::AuditHead,
            _ => match rest.split_once('/') {
                Some(("cases", rest)) => match rest.split_once('/') {
                    None if is_segment(rest) => Self::Case,
                    Some((id, "disposition")) if is_segment(id) => Self::Disposition,
                    Some((id, "evidence")) if is_segment(id) => Self::CaseEvidence,
                    Some((id, "versions")) if is_segment(id) => Self::CaseVersions,
                    Some((id, "guards")) if is_segment(id) => Self::CaseGuards,
                    Some((id, "break-glass")) if is_segment(id) => Self::BreakGlass,
                    Some((id, "caller-access")) if is_segment(id) => Self::CallerAccess,
                    Some((id, rest)) if is_segment(id) => match rest.split_once('/') {
                        Some(("guards", guard)) if is_segment(guard) => Self::CaseGuard,
                        Some(("versions", version)) if is_segment(version) => Self::CaseVersion,
                        _ => Self::Unknown,
                    },
                    _ => Self::Unknown,
                },
                Some(("audit", rest)) => match rest.split_once('/') {
                    Some(("records", seq)) if is_segment(seq) => Self::AuditRecord,
                    Some(("records", rest)) => match rest.split_once('/') {
                        Some((seq, "acknowledgement")) if is_segment(seq) => Self::Acknowledgement,
                        _ => Self::Unknown,
                    },
                    Some(("log", name)) if name.starts_with("tile/") => Self::AuditTile,
                    _ => Self::Unknown,
                },
                Some(("evidence", rest)) => match rest.split_once('/') {
                    None if is_segment(rest) => Self::Evidence,
                    Some((id, "content")) if is_segment(id) => Self::EvidenceContent,
                    Some((id, "verify")) if is_segment(id) => Self::EvidenceVerify,
                    Some((id, "transfer")) if is_segment(id) => Self::EvidenceTransfer,
                    Some((id, "seal")) if is_segment(id) => Self::EvidenceSeal,
                    _ => Self::Unknown,
                },
                Some(("users", rest)) => match rest.split_once('/') {
                    None if is_segment(rest) => Self::User,
                    Some((id, "reset")) if is_segment(id) => Self::UserReset,
                    _ => Self::Unknown,
                },
                Some(("auth", rest)) => match rest.split_once('/') {
                    Some(("sessions", id)) if is_segment(id) => Self::OwnSession,
                    Some(("passkeys", id)) if is_segment(id) => Self::Passkey,
                    _ => Self::Unknown,
                },
                Some(("voice", rest)) => match rest.strip_prefix("status/") {
                    Some(id) if is_segment(id) => Self::VoiceStatus,
                    _ => Self::Unknown,
                },
                _ => Self::Unknown,
            },
        }
    }
}

fn is_segment(text: &str) -> bool {
    !text.is_empty() && !text.contains('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strange_paths_are_nobody() {
        for path in [
            "",
            "/",
            "/api/v1",
            "/api/v1/cases/",
            "/api/v1/cases/1/2",
            "/api/v1/cases/1/guards/",
            "/api/v1/cases//guards",
            "/api/v1/cases/1/guards/2/3",
            "/api/v1/voice/status/",
            "/api/v1/users/",
            "/api/v1/users/1/2",
            "/api/v1/auth/sessions/",
            "/api/v1/auth/passkeys/",
            "/api/v1/auth/passkeys/1/2",
            "/healthy",
            "*",
        ] {
            assert_eq!(Route::of(path), Route::Unknown, "{path}");
        }
    }
}
