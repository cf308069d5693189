//! Alerts as signed posts, in the form of Standard Webhooks: `webhook-id`, `webhook-timestamp`, `webhook-signature`.
//!
//! The id is one for each sending, so a receiver knows a repeated try from an alert that is sent again.
use std::time::Duration;

use anyhow::{Context as _, ensure};
use aws_lc_rs::hmac;
use data_encoding::BASE64;
use hotline::config::Alerts;
use serde_json::json;
use zeroize::Zeroizing;

use super::super::https::{Question, Trust, Url};
use super::deliver::{Message, secret};

pub(super) struct Post<'a> {
    to: &'a Alerts,
    key: hmac::Key,
}

impl<'a> Post<'a> {
    /// `None`: nobody is to be told this way.
    pub(super) fn open(to: &'a Alerts) -> anyhow::Result<Option<Self>> {
        let Some(file) = to.webhook_secret_file.as_deref().filter(|_| !to.webhook_url.is_empty()) else {
            return Ok(None);
        };
        let (text, file) = (secret(file)?, file.display());
        let encoded = text.strip_prefix("whsec_").with_context(|| format!("{file} must begin with \"whsec_\""))?;
        let decoded = BASE64.decode(encoded.as_bytes()).ok().map(Zeroizing::new);
        let key = decoded.with_context(|| format!("{file}: what follows \"whsec_\" is not base64"))?;
        ensure!((24..=64).contains(&key.len()), "{file} must hold 24 to 64 bytes");
        Ok(Some(Self { to, key: hmac::Key::new(hmac::HMAC_SHA256, &key) }))
    }

    pub(super) fn send(&self, message: &Message<'_>) -> anyhow::Result<()> {
        let to = if message.is_escalation { &self.to.webhook_escalation_url } else { &self.to.webhook_url };
        let url = Url::parse(to)?;
        let alert = message.alert;
        let body = json!({
            "type": "hotline.alert",
            "timestamp": alert.timestamp,
            "data": {
                "log": message.log, "seq": message.seq, "lastSeq": alert.last_seq, "records": alert.records,
                "eventId": alert.event_id, "eventType": alert.event_type, "severity": alert.severity,
                "action": alert.action, "outcome": alert.outcome, "escalation": message.is_escalation,
                "sentBefore": message.sent_before, "alertsWithoutPlace": message.overflow,
            },
        })
        .to_string();
        let (id, at) = (message.id(), (message.now_ms / 1_000).to_string());
        let signature = self.sign(&id, &at, &body);
        let question = Question {
            method: "POST",
            path: if url.path.is_empty() { "/" } else { &url.path },
            headers: &[
                ("Content-Type", "application/json"),
                ("webhook-id", &id),
                ("webhook-timestamp", &at),
                ("webhook-signature", &signature),
            ],
            body: body.as_bytes(),
        };
        let answer = url.ask(&question, Trust::Authorities(self.to.webhook_ca_file.as_deref()), PATIENCE)?;
        ensure!((200..300).contains(&answer.status), "the receiver answered {}", answer.status);
        Ok(())
    }

    fn sign(&self, id: &str, at: &str, body: &str) -> String {
        let tag = hmac::sign(&self.key, format!("{id}.{at}.{body}").as_bytes());
        format!("v1,{}", BASE64.encode(tag.as_ref()))
    }
}

const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use hotline::config::{Config, LoadFrom};

    use super::*;

    /// The example of the specification's own libraries.
    #[test]
    fn it_signs_as_the_standard_says() {
        let key = BASE64.decode(b"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let to = Config::load(LoadFrom::text("")).unwrap().alerts;
        let post = Post { to: &to, key: hmac::Key::new(hmac::HMAC_SHA256, &key) };
        let signature = post.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", r#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
