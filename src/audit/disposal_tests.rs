//! What is past its time goes, on record; what is not stays; and a crash between any two steps leaves a log in order.
use super::super::retention::STANDSTILL_MS_MAX;
use super::super::standing::DISPOSE;
use super::super::testing::{batch, event, keys};
use super::super::{Batch, Event, FirstBad, LogWriter, Publisher, Report, VerifyError, verify};
use super::*;
use crate::tlog::{Checkpoint, Proof, Signer, Store, Tree, consistency, is_consistent};

const SCRIBE: &str = "scribe-0@00000000000000aa.1";
const NEW: &str = "2031-01-01T00:00:00.000Z";
const NOW: &str = "2031-03-01T00:00:00.000Z";

/// A log in segments of 256 records, with what was published of it.
struct House {
    folder: tempfile::TempDir,
}

impl House {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// Bundles of records of these times, and a few of a late one behind them.
    fn of(times: &[&str]) -> Self {
        let house = Self::new();
        times.iter().for_each(|at| house.write(at, 256));
        house.write(NEW, 3);
        house.publish();
        house
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("audit")
    }

    fn store(&self) -> Store {
        Store::new(self.folder.path().join("tlog"))
    }

    fn open(&self) -> LogWriter {
        LogWriter::open(&self.log(), keys(), 4_096).unwrap().0
    }

    fn write(&self, at: &str, count: usize) {
        let mut writer = self.open();
        write(&mut writer, at, count);
    }

    fn publish(&self) -> u64 {
        fs::create_dir_all(self.store().folder()).unwrap();
        let written = self.open().head().seq;
        let mut publisher = Publisher::open(self.log(), self.store(), signer(), &[]).unwrap();
        while !publisher.follow(written).unwrap() {
            publisher.publish().unwrap();
        }
        publisher.publish().unwrap();
        publisher.published()
    }

    fn due_at(&self, now: &str) -> Result<Option<Due>, DisposalError> {
        let (store, trusted, writer) = (self.store(), [signer().verifier().clone()], self.open());
        let search = Search {
            folder: &self.log(),
            published: PublishedLog { store: &store, keys: &trusted },
            disposed: writer.standing().disposed.as_ref(),
            retention_years: 7,
            now_ms: at_ms_of(now).unwrap(),
            published_seq: writer.head().seq,
        };
        due(&search, &|| false)
    }

    fn due(&self) -> Option<Disposition> {
        self.due_at(NOW).unwrap().map(|due| due.what)
    }

    /// The steps of a disposition, up to the first file.
    fn put_on_record(&self, what: &Disposition) -> Disposed {
        let mut writer = self.open();
        record(&mut writer, what);
        writer.checkpoint().unwrap();
        writer.standing().disposed.clone().unwrap()
    }

    fn dispose(&self) -> Disposed {
        let disposed = self.put_on_record(&self.due().unwrap());
        dispose(&self.log(), &self.store(), &disposed).unwrap();
        disposed
    }

    fn verify(&self) -> Result<Report, VerifyError> {
        let (store, trusted) = (self.store(), [signer().verifier().clone()]);
        let published = Some(PublishedLog { store: &store, keys: &trusted });
        let with_key = verify(&self.log(), Some(&keys()), published);
        let without = verify(&self.log(), None, None);
        assert_eq!(with_key.is_ok(), without.is_ok(), "{with_key:?} {without:?}");
        with_key
    }

    fn bad(&self) -> FirstBad {
        match self.verify() {
            Err(VerifyError::Bad(bad)) => bad,
            other => panic!("{other:?}"),
        }
    }

    fn files(&self) -> Vec<u64> {
        segments(&self.log()).unwrap().iter().map(|segment| segment.first_seq).collect()
    }

    fn bundles(&self) -> Vec<u64> {
        let there = |index| self.store().folder().join(format!("tile/entries/{index:03}")).exists();
        (0..20).filter(|index| there(*index)).collect()
    }

    fn head(&self) -> Checkpoint {
        Checkpoint::open(&self.store().checkpoint().unwrap().unwrap(), signer().verifier()).unwrap()
    }
}

fn signer() -> Signer {
    Signer::new("example.org/audit", &[1; 32]).unwrap()
}

fn write(writer: &mut LogWriter, at: &str, count: usize) {
    let at_ms = at_ms_of(at).unwrap();
    let first_number = writer.durable(SCRIBE) + 1;
    let events = (0..count).map(|_| Event { at_ms, ..event("case.read") }).collect();
    writer.append(&[Batch { source: SCRIBE.to_owned(), first_number, events }]).unwrap();
}

fn record(writer: &mut LogWriter, what: &Disposition) {
    let details = serde_json::to_string(what).unwrap();
    let event = Event { subject: what.subject(), details, at_ms: at_ms_of(NOW).unwrap(), ..event(DISPOSE) };
    let first_number = writer.durable(SCRIBE) + 1;
    writer.append(&[Batch { source: SCRIBE.to_owned(), first_number, events: vec![event] }]).unwrap();
}

const OLD: &str = "2020-05-05T00:00:00.000Z";
const OLDER: &str = "2019-05-05T00:00:00.000Z";

#[test]
fn what_is_past_its_time_goes_and_what_is_left_is_proven_as_before() {
    let house = House::of(&[OLDER, OLD, NEW, NEW]);
    let (before, kept) = (house.head(), house.due().unwrap());
    assert_eq!((kept.first_seq, kept.last_seq, kept.records), (1, 512, 512));
    assert_eq!((&*kept.first_at, &*kept.last_at, kept.retention_years), (OLDER, OLD, 7));
    let disposed = house.dispose();
    assert_eq!(disposed.what, kept);
    assert_eq!((house.files(), house.bundles()), (vec![513, 769, 1_025], vec![2, 3]));
    let report = house.verify().unwrap();
    assert_eq!((report.disposed, report.records, report.published), (512, 516, 1_027));

    house.write(NEW, 300);
    let size = house.publish();
    assert_eq!(house.verify().unwrap().published, size);
    let (store, head) = (house.store(), house.head());
    let path = consistency(&Tree { store: &store, size }, before.size, size).unwrap();
    assert!(is_consistent(before.size, &before.root, size, &head.root, &path), "the old head is still in it");
    for index in [512, 1_000, size - 1] {
        let (entry, proof): (Vec<u8>, Proof) = store.prove(index).unwrap().unwrap();
        assert_eq!(proof.check(&entry, signer().verifier()).as_ref(), Ok(&head));
    }
    for index in [0, 511] {
        let told = store.prove(index).unwrap_err();
        assert!(matches!(&told, StoreError::Pruned(what) if what.since == disposed.at), "{told}");
    }
    assert_eq!(house.due(), None, "once is enough");
}

#[test]
fn dispositions_follow_each_other_also_when_their_records_go_too() {
    let house = House::of(&[OLDER, OLD, NEW]);
    house.dispose();
    // Years later; the record of the first disposition stands among what must be kept, and in the end goes, too.
    (0..3).for_each(|_| house.write(NEW, 256));
    house.publish();
    let later = "2038-02-01T00:00:00.000Z";
    let due = house.due_at(later).unwrap().unwrap();
    assert_eq!((due.what.first_seq, due.what.last_seq), (513, 768));
    let disposed = house.put_on_record(&due.what);
    dispose(&house.log(), &house.store(), &disposed).unwrap();
    assert_eq!(house.verify().unwrap().disposed, 768);
    house.publish();
    let due = house.due_at("2038-06-01T00:00:00.000Z").unwrap().unwrap();
    assert!(due.what.first_seq == 769 && due.what.last_seq >= 1_024, "{due:?}");
    let disposed = house.put_on_record(&due.what);
    dispose(&house.log(), &house.store(), &disposed).unwrap();
    let report = house.verify().unwrap();
    assert_eq!(report.disposed, due.what.last_seq);
    assert_eq!(house.open().standing().disposed_seq(), due.what.last_seq);
}

#[test]
fn a_leap_day_is_kept_through_the_february_that_has_none() {
    let house = House::of(&["2024-02-29T23:00:00.000Z"]);
    for early in ["2031-02-28T23:00:00.001Z", "2031-02-28T23:59:59.999Z"] {
        assert_eq!(house.due_at(early).unwrap(), None, "{early}");
    }
    assert_eq!(house.due_at("2031-03-01T00:00:00.000Z").unwrap().unwrap().what.last_seq, 256);
}

#[test]
fn one_record_that_must_be_kept_keeps_its_segment_and_all_behind_it() {
    let house = House::new();
    house.write(OLD, 256);
    house.write(OLD, 200);
    house.write("2024-03-01T00:00:00.001Z", 1);
    house.write(OLD, 55);
    house.write(OLD, 256);
    house.write(NEW, 1);
    house.publish();
    assert_eq!(house.due().unwrap().last_seq, 256);
    assert_eq!(house.due_at("2031-03-01T00:00:00.001Z").unwrap().unwrap().what.last_seq, 768);
}

#[test]
fn what_is_not_published_or_not_closed_stays() {
    let house = House::of(&[OLD, OLD]);
    let (store, trusted) = (house.store(), [signer().verifier().clone()]);
    let log = house.log();
    let search = |published_seq| Search {
        folder: &log,
        published: PublishedLog { store: &store, keys: &trusted },
        disposed: None,
        retention_years: 7,
        now_ms: at_ms_of(NOW).unwrap(),
        published_seq,
    };
    let last = |published_seq| due(&search(published_seq), &|| false).unwrap().map(|due| due.what.last_seq);
    assert_eq!([0, 255, 256, 257, 512, 513].map(last), [None, None, None, Some(256), Some(256), Some(512)]);
    assert_eq!(due(&search(515), &|| true).unwrap(), None, "whoever is asked to leave decides nothing");
    // All of it is past its time, and the last segment is being written.
    let house = House::new();
    [256, 44].iter().for_each(|count| house.write(OLD, *count));
    house.publish();
    assert_eq!(house.due().unwrap().last_seq, 256);
}

#[test]
fn one_act_is_bounded_and_the_next_goes_on() {
    let house = House::of(&[OLD; SEGMENTS_MAX + 2]);
    let due = house.due_at(NOW).unwrap().unwrap();
    assert_eq!((due.is_bounded, due.what.last_seq), (true, SEGMENTS_MAX as u64 * 256));
    house.dispose();
    let due = house.due_at(NOW).unwrap().unwrap();
    assert_eq!((due.is_bounded, due.what.records), (false, 512));
    house.dispose();
    assert_eq!(house.verify().unwrap().disposed, (SEGMENTS_MAX as u64 + 2) * 256);
}

#[test]
fn segments_of_an_older_build_go_together_up_to_the_end_of_a_bundle() {
    let house = House::of(&[OLD, OLD, NEW]);
    // As such a build cut them: one in the middle of a bundle.
    let files = segments(&house.log()).unwrap();
    let text = fs::read_to_string(&files[0].path).unwrap();
    let cut = text.match_indices('\n').nth(99).unwrap().0 + 1;
    fs::write(Segment::new(&house.log(), 101).path, &text[cut..]).unwrap();
    fs::write(&files[0].path, &text[..cut]).unwrap();
    house.verify().unwrap();
    assert_eq!(house.due().unwrap().last_seq, 512);
    house.dispose();
    assert_eq!(house.files(), [513, 769]);
    house.verify().unwrap();
}

/// The disposition is stopped after each of its steps; the next start goes on.
#[test]
fn a_crash_between_any_two_steps_leaves_a_log_in_order_that_the_next_start_finishes() {
    let steps = {
        let house = House::of(&[OLD, OLD, OLD, NEW]);
        let disposed = house.put_on_record(&house.due().unwrap());
        doomed(&house.log(), disposed.what.last_seq).unwrap().len()
    };
    assert_eq!(steps, 3);
    for crash in 0..=4 + steps {
        let house = House::of(&[OLD, OLD, OLD, NEW]);
        let what = house.due().unwrap();
        if crash > 0 {
            // The record is on disk, and no checkpoint knows of it.
            let mut writer = house.open();
            record(&mut writer, &what);
        }
        if crash > 1 {
            house.open().checkpoint().unwrap();
        }
        if crash > 2 {
            let since = house.open().standing().disposed.clone().unwrap().at;
            house.store().prune(&Pruned { minimum_index: what.last_seq, since }).unwrap();
        }
        if crash > 3 {
            house.store().remove_bundles(0..2).unwrap();
        }
        for path in doomed(&house.log(), what.last_seq).unwrap().iter().take(crash.saturating_sub(4)) {
            fs::remove_file(path).unwrap();
        }
        // Found in order as it is …
        house.verify().unwrap_or_else(|error| panic!("crash {crash}: {error}"));
        // … and by the next start, which knows what is to be done.
        let writer = house.open();
        assert!(writer.is_intact(), "crash {crash}");
        let disposed = writer.standing().disposed.clone();
        drop(writer);
        assert_eq!(disposed.is_some(), crash > 0);
        match disposed {
            Some(disposed) => (0..2).for_each(|_| dispose(&house.log(), &house.store(), &disposed).unwrap()),
            None => drop(house.dispose()),
        }
        assert_eq!((house.files(), house.bundles()), (vec![769, 1_025], vec![3]), "crash {crash}");
        house.write(NEW, 10);
        house.publish();
        assert_eq!(house.verify().unwrap().disposed, 768, "crash {crash}");
    }
}

#[test]
fn what_is_missing_without_a_record_of_it_is_the_first_fault() {
    let house = House::of(&[OLD, OLD, NEW, NEW]);
    let path = |first_seq| Segment::new(&house.log(), first_seq).path;
    fs::remove_file(path(1)).unwrap();
    let bad = house.bad();
    assert!(bad.seq == 1 && bad.reason.contains("records 1 to 256 are missing"), "{bad:?}");

    // More is missing than the record says.
    let house = House::of(&[OLD, OLD, NEW, NEW]);
    house.dispose();
    let path = |first_seq| Segment::new(&house.log(), first_seq).path;
    let next = fs::read(path(513)).unwrap();
    fs::remove_file(path(513)).unwrap();
    let bad = house.bad();
    assert!(bad.seq == 513 && bad.reason.contains("records 513 to 768 are missing"), "{bad:?}");
    // Also to whoever opens the log next.
    fs::write(path(513), next).unwrap();
    house.verify().unwrap();

    // The checkpoint says so and no record does: its record was never on disk.
    let house = House::of(&[OLD, NEW]);
    let disposed = Disposed { at: NOW.to_owned(), record: 515, what: house.due().unwrap() };
    let head = house.open().head().clone();
    let told = super::super::Checkpoint {
        standing: super::super::Standing { disposed: Some(disposed), holds: Vec::new() },
        ..super::super::Checkpoint::at(&head)
    };
    told.vouched(&keys()).write(&house.log()).unwrap();
    fs::remove_file(Segment::new(&house.log(), 1).path).unwrap();
    let bad = house.bad();
    assert!(bad.reason.contains("records 1 to 256 are missing"), "{bad:?}");
}

#[test]
fn a_log_that_is_not_in_order_is_evidence_and_stays() {
    let house = House::of(&[OLD, OLD, NEW]);
    let changed = |path: &Path, from: &str, to: &str| {
        let text = fs::read_to_string(path).unwrap();
        fs::write(path, text.replacen(from, to, 1)).unwrap();
        let outcome = house.due_at(NOW);
        fs::write(path, text).unwrap();
        outcome.unwrap_err().to_string()
    };
    let first = Segment::new(&house.log(), 1).path;
    assert!(changed(&first, "case.read", "case.edit").contains("changed"));
    let bundle = house.store().folder().join("tile/entries/001");
    assert!(changed(&bundle, "case.read", "case.edit").contains("tile/entries/001"));
    let away = house.log().join("away");
    fs::rename(Segment::new(&house.log(), 257).path, &away).unwrap();
    assert!(house.due_at(NOW).unwrap_err().to_string().contains("begin where"));
    fs::rename(&away, Segment::new(&house.log(), 257).path).unwrap();
    assert_eq!(house.due().unwrap().last_seq, 512);
}

#[test]
fn nothing_goes_that_no_segment_follows() {
    let house = House::of(&[OLD, NEW]);
    let disposed = house.put_on_record(&house.due().unwrap());
    fs::rename(Segment::new(&house.log(), 257).path, house.log().join("away")).unwrap();
    let told = dispose(&house.log(), &house.store(), &disposed).unwrap_err().to_string();
    assert!(told.contains("no segment begins with record 257"), "{told}");
    assert!(Segment::new(&house.log(), 1).path.exists());
}

#[test]
fn what_a_crash_once_cut_off_goes_with_its_segment() {
    let house = House::of(&[OLD, NEW]);
    let aside = |seq| house.log().join(format!("{seq:020}.trimmed-1700000000000"));
    [1, 257].iter().for_each(|seq| fs::write(aside(*seq), "torn").unwrap());
    house.dispose();
    assert_eq!([1, 257].map(|seq| aside(seq).exists()), [false, true]);
}

#[test]
fn lost_tiles_are_made_again_behind_what_is_disposed_of() {
    let house = House::of(&[OLD, OLD, NEW, NEW]);
    house.dispose();
    house.publish();
    let before = house.head();
    for tile in ["tile/0/004.p", "tile/1/000.p", "tile/entries/004.p"] {
        fs::remove_dir_all(house.store().folder().join(tile)).unwrap();
    }
    house.write(NEW, 5);
    house.publish();
    let report = house.verify().unwrap();
    assert_eq!(report.published, before.size + 5);
    let path = consistency(&Tree { store: &house.store(), size: report.published }, before.size, report.published);
    assert!(is_consistent(before.size, &before.root, report.published, &house.head().root, &path.unwrap()));
}

#[test]
fn a_clock_that_jumped_is_not_believed_in_this_life_or_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let open = || LogWriter::open(folder.path(), keys(), 1 << 20).unwrap().0;
    let now = i64::try_from(crate::lifecycle::clock::now_ms()).unwrap();
    let mut writer = open();
    assert!(writer.believes(now) && writer.believes(now + STANDSTILL_MS_MAX));
    let far = now + 2 * STANDSTILL_MS_MAX + 10_000_000;
    assert!(!writer.believes(far));
    // Records of that time do not make it true.
    writer.append(&[Batch { events: vec![Event { at_ms: far, ..event("a") }], ..batch(SCRIBE, 1, 0) }]).unwrap();
    writer.checkpoint().unwrap();
    drop(writer);
    let mut writer = open();
    assert!(!writer.believes(far));
    writer.trust_clock(far);
    assert!(writer.believes(far + 1));
}

#[test]
fn a_log_that_stood_still_waits_for_somebody_who_knows_the_day() {
    let folder = tempfile::tempdir().unwrap();
    let open = || LogWriter::open(folder.path(), keys(), 1 << 20).unwrap().0;
    let now = i64::try_from(crate::lifecycle::clock::now_ms()).unwrap();
    let mut writer = open();
    write(&mut writer, OLD, 3);
    drop(writer);
    let mut writer = open();
    assert!(!writer.believes(now));
    // What it writes itself when it starts does not help, and neither does another start.
    writer.append(&[Batch { events: vec![Event { at_ms: now, ..event("a") }], ..batch(SCRIBE, 4, 0) }]).unwrap();
    writer.checkpoint().unwrap();
    drop(writer);
    let mut writer = open();
    assert!(!writer.believes(now));
    writer.trust_clock(now);
    writer.checkpoint().unwrap();
    drop(writer);
    assert!(open().believes(now));
}

#[test]
fn holds_outlast_starts_with_and_without_a_checkpoint_that_knows_of_them() {
    use super::super::standing::{HOLD, RELEASE};
    let house = House::new();
    let act = |writer: &mut LogWriter, action: &str, subject: &str| {
        let event = Event { subject: subject.to_owned(), ..event(action) };
        let first_number = writer.durable(SCRIBE) + 1;
        writer.append(&[Batch { source: SCRIBE.to_owned(), first_number, events: vec![event] }]).unwrap();
    };
    let held = || house.open().standing().holds.iter().map(|hold| hold.seq).collect::<Vec<_>>();
    let mut writer = house.open();
    act(&mut writer, "case.read", "");
    act(&mut writer, HOLD, "audit");
    drop(writer);
    assert_eq!(held(), [2], "no checkpoint knew");
    assert_eq!(held(), [2], "now one does");
    let mut writer = house.open();
    act(&mut writer, HOLD, "audit");
    act(&mut writer, RELEASE, "hold/2");
    writer.checkpoint().unwrap();
    drop(writer);
    assert_eq!(held(), [3]);
    house.publish();
    assert_eq!(house.verify().unwrap().holds, 1);
    // Whoever changes what the checkpoint tells of holds is found out: by its code, and by the records.
    let told = super::super::Checkpoint::read(&house.log()).unwrap().unwrap();
    let forged = super::super::Checkpoint { standing: super::super::Standing::default(), ..told };
    forged.write(&house.log()).unwrap();
    assert!(verify(&house.log(), Some(&keys()), None).is_err());
    forged.vouched(&keys()).write(&house.log()).unwrap();
    let told = verify(&house.log(), Some(&keys()), None).unwrap_err().to_string();
    assert!(told.contains("other legal holds"), "{told}");
}
