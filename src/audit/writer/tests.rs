//! What the log promises: every change is found, nothing complete is lost, nothing is written twice.
use std::fs;

use proptest::prelude::*;

use super::super::testing::{SOURCE, batch, keys, open};
use super::super::{FirstBad, VerifyError, segments, tail, verify};
use super::*;

/// A log of `records`, with a checkpoint over the first `vouched`, closed as by a crash.
fn log_of(folder: &Path, records: usize, vouched: usize) -> PathBuf {
    let mut writer = open(folder);
    writer.append(&[batch(SOURCE, 1, vouched)]).unwrap();
    writer.checkpoint().unwrap();
    writer.append(&[batch(SOURCE, vouched as u64 + 1, records - vouched)]).unwrap();
    segments(folder).unwrap()[0].path.clone()
}

fn first_bad(folder: &Path) -> FirstBad {
    match verify(folder, None, None) {
        Err(VerifyError::Bad(bad)) => bad,
        Err(other) => panic!("{other}"),
        Ok(report) => panic!("found in order: {report:?}"),
    }
}

#[test]
fn a_log_is_in_order_with_and_without_the_key() {
    let folder = tempfile::tempdir().unwrap();
    log_of(folder.path(), 5, 5);
    let report = verify(folder.path(), None, None).unwrap();
    assert_eq!((report.records, report.checkpoint_seq, report.checkpoint_authenticated), (5, 5, false));
    assert!(verify(folder.path(), Some(&keys()), None).unwrap().checkpoint_authenticated);
    let other = AuditKeys::new(vec![crate::wire::KeyBytes { version: 1, bytes: [8; 32] }]).unwrap();
    assert!(
        matches!(verify(folder.path(), Some(&other), None), Err(VerifyError::Bad(bad)) if bad.file == "checkpoint")
    );
}

#[test]
fn details_are_sealed_and_open_only_in_their_record() {
    let folder = tempfile::tempdir().unwrap();
    let path = log_of(folder.path(), 2, 2);
    assert!(!fs::read_to_string(&path).unwrap().contains("landlord"));
    let shown = tail(folder.path(), 10, Some(&keys())).unwrap();
    assert_eq!(shown.len(), 2);
    assert_eq!(shown[1]["details"]["words"], "landlord");
    assert!(tail(folder.path(), 1, None).unwrap()[0]["details"].is_string());

    let text = fs::read_to_string(&path).unwrap();
    let mut records = text.lines().map(|line| serde_json::from_str::<Record>(line).unwrap());
    let (mut first, second) = (records.next().unwrap(), records.next().unwrap());
    assert_eq!(&*keys().open(&first).unwrap(), br#"{"words":"landlord"}"#);
    first.details = second.details;
    assert!(keys().open(&first).is_err(), "details moved to another record opened");
}

#[test]
fn removed_repeated_and_moved_records_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = log_of(folder.path(), 6, 6);
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<_> = text.split_inclusive('\n').collect();
    let bad_with = |lines: &[&str]| {
        fs::write(&path, lines.concat()).unwrap();
        let bad = first_bad(folder.path());
        (bad.line, bad.seq)
    };
    assert_eq!(bad_with(&[lines[0], lines[1], lines[3], lines[4], lines[5]]), (3, 3));
    assert_eq!(bad_with(&[lines[0], lines[1], lines[1], lines[2], lines[3], lines[4], lines[5]]), (3, 3));
    assert_eq!(bad_with(&[lines[0], lines[2], lines[1], lines[3], lines[4], lines[5]]), (2, 2));
    assert_eq!(bad_with(&lines[..5]), (5, 6));
    assert_eq!(bad_with(&[]), (0, 1));
}

#[test]
fn a_forged_record_with_a_good_hash_breaks_the_chain() {
    let folder = tempfile::tempdir().unwrap();
    let path = log_of(folder.path(), 3, 3);
    let text = fs::read_to_string(&path).unwrap();
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    let mut record: Record = serde_json::from_str(&lines[1]).unwrap();
    record.actor = "somebody else".to_owned();
    record.hash = record.computed_hash();
    lines[1] = record.canonical();
    fs::write(&path, lines.join("\n") + "\n").unwrap();
    assert_eq!(first_bad(folder.path()).seq, 3);
    // A chain rewritten to its end still contradicts the checkpoint.
    let mut last: Record = serde_json::from_str(&lines[2]).unwrap();
    last.prev_hash = record.hash;
    last.hash = last.computed_hash();
    lines[2] = last.canonical();
    fs::write(&path, lines.join("\n") + "\n").unwrap();
    assert!(first_bad(folder.path()).reason.contains("vouches"));
}

#[test]
fn what_is_sent_twice_is_written_once_even_across_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = open(folder.path());
    assert_eq!(writer.append(&[batch(SOURCE, 1, 3), batch(SOURCE, 2, 4)]).unwrap(), 5);
    assert_eq!(writer.durable(SOURCE), 5);
    drop(writer);
    let mut writer = open(folder.path());
    assert_eq!(writer.durable(SOURCE), 5);
    assert_eq!(writer.append(&[batch(SOURCE, 4, 3)]).unwrap(), 1);
    writer.checkpoint().unwrap();
    drop(writer);
    // Of a later start of the service, while a worker of the former one is still leaving.
    let mut writer = open(folder.path());
    assert_eq!(writer.append(&[batch("scribe-0@00000000000000bb.1", 1, 1)]).unwrap(), 1);
    assert_eq!(writer.append(&[batch(SOURCE, 6, 2)]).unwrap(), 1);
    assert_eq!(verify(folder.path(), None, None).unwrap().records, 8);
}

#[test]
fn only_one_process_writes() {
    let folder = tempfile::tempdir().unwrap();
    let _writer = open(folder.path());
    assert!(matches!(LogWriter::open(folder.path(), keys(), 1), Err(WriterError::Locked)));
}

#[test]
fn a_full_disk_costs_nothing_but_time() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = open(folder.path());
    writer.append(&[batch(SOURCE, 1, 2)]).unwrap();
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let file = std::mem::replace(&mut writer.file, full);
    assert!(matches!(writer.append(&[batch(SOURCE, 3, 2)]), Err(WriterError::Write(_))));
    assert_eq!((writer.durable(SOURCE), writer.head().seq), (2, 2));
    // As if half of it had reached the file before it failed.
    file.write_all_at(b"{\"action\":\"ca", writer.length).unwrap();
    writer.file = file;
    assert_eq!(writer.append(&[batch(SOURCE, 3, 1)]).unwrap(), 1);
    assert_eq!(verify(folder.path(), None, None).unwrap().records, 3);
}

#[test]
fn what_a_full_segment_took_counts_though_the_next_one_cannot_begin() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let (mut writer, _) = LogWriter::open(&log, keys(), 1_500).unwrap();
    writer.append(&[batch(SOURCE, 1, 250)]).unwrap();
    let away = folder.path().join("away");
    fs::rename(&log, &away).unwrap();
    assert!(matches!(writer.append(&[batch(SOURCE, 251, 10)]), Err(WriterError::Write(_))));
    assert_eq!((writer.durable(SOURCE), writer.head().seq), (256, 256));
    fs::rename(&away, &log).unwrap();
    assert_eq!(writer.append(&[batch(SOURCE, 251, 10)]).unwrap(), 4);
    assert_eq!(verify(&log, None, None).unwrap().records, 260);
}

#[test]
fn segments_follow_each_other_and_a_missing_one_is_missed() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, _) = LogWriter::open(folder.path(), keys(), 1_500).unwrap();
    // Whatever comes at once, a segment ends where a bundle of the published log does.
    let counts = [1, 100, 300, 111, 512, 255, 1];
    for count in counts {
        let first = writer.head().seq + 1;
        assert_eq!(writer.append(&[batch(SOURCE, first, count)]).unwrap(), count as u64);
    }
    drop(writer);
    let files = segments(folder.path()).unwrap();
    assert_eq!(files.iter().map(|file| file.first_seq).collect::<Vec<_>>(), [1, 257, 513, 1_025]);
    assert_eq!(verify(folder.path(), None, None).unwrap().records, 1_280);
    assert_eq!(tail(folder.path(), 1_275, None).unwrap()[0]["seq"], 6);
    // A restart reads on from the checkpoint, not from the beginning.
    let (writer, opening) = LogWriter::open(folder.path(), keys(), 1_500).unwrap();
    assert_eq!((opening.head.seq, opening.broken, writer.durable(SOURCE)), (1_280, None, 1_280));
    drop(writer);
    fs::remove_file(&files[1].path).unwrap();
    assert_eq!(first_bad(folder.path()).seq, files[1].first_seq);
}

#[test]
fn a_cut_tail_stays_visible_after_the_log_went_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = log_of(folder.path(), 6, 6);
    let text = fs::read_to_string(&path).unwrap();
    let kept: String = text.split_inclusive('\n').take(4).collect();
    fs::write(&path, kept).unwrap();
    let (mut writer, opening) = LogWriter::open(folder.path(), keys(), 1 << 20).unwrap();
    assert!(opening.broken.is_some());
    assert_eq!(opening.events[0].action, "audit.broken");
    assert_eq!(writer.append(&[batch("scribe-0@00000000000000aa.2", 1, 2)]).unwrap(), 2);
    assert!(
        !fs::read_to_string(segments(folder.path()).unwrap()[1].path.clone()).unwrap().contains("\"simtron\":true")
    );
    writer.checkpoint().unwrap();
    drop(writer);
    assert_eq!(first_bad(folder.path()).seq, 5);
    let (_, opening) = LogWriter::open(folder.path(), keys(), 1 << 20).unwrap();
    assert_eq!(opening.broken, None, "the same damage is reported once");
    assert_eq!(first_bad(folder.path()).seq, 5);
}

#[test]
fn a_checkpoint_that_is_not_ours_is_kept_as_evidence() {
    let folder = tempfile::tempdir().unwrap();
    log_of(folder.path(), 3, 3);
    let path = folder.path().join("checkpoint");
    let forged = fs::read_to_string(&path).unwrap().replace("\"seq\":3", "\"seq\":2");
    fs::write(&path, forged).unwrap();
    let (writer, opening) = LogWriter::open(folder.path(), keys(), 1 << 20).unwrap();
    assert!(opening.broken.unwrap().contains("audit key"));
    drop(writer);
    verify(folder.path(), None, None).unwrap_err();
    fs::remove_file(&path).unwrap();
    verify(folder.path(), None, None).unwrap_err();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_flipped_bit_goes_unnoticed(records in 1usize..6, at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let folder = tempfile::tempdir().unwrap();
        let path = log_of(folder.path(), records, records);
        let mut bytes = fs::read(&path).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let line = bytes[..at].iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
        fs::write(&path, bytes).unwrap();
        let bad = first_bad(folder.path());
        prop_assert!(bad.line <= line, "flipped in line {line}, found in {}", bad.line);
    }

    #[test]
    fn no_tail_the_checkpoint_knows_of_can_be_cut(records in 1usize..6, at in any::<prop::sample::Index>()) {
        let folder = tempfile::tempdir().unwrap();
        let path = log_of(folder.path(), records, records);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..at.index(bytes.len())]).unwrap();
        first_bad(folder.path());
    }

    #[test]
    fn recovery_keeps_every_complete_record(vouched in 0usize..3, more in 1usize..5, at in any::<prop::sample::Index>()) {
        let folder = tempfile::tempdir().unwrap();
        let path = log_of(folder.path(), vouched + more, vouched);
        let bytes = fs::read(&path).unwrap();
        let vouched_bytes: usize =
            bytes.split_inclusive(|byte| *byte == b'\n').take(vouched).map(<[u8]>::len).sum();
        let cut = vouched_bytes + at.index(bytes.len() - vouched_bytes + 1);
        fs::write(&path, &bytes[..cut]).unwrap();
        let complete = bytes[..cut].iter().filter(|byte| **byte == b'\n').count() as u64;
        let (mut writer, opening) = LogWriter::open(folder.path(), keys(), 1 << 20).unwrap();
        prop_assert_eq!((opening.broken, opening.head.seq), (None, complete));
        prop_assert_eq!(writer.durable(SOURCE), complete);
        prop_assert_eq!(opening.events.len(), usize::from(opening.trimmed_bytes > 0));
        writer.append(&[batch(SOURCE, complete + 1, 2)]).unwrap();
        prop_assert_eq!(verify(folder.path(), Some(&keys()), None).unwrap().records, complete + 2);
    }
}
