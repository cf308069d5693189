//! Which promise a path belongs to, found before anything is spent on the request.
//!
//! The router knows the handlers; this table knows what the gate must know earlier: whether an
//! identity is needed, which body is allowed how large, and the template that stands for the path in
//! metrics and logs. A test keeps it equal to the generated OpenAPI document.
use hotline::config::Limits;

/// One row for each path template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Route {
    Health,
    HealthLive,
    HealthReady,
    OpenApi,
    Login,
    Logout,
    VoiceProcess,
    VoiceStatus,
    Cases,
    Case,
    Analyze,
    Recommend,
    LiveTicket,
    Live,
    AuditRecord,
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
            "auth/login" => Self::Login,
            "auth/logout" => Self::Logout,
            "voice/process" => Self::VoiceProcess,
            "cases" => Self::Cases,
            "ai/analyze" => Self::Analyze,
            "ai/recommend" => Self::Recommend,
            "live/ticket" => Self::LiveTicket,
            "audit/log/checkpoint" => Self::AuditHead,
            _ => match rest.split_once('/') {
                Some(("cases", id)) if is_segment(id) => Self::Case,
                Some(("audit", rest)) => match rest.split_once('/') {
                    Some(("records", seq)) if is_segment(seq) => Self::AuditRecord,
                    Some(("log", name)) if name.starts_with("tile/") => Self::AuditTile,
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

    /// The path with its variable parts named; never holds what a caller wrote.
    pub(crate) fn template(self) -> &'static str {
        match self {
            Self::Health => "/health",
            Self::HealthLive => "/health/live",
            Self::HealthReady => "/health/ready",
            Self::OpenApi => "/api/v1/openapi.json",
            Self::Login => "/api/v1/auth/login",
            Self::Logout => "/api/v1/auth/logout",
            Self::VoiceProcess => "/api/v1/voice/process",
            Self::VoiceStatus => "/api/v1/voice/status/{callId}",
            Self::Cases => "/api/v1/cases",
            Self::Case => "/api/v1/cases/{caseId}",
            Self::Analyze => "/api/v1/ai/analyze",
            Self::Recommend => "/api/v1/ai/recommend",
            Self::LiveTicket => "/api/v1/live/ticket",
            Self::Live => "/ws",
            Self::AuditRecord => "/api/v1/audit/records/{seq}",
            Self::AuditHead => "/api/v1/audit/log/checkpoint",
            Self::AuditTile => "/api/v1/audit/log/tile/{name}",
            Self::Unknown => "other",
        }
    }

    pub(crate) fn access(self) -> Access {
        match self {
            Self::Health | Self::HealthLive | Self::HealthReady => Access::Probe,
            Self::OpenApi | Self::Login | Self::Unknown => Access::Public,
            _ => Access::Private,
        }
    }

    /// Carries what a caller told us.
    pub(crate) fn is_confidential(self) -> bool {
        self.access() == Access::Private
    }

    pub(crate) fn body_bytes_max(self, limits: &Limits) -> u64 {
        match self {
            // The parts around the recording have a place of their own.
            Self::VoiceProcess => limits.audio_bytes_max + FORM_OVERHEAD_BYTES,
            _ => limits.json_bytes_max,
        }
    }

    /// A recording may take as long as its body may; everything else must be done sooner.
    pub(crate) fn deadline_ms(self, limits: &Limits, synchronous_wait_ms: u64) -> u64 {
        match self {
            Self::VoiceProcess => limits.request_deadline_ms.max(limits.body_deadline_ms) + synchronous_wait_ms,
            _ => limits.request_deadline_ms,
        }
    }

    pub(crate) const ALL: [Self; 18] = [
        Self::Health,
        Self::HealthLive,
        Self::HealthReady,
        Self::OpenApi,
        Self::Login,
        Self::Logout,
        Self::VoiceProcess,
        Self::VoiceStatus,
        Self::Cases,
        Self::Case,
        Self::Analyze,
        Self::Recommend,
        Self::LiveTicket,
        Self::Live,
        Self::AuditRecord,
        Self::AuditHead,
        Self::AuditTile,
        Self::Unknown,
    ];
}

fn is_segment(text: &str) -> bool {
    !text.is_empty() && !text.contains('/')
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
                .replace("{name}", "0/000");
            assert_eq!(Route::of(&path), route, "{path}");
        }
    }

    #[test]
    fn strange_paths_are_nobody() {
        for path in
            ["", "/", "/api/v1", "/api/v1/cases/", "/api/v1/cases/1/2", "/api/v1/voice/status/", "/healthy", "*"]
        {
            assert_eq!(Route::of(path), Route::Unknown, "{path}");
        }
    }
}
