//! The desk keeps its log: what operators want is on record or refused, and what is past its time goes when it may.
#![allow(clippy::unwrap_used)]
use std::fs;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use hotline::audit::disposal::{self, Search};
use hotline::audit::standing::DISPOSE;
use hotline::audit::{
    AuditKeys, Batch, Event, EventType, LogWriter, Outcome, PublishedLog, Publisher, Report, Severity, segments, verify,
};
use hotline::board::Board;
use hotline::lifecycle::clock;
use hotline::tlog::{Signer, Store};
use hotline::wire::{AdminReply, KeyBytes, LogAct, LogKeeping};
use hotline_scribe::{Custody, Desk, Herald, Inbox, Keeper, Note, Stop, Told};

const EIGHT_YEARS_MS: i64 = 8 * 366 * 86_400_000;

struct House {
    folder: tempfile::TempDir,
    listener: UnixListener,
    board: Board,
}

/// A desk at work, from the side of those who want something of it.
struct Operator<'a> {
    inbox: Inbox,
    told: Receiver<Told>,
    keeping: LogKeeping,
    house: &'a House,
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("scribe.sock")).unwrap();
        let (board, _fd) = Board::create(1).unwrap();
        fs::create_dir(folder.path().join("tlog")).unwrap();
        Self { folder, listener, board }
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("audit")
    }

    fn custody(&self) -> Custody {
        let store = Store::new(self.folder.path().join("tlog"));
        Custody { folder: self.log(), store, trusted: vec![signer().verifier().clone()], retention_years: 7 }
    }

    fn open(&self) -> LogWriter {
        LogWriter::open(&self.log(), keys(), 4_096).unwrap().0
    }

    /// Records of that age, by a log that was at work then.
    fn write(&self, age_ms: i64, count: usize) {
        let at_ms = now_ms() - age_ms;
        let mut log = self.open();
        append(&mut log, vec![Event { at_ms, ..event("case.read") }; count]);
        log.trust_clock(at_ms);
        log.checkpoint().unwrap();
    }

    fn publish(&self) {
        let durable = self.open().head().seq;
        let mut publisher = Publisher::open(self.log(), self.custody().store, signer(), &[]).unwrap();
        publisher.follow(durable).unwrap();
        publisher.publish().unwrap();
    }

    /// Runs a scribe while `meanwhile` does.
    fn with_scribe<T>(&self, life: u32, is_unfinished: bool, meanwhile: impl FnOnce(&mut Operator<'_>) -> T) -> T {
        let (stop, inbox) = (Stop::new().unwrap(), Inbox::new().unwrap());
        let (tell, told) = channel();
        let source = format!("scribe-0@00000000000000aa.{life}");
        let (writer, custody) = (self.open(), self.custody());
        let (log, store, listener) = (self.log(), custody.store.clone(), self.listener.try_clone().unwrap());
        let notes = inbox.clone();
        thread::scope(|threads| {
            threads.spawn(|| {
                let mut desk = Desk::new(listener, writer, self.board.cell(0), source).unwrap();
                let open = move || Publisher::open(log.clone(), store.clone(), signer(), &[]);
                desk.publish_by(Herald::start(open, Duration::from_millis(1)).unwrap());
                let keeper = Keeper::new(custody, notes, Box::new(move |told| drop(tell.send(told))));
                desk.keep_by(if is_unfinished { keeper.is_unfinished() } else { keeper });
                desk.report([event("audit.started")]);
                desk.serve(&stop);
                desk.leave(&stop);
            });
            let mut operator = Operator { inbox, told, keeping: LogKeeping::default(), house: self };
            let result = meanwhile(&mut operator);
            stop.ask(Duration::from_secs(60));
            result
        })
    }

    fn verified(&self) -> Report {
        let custody = self.custody();
        let published = PublishedLog { store: &custody.store, keys: &custody.trusted };
        verify(&self.log(), Some(&keys()), Some(published)).unwrap()
    }

    fn begins_with(&self) -> u64 {
        segments(&self.log()).unwrap()[0].first_seq
    }
}

impl Operator<'_> {
    fn ask(&mut self, act: LogAct) -> Result<String, String> {
        assert!(self.inbox.put(Note::Asked { request_id: 7, act, uid: 1_000 }));
        loop {
            match self.told.recv().unwrap() {
                Told::Keeping(keeping) => self.keeping = keeping,
                Told::Reply { request_id: 7, reply: AdminReply::Done { what } } => return Ok(what),
                Told::Reply { request_id: 7, reply: AdminReply::Refused { reason } } => return Err(reason),
                Told::Reply { .. } => panic!("an answer to somebody else"),
            }
        }
    }

    fn hold(&mut self) -> Result<String, String> {
        self.ask(LogAct::Hold { reason: "a matter".to_owned() })
    }

    fn release(&mut self) -> Result<String, String> {
        self.ask(LogAct::Release { hold: None, reason: "settled".to_owned() })
    }

    /// Waits until the desk tells that this is so.
    fn until(&mut self, is_so: impl Fn(&LogKeeping) -> bool) {
        while !is_so(&self.keeping) {
            if let Told::Keeping(keeping) = self.told.recv().unwrap() {
                self.keeping = keeping;
            }
        }
    }

    fn until_the_log_begins_with(&self, seq: u64) {
        while self.house.begins_with() != seq {
            thread::yield_now();
        }
    }
}

fn keys() -> AuditKeys {
    AuditKeys::new(vec![KeyBytes { version: 1, bytes: [7; 32] }]).unwrap()
}

fn signer() -> Signer {
    Signer::new("example.org/audit", &[1; 32]).unwrap()
}

fn now_ms() -> i64 {
    i64::try_from(clock::now_ms()).unwrap()
}

fn append(log: &mut LogWriter, events: Vec<Event>) {
    let source = "scribe-0@00000000000000aa.1".to_owned();
    let first_number = log.durable(&source) + 1;
    log.append(&[Batch { source, first_number, events }]).unwrap();
}

fn event(action: &str) -> Event {
    Event {
        event_type: EventType::SystemChange,
        severity: Severity::Low,
        outcome: Outcome::Allowed,
        at_ms: now_ms(),
        action: action.to_owned(),
        actor: "system".to_owned(),
        subject: "audit".to_owned(),
        request_id: String::new(),
        details: "{}".to_owned(),
        contains_phi: false,
        affects_financials: false,
    }
}

#[test]
fn what_a_hold_kept_goes_when_the_last_one_is_released() {
    let house = House::new();
    house.write(EIGHT_YEARS_MS, 256);
    // Since then out of service: nothing goes before it is held.
    house.with_scribe(2, false, |operator| {
        operator.until(|keeping| keeping.impediment.is_some());
        operator.hold().unwrap();
        operator.until(|keeping| keeping.holds.len() == 1 && keeping.holds[0].by == "uid:1000");
    });
    let mut log = house.open();
    log.trust_clock(now_ms());
    log.checkpoint().unwrap();
    drop(log);
    house.with_scribe(3, false, |operator| {
        let second = operator.hold().unwrap();
        assert!(operator.release().unwrap_err().contains("which"), "{second}");
        let which = |operator: &Operator<'_>| Some(operator.keeping.holds[0].seq);
        operator.until(|keeping| keeping.holds.len() == 2);
        let act = LogAct::Release { hold: which(operator), reason: "settled".to_owned() };
        assert!(operator.ask(act).unwrap().contains("1 hold left"));
        assert_eq!(house.begins_with(), 1);
        assert!(operator.release().unwrap().contains("0 holds left"));
        operator.until(|keeping| keeping.disposed == 256);
        operator.until_the_log_begins_with(257);
        assert!(operator.release().unwrap_err().contains("no hold"));
    });
    assert_eq!((house.verified().disposed, house.verified().holds), (256, 0));
}

#[test]
fn an_act_that_cannot_be_put_on_record_is_refused_and_not_done_later() {
    let house = House::new();
    house.write(0, 254);
    house.with_scribe(2, false, |operator| {
        // With the start of the scribe, the 256th: what comes next begins a segment, for which the folder must be there.
        operator.hold().unwrap();
        let away = house.folder.path().join("away");
        fs::rename(house.log(), &away).unwrap();
        let refused = operator.hold().unwrap_err();
        assert!(refused.contains("cannot be written"), "{refused}");
        fs::rename(&away, house.log()).unwrap();
        operator.hold().unwrap();
        assert!(!house.board.cell(0).is_degraded());
        operator.until(|keeping| keeping.holds.len() == 2);
    });
    assert_eq!(house.verified().holds, 2);
}

#[test]
fn what_could_not_be_removed_is_removed_later_without_another_record() {
    let house = House::new();
    house.write(EIGHT_YEARS_MS, 256);
    house.write(0, 3);
    house.publish();
    let custody = house.custody();
    let search = Search {
        folder: &house.log(),
        published: PublishedLog { store: &custody.store, keys: &custody.trusted },
        disposed: None,
        retention_years: 7,
        now_ms: now_ms(),
        published_seq: 259,
    };
    let what = disposal::due(&search, &|| false).unwrap().unwrap().what;
    let mut log = house.open();
    let details = serde_json::to_string(&what).unwrap();
    append(&mut log, vec![Event { subject: what.subject(), details, ..event(DISPOSE) }]);
    let disposed = log.standing().disposed.clone().unwrap();
    drop(log);
    // A folder stands where a file should.
    let bundle = custody.store.folder().join("tile/entries/000");
    fs::remove_file(&bundle).unwrap();
    fs::create_dir(&bundle).unwrap();
    assert!(disposal::dispose(&custody.folder, &custody.store, &disposed).is_err());
    house.with_scribe(2, true, |operator| operator.until(|keeping| keeping.impediment.is_some()));
    assert_eq!(house.begins_with(), 1);
    fs::remove_dir(&bundle).unwrap();
    house.with_scribe(3, true, |operator| operator.until_the_log_begins_with(257));
    let log = house.open();
    assert_eq!(log.standing().disposed.as_ref(), Some(&disposed));
    drop(log);
    assert_eq!(house.verified().disposed, 256);
}
