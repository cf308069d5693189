//! Who is told at once when something in the audit log cannot wait.
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::reader::Reader;
use crate::audit::Severity;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alerts {
    /// Records at least as severe are alerts.
    pub severity_min: Severity,
    /// What is alike within this time is one alert.
    pub group_seconds: u64,
    /// An alert is sent again after this time until somebody has acknowledged it.
    pub repeat_seconds: u64,
    /// An alert that nobody has acknowledged by then goes to the escalation's addresses, too.
    pub escalate_seconds: u64,
    pub webhook_url: String,
    pub webhook_escalation_url: String,
    pub webhook_secret_file: Option<PathBuf>,
    pub webhook_ca_file: Option<PathBuf>,
    pub mail_server: String,
    pub mail_from: String,
    pub mail_to: Vec<String>,
    pub mail_escalation_to: Vec<String>,
    pub mail_user: String,
    pub mail_password_file: Option<PathBuf>,
    pub mail_ca_file: Option<PathBuf>,
}

pub(super) fn alerts(read: &mut Reader) -> Alerts {
    let severities = [
        ("LOW", Severity::Low),
        ("MEDIUM", Severity::Medium),
        ("HIGH", Severity::High),
        ("CRITICAL", Severity::Critical),
    ];
    let alerts = Alerts {
        severity_min: read.choice("alerts.severity_min", Severity::Critical, &severities),
        group_seconds: read.number("alerts.group_seconds", 300, 1..=86_400),
        repeat_seconds: read.number("alerts.repeat_seconds", 900, 1..=604_800),
        escalate_seconds: read.number("alerts.escalate_seconds", 1_800, 1..=604_800),
        webhook_url: read.text("alerts.webhook_url", ""),
        webhook_escalation_url: read.text("alerts.webhook_escalation_url", ""),
        webhook_secret_file: read.path("alerts.webhook_secret_file"),
        webhook_ca_file: file(read, "alerts.webhook_ca_file"),
        mail_server: read.text("alerts.mail_server", ""),
        mail_from: read.text("alerts.mail_from", ""),
        mail_to: read.list("alerts.mail_to"),
        mail_escalation_to: read.list("alerts.mail_escalation_to"),
        mail_user: read.text("alerts.mail_user", ""),
        mail_password_file: read.path("alerts.mail_password_file"),
        mail_ca_file: file(read, "alerts.mail_ca_file"),
    };
    check_webhook(read, &alerts);
    check_mail(read, &alerts);
    alerts
}

fn check_webhook(read: &mut Reader, alerts: &Alerts) {
    let Alerts { webhook_url: url, webhook_escalation_url: second, .. } = alerts;
    for (key, url) in [("alerts.webhook_url", url), ("alerts.webhook_escalation_url", second)] {
        if !url.is_empty() && url.strip_prefix("https://").is_none_or(str::is_empty) {
            read.mistake(key, "must be an https address, such as \"https://alerts.example.org/hotline\"");
        }
    }
    if url.is_empty() && !second.is_empty() {
        read.mistake("alerts.webhook_escalation_url", "needs alerts.webhook_url beside it");
    }
    if !url.is_empty() && alerts.webhook_secret_file.is_none() {
        let remedy =
            "name the file that holds the secret which signs what is posted: \"whsec_\" and 24 to 64 bytes in base64";
        read.mistake("alerts.webhook_secret_file", remedy);
    }
}

fn check_mail(read: &mut Reader, alerts: &Alerts) {
    let Alerts { mail_server: server, mail_from: from, mail_to: to, mail_escalation_to: second, .. } = alerts;
    let addresses = std::iter::once(("alerts.mail_from", from))
        .filter(|_| !server.is_empty())
        .chain(to.iter().map(|to| ("alerts.mail_to", to)))
        .chain(second.iter().map(|to| ("alerts.mail_escalation_to", to)));
    for (key, address) in addresses.filter(|(_, address)| !is_address(address)) {
        read.mistake(key, format!("{address:?} must be a bare mail address, such as \"hotline@example.org\""));
    }
    if server.is_empty() {
        if !to.is_empty() {
            read.mistake("alerts.mail_to", "needs alerts.mail_server beside it, such as \"mail.example.org:465\"");
        }
        return;
    }
    if !server.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok()) {
        let remedy = "must be a host and a port that speaks TLS at once, such as \"mail.example.org:465\"";
        read.mistake("alerts.mail_server", remedy);
    }
    if to.is_empty() {
        read.mistake("alerts.mail_to", "name who is to have the alerts, such as [\"oncall@example.org\"]");
    }
    if alerts.mail_user.is_empty() != alerts.mail_password_file.is_none() {
        read.mistake("alerts.mail_user", "goes together with alerts.mail_password_file");
    }
}

/// Only the form: whether somebody reads there, sending tells.
fn is_address(text: &str) -> bool {
    let plain = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>,;:\"()@".contains(&byte))
    };
    text.len() <= 254 && text.split_once('@').is_some_and(|(name, domain)| plain(name) && plain(domain))
}

fn file(read: &mut Reader, key: &str) -> Option<PathBuf> {
    let file = read.path(key)?;
    if !Path::new(&file).is_file() {
        read.mistake(key, "there is no such file");
    }
    Some(file)
}

#[cfg(test)]
mod tests {
    use super::super::{Config, LoadFrom};

    fn mistakes(text: &str) -> Vec<String> {
        let errors = Config::load(LoadFrom::text(text)).map(drop).expect_err(text);
        errors.0.into_iter().map(|mistake| mistake.key).collect()
    }

    #[test]
    fn what_would_reach_nobody_is_named() {
        assert_eq!(mistakes("[alerts]\nwebhook_url = \"http://a.example\"").len(), 2);
        assert_eq!(mistakes("[alerts]\nwebhook_url = \"https://a.example\""), ["alerts.webhook_secret_file"]);
        assert_eq!(mistakes("[alerts]\nmail_to = [\"a@b.example\"]"), ["alerts.mail_to"]);
        let mail = "[alerts]\nmail_server = \"m.example\"\nmail_from = \"A <a@b.example>\"\nmail_user = \"a\"";
        assert_eq!(mistakes(mail), ["alerts.mail_from", "alerts.mail_server", "alerts.mail_to", "alerts.mail_user"]);
        assert_eq!(mistakes("[alerts]\nseverity_min = \"LOUD\""), ["alerts.severity_min"]);
    }

    #[test]
    fn without_addresses_there_is_nothing_to_complain_of() {
        let alerts = Config::load(LoadFrom::text("")).unwrap().alerts;
        assert!(alerts.webhook_url.is_empty() && alerts.mail_server.is_empty());
    }
}
