//! What the gate holds against a request, in the words that watchers of the old service know: one shape for the
//! refusal's body and for its record.
//!
//! `NON_COMPLIANT_TLS` has no place here: what is not TLS 1.3 ends in the handshake and never becomes a request. Nothing
//! scores patterns yet, so the score is 0 and `HIGH_RISK_PATTERN` is not given.
use http::StatusCode;
use serde_json::{Value, json};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    AuthenticationFailure,
    InsufficientPrivileges,
    RateLimitExceeded,
}

impl Violation {
    /// What a refusal with this status holds against the request; `None` where nothing is, as when a path is unknown.
    pub(crate) fn of(status: StatusCode) -> Option<Self> {
        match status {
            StatusCode::UNAUTHORIZED => Some(Self::AuthenticationFailure),
            StatusCode::FORBIDDEN => Some(Self::InsufficientPrivileges),
            StatusCode::TOO_MANY_REQUESTS => Some(Self::RateLimitExceeded),
            _ => None,
        }
    }

    /// The result as the old service gave it.
    pub(crate) fn verdict(self) -> Value {
        json!({
            "isValid": false,
            "riskScore": 0,
            "violations": [self.name()],
            "mitigations": [self.mitigation()],
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::AuthenticationFailure => "AUTHENTICATION_FAILURE",
            Self::InsufficientPrivileges => "INSUFFICIENT_PRIVILEGES",
            Self::RateLimitExceeded => "RATE_LIMIT_EXCEEDED",
        }
    }

    fn mitigation(self) -> &'static str {
        match self {
            Self::AuthenticationFailure => "REQUIRE_REAUTHENTICATION",
            Self::InsufficientPrivileges => "ACCESS_DENIED",
            Self::RateLimitExceeded => "TEMPORARY_BLOCK",
        }
    }
}
