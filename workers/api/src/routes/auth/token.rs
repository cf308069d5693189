//! `hotline token`: a session for a machine, asked for over the admin socket. The operator vouches for it, so it
//! shows no factor, and can do nothing that needs one shown lately.
use hotline::audit::{EventType, Severity};
use hotline::wire::AdminReply;
use serde_json::json;

use super::sign;
use crate::app::Shared;
use crate::trail::{self, Act};

pub(crate) async fn mint_token(app: &Shared, user: &str, ttl_seconds: u64, uid: u32) -> AdminReply {
    match mint(app, user, ttl_seconds, uid).await {
        Ok((token, expires_at_ms)) => {
            AdminReply::Token { token, expires_at_ms: i64::try_from(expires_at_ms).unwrap_or(i64::MAX) }
        }
        Err(reason) => AdminReply::Refused { reason },
    }
}

async fn mint(app: &Shared, user: &str, ttl_seconds: u64, uid: u32) -> Result<(String, u64), String> {
    let longest = app.config.sessions.automation_seconds_max;
    if ttl_seconds == 0 || ttl_seconds > longest {
        return Err(format!("a token lives between 1 and {longest} seconds (sessions.automation_seconds_max)"));
    }
    let person = app
        .domain
        .people
        .find(user)
        .await
        .map_err(|_| "the store could not be asked".to_owned())?
        .filter(|person| !person.disabled)
        .ok_or_else(|| format!("there is no user {user:?}, or the account is closed"))?;
    let act = Act::new(EventType::Login, "token.mint", person.id)
        .severity(Severity::Medium)
        .details(json!({ "ttlSeconds": ttl_seconds, "uid": uid }));
    trail::operator(app, uid, act).await.map_err(|_| "the request could not be recorded".to_owned())?;
    let failed = |_| "the session could not be stored".to_owned();
    let session = app.start_session(&person, 1, Some(ttl_seconds)).await.map_err(failed)?;
    let session = session.ok_or("the account has changed meanwhile; try again")?;
    let token = sign(app, &session).map_err(|_| "there is no key to sign with".to_owned())?;
    Ok((token, session.expires_at_ms))
}
