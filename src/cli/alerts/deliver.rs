//! `hotline alerts deliver`: follows the published log and sees to it that somebody hears of what cannot wait.
//!
//! A process of its own, like the export: receivers that are slow, away or lying cost the service nothing, and whatever
//! happens to the service is told all the same. What was sent is kept in a file; after a fault an alert may come twice,
//! and none is left out.
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use hotline::audit::{FollowError, published_from};
use hotline::config::Config;
use hotline::sys;
use hotline::tlog::{Store, StoreError};
use hotline::vault::write_private;
use jiff::Timestamp;
use zeroize::Zeroizing;

use super::ledger::{Alert, Ledger, Terms, Way};
use super::{mail, webhook};

/// One sending of one alert.
pub(super) struct Message<'a> {
    pub(super) seq: u64,
    pub(super) alert: &'a Alert,
    pub(super) way: Way,
    pub(super) is_escalation: bool,
    /// How often it went that way before.
    pub(super) sent_before: u32,
    pub(super) overflow: u64,
    /// Name of the log.
    pub(super) log: &'a str,
    pub(super) now_ms: i64,
}

impl Message<'_> {
    /// The same for every try of one sending.
    pub(super) fn id(&self) -> String {
        let escalation = if self.is_escalation { "-escalation" } else { "" };
        format!("{}{escalation}-{}", self.alert.event_id, self.sent_before + 1)
    }
}

struct Ways<'a> {
    webhook: Option<webhook::Post<'a>>,
    mail: Option<mail::Post<'a>>,
}

pub(super) fn run(config: &Config) -> anyhow::Result<()> {
    let (alerts, file) = (&config.alerts, ledger_file(config));
    let terms = Terms::of(alerts);
    let ways = Ways { webhook: webhook::Post::open(alerts)?, mail: mail::Post::open(alerts)? };
    ensure!(
        ways.webhook.is_some() || ways.mail.is_some(),
        "there is nobody to tell: set alerts.webhook_url or alerts.mail_server"
    );
    fs::create_dir_all(file.parent().unwrap_or(&file))?;
    let lock = File::options().create(true).truncate(false).write(true).open(file.with_extension("lock"))?;
    let Some(_lock) = sys::lock_file(lock)? else { bail!("another process delivers alerts from {}", file.display()) };
    let mut ledger = read(&file)?;
    // What happened long before there was anybody to tell is no news.
    let not_before = ledger.is_none().then(|| Timestamp::now() - NEWS_WITHIN).map(|at| at.to_string());
    let store = Store::new(config.paths.tlog_dir());
    loop {
        let now_ms = Timestamp::now().as_millisecond();
        let known = ledger.get_or_insert_default();
        let has_news = match follow(&store, known, &terms, not_before.as_deref(), now_ms) {
            Ok(has_news) => has_news,
            Err(error) => {
                eprintln!("hotline: could not read the published log ({error:#}); trying again");
                false
            }
        };
        let due = known.due(&terms, now_ms);
        for &(seq, way) in due.iter().take(SENDS_AT_ONCE) {
            let Some(alert) = known.open.get(&seq) else { continue };
            let message = Message {
                seq,
                alert,
                way,
                is_escalation: way.is_escalation(),
                sent_before: alert.times(way),
                overflow: known.overflow,
                log: &config.audit.origin,
                now_ms,
            };
            let sent = ways.send(&message);
            if let Err(error) = &sent {
                eprintln!("hotline: alert {seq} did not arrive by {way:?} ({error:#}); trying again");
            }
            known.tried(seq, way, sent.is_ok(), &terms, Timestamp::now().as_millisecond());
        }
        if has_news || !due.is_empty() {
            write(&file, known)?;
        }
        if !has_news {
            thread::sleep(LOOK_EVERY);
        }
    }
}

/// Looks at the next records; tells whether there were any.
fn follow(
    store: &Store,
    ledger: &mut Ledger,
    terms: &Terms,
    not_before: Option<&str>,
    now_ms: i64,
) -> anyhow::Result<bool> {
    let records = match published_from(store, ledger.seq + 1) {
        // What has been disposed of meanwhile is years old.
        Err(FollowError::Store(StoreError::Pruned(pruned))) => {
            ledger.seq = pruned.minimum_index;
            return Ok(true);
        }
        records => records?,
    };
    for record in &records {
        match not_before {
            // Both are written alike, so they compare as they are.
            Some(not_before) if record.timestamp.as_str() < not_before => ledger.seq = record.seq,
            _ => ledger.take(record, terms, now_ms),
        }
    }
    Ok(!records.is_empty())
}

impl Ways<'_> {
    fn send(&self, message: &Message<'_>) -> anyhow::Result<()> {
        match (message.way, &self.webhook, &self.mail) {
            (Way::Webhook | Way::WebhookEscalation, Some(webhook), _) => webhook.send(message),
            (Way::Mail | Way::MailEscalation, _, Some(mail)) => mail.send(message),
            _ => Ok(()),
        }
    }
}

/// The first line of a file that nobody else may read.
pub(super) fn secret(file: &Path) -> anyhow::Result<Zeroizing<String>> {
    let read = || -> io::Result<_> { Ok((fs::metadata(file)?.permissions().mode(), fs::read_to_string(file)?)) };
    let (mode, text) = read().with_context(|| format!("could not read {}", file.display()))?;
    let text = Zeroizing::new(text);
    ensure!(mode & 0o007 == 0, "{} can be read by everybody: chmod o= it", file.display());
    Ok(Zeroizing::new(text.trim().to_owned()))
}

pub(super) fn ledger_file(config: &Config) -> PathBuf {
    config.paths.state_dir.join("alerts/ledger.json")
}

/// None: alerts were never delivered.
pub(super) fn read(file: &Path) -> anyhow::Result<Option<Ledger>> {
    match fs::read(file) {
        Ok(text) => serde_json::from_slice(&text).map(Some).with_context(|| {
            format!("{} is not what this program writes: move it away, and what is open is told anew", file.display())
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("could not read {}", file.display())),
    }
}

fn write(file: &Path, ledger: &Ledger) -> anyhow::Result<()> {
    let text = serde_json::to_vec_pretty(ledger)?;
    write_private(file, &text).with_context(|| format!("could not write {}", file.display()))
}

const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Then the log is looked at again, where acknowledgements may stand.
const SENDS_AT_ONCE: usize = 16;
const NEWS_WITHIN: Duration = Duration::from_secs(86_400);
