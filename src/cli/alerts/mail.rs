//! Alerts as mail, over TLS from the first byte.
use std::fs;
use std::time::Duration;

use anyhow::Context as _;
use hotline::config::Alerts;
use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{Message as Letter, SmtpTransport, Transport as _};

use super::deliver::{Message, secret};

pub(super) struct Post<'a> {
    to: &'a Alerts,
    transport: SmtpTransport,
}

impl<'a> Post<'a> {
    /// `None`: nobody is to be told this way.
    pub(super) fn open(to: &'a Alerts) -> anyhow::Result<Option<Self>> {
        if to.mail_server.is_empty() {
            return Ok(None);
        }
        let (host, port) = to.mail_server.rsplit_once(':').context("alerts.mail_server has no port")?;
        let mut tls = TlsParameters::builder(host.to_owned());
        if let Some(file) = &to.mail_ca_file {
            let pem = fs::read(file).with_context(|| format!("could not read {}", file.display()))?;
            let pem = Certificate::from_pem(&pem).with_context(|| format!("{} holds no authority", file.display()))?;
            tls = tls.certificate_store(CertificateStore::None).add_root_certificate(pem);
        }
        let mut transport = SmtpTransport::builder_dangerous(host)
            .port(port.parse().context("alerts.mail_server has no port")?)
            .tls(Tls::Wrapper(tls.build_rustls().context("no TLS for mail")?))
            .timeout(Some(PATIENCE));
        if let Some(file) = &to.mail_password_file {
            transport = transport.credentials(Credentials::new(to.mail_user.clone(), secret(file)?.to_string()));
        }
        Ok(Some(Self { to, transport: transport.build() }))
    }

    pub(super) fn send(&self, message: &Message<'_>) -> anyhow::Result<()> {
        let alert = message.alert;
        let to = if message.is_escalation { &self.to.mail_escalation_to } else { &self.to.mail_to };
        let subject = match message.sent_before {
            0 => format!("[hotline] {}: {} ({})", alert.severity.name(), alert.action, alert.outcome.name()),
            again => {
                format!("[hotline] {}: {}, not acknowledged yet ({again} before)", alert.severity.name(), alert.action)
            }
        };
        let mut letter = Letter::builder()
            .from(self.to.mail_from.parse()?)
            .subject(subject)
            .message_id(Some(format!("<{}@{}>", message.id(), message.log.replace('/', "."))))
            .header(ContentType::TEXT_PLAIN);
        for to in to {
            letter = letter.to(to.parse()?);
        }
        let letter = letter.body(format!(
            "{} records like this, from {} to {}, in the log {}.\n\n  first      {}\n  severity   {}\n  action     {}\n  \
             outcome    {}\n  event      {}\n\nWho and what it is about stands in the log alone:\n  \
             hotline audit prove {}\nWhoever looks after it says so, and this is not sent again:\n  \
             hotline alerts acknowledge {}\n",
            alert.records,
            message.seq,
            alert.last_seq,
            message.log,
            alert.timestamp,
            alert.severity.name(),
            alert.action,
            alert.outcome.name(),
            alert.event_id,
            message.seq,
            message.seq,
        ))?;
        self.transport.send(&letter)?;
        Ok(())
    }
}

const PATIENCE: Duration = Duration::from_secs(10);
