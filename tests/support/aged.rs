//! A service that has been running for years, before a test begins: its keys, its audit log and what was published of it,
//! made by the very code that makes them in the service, with the times that records of those years have.
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use hotline::audit::{AuditKeys, Batch, Event, EventType, LogWriter, Outcome, Publisher, Severity};
use hotline::config::{Config, LoadFrom};
use hotline::lifecycle::clock;
use hotline::tlog::{Signer, Store};
use hotline::vault::{KeyClass, Keyring};
use tempfile::TempDir;

/// The folder of such a service, for `Hotline::start_in`.
pub struct AgedHouse {
    pub folder: TempDir,
}

impl AgedHouse {
    pub fn new() -> Self {
        let folder = TempDir::with_prefix("hotline-").unwrap();
        DirBuilder::new().mode(0o700).create(folder.path().join("state")).unwrap();
        Self { folder }
    }

    fn state_dir(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn keyring(&self) -> Keyring {
        let config = Config::load(LoadFrom::text("")).unwrap();
        Keyring::open_or_create(&self.state_dir(), &config.keys, clock::now_ms()).unwrap()
    }

    /// Records of that age, in a segment of their own where they fill one: 256 do.
    pub fn write(self, days_ago: u64, records: usize) -> Self {
        let at_ms = i64::try_from(clock::now_ms() - days_ago * 86_400_000).unwrap();
        let event = Event {
            event_type: EventType::DataAccess,
            severity: Severity::Low,
            outcome: Outcome::Allowed,
            at_ms,
            action: "case.read".to_owned(),
            actor: "4f7a".to_owned(),
            subject: "case/17".to_owned(),
            request_id: "r-1".to_owned(),
            details: "{}".to_owned(),
            contains_phi: false,
            affects_financials: false,
        };
        self.append(vec![event; records])
    }

    /// As a scribe of those years wrote it.
    pub fn append(self, events: Vec<Event>) -> Self {
        let mut log = self.log();
        let first_number = log.durable(SOURCE) + 1;
        // It was at work all the time, and had no reason to doubt the clock of its day.
        log.trust_clock(events.last().unwrap().at_ms);
        log.append(&[Batch { source: SOURCE.to_owned(), first_number, events }]).unwrap();
        log.checkpoint().unwrap();
        drop(log);
        self
    }

    fn log(&self) -> LogWriter {
        let keys = AuditKeys::new(self.keyring().unwrap(KeyClass::Audit).unwrap()).unwrap();
        LogWriter::open(&self.state_dir().join("audit"), keys, 4_096).unwrap().0
    }

    /// Publishes what is there; gives the signed head, which somebody may have kept.
    pub fn publish(&self) -> String {
        let store = Store::new(self.state_dir().join("tlog"));
        fs::create_dir_all(store.folder()).unwrap();
        let seed = self.keyring().unwrap(KeyClass::LogSigning).unwrap().swap_remove(0);
        let signer = Signer::new("localhost/hotline", &seed.bytes).unwrap();
        let durable = self.log().head().seq;
        let mut publisher = Publisher::open(self.state_dir().join("audit"), store.clone(), signer, &[]).unwrap();
        while !publisher.follow(durable).unwrap() {
            publisher.publish().unwrap();
        }
        publisher.publish().unwrap();
        store.checkpoint().unwrap().unwrap()
    }
}

const SOURCE: &str = "scribe-0@00000000000000aa.1";
