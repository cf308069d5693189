//! A file of segments is what was written, whole and in order, or it does not open.
use std::io::Cursor;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::vault::KeyClass;

const PLACE: Aad<'_> = Aad { table: "calls", row: "17", column: "audio", version: 1 };

static KEY: LazyLock<SubjectKey> = LazyLock::new(|| SubjectKey::random("ana", KeyClass::Call).unwrap());

fn text(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at * 31 + at / SEGMENT_BYTES) as u8).collect()
}

fn sealed(plain: &[u8]) -> Vec<u8> {
    let mut writer = SealingWriter::new(&KEY, &PLACE, Vec::new()).unwrap();
    writer.write_all(plain).unwrap();
    writer.finish().unwrap()
}

fn opened(file: &[u8]) -> io::Result<Vec<u8>> {
    opened_by(&KEY, &PLACE, file)
}

fn opened_by(key: &SubjectKey, place: &Aad<'_>, file: &[u8]) -> io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    SegmentReader::open(key, place, Cursor::new(file))?.read_to_end(&mut plain)?;
    Ok(plain)
}

/// The sealed segments of a file, without its header.
fn segments(file: &[u8]) -> Vec<&[u8]> {
    file[HEADER_BYTES..].chunks(SEALED_BYTES).collect()
}

fn joined(header: &[u8], segments: &[&[u8]]) -> Vec<u8> {
    [&header[..HEADER_BYTES], &segments.concat()].concat()
}

#[test]
fn lengths_around_a_segment_come_back() {
    for bytes in [0, 1, SEGMENT_BYTES - 1, SEGMENT_BYTES, SEGMENT_BYTES + 1, 3 * SEGMENT_BYTES] {
        let file = sealed(&text(bytes));
        assert_eq!(segments(&file).len(), bytes.div_ceil(SEGMENT_BYTES).max(1));
        assert!(opened(&file).unwrap() == text(bytes), "{bytes}");
    }
}

#[test]
fn a_file_is_of_its_subject_and_place_and_never_sealed_twice_alike() {
    let file = sealed(b"what the caller said");
    let other = SubjectKey::random("ana", KeyClass::Call).unwrap();
    assert!(opened_by(&other, &PLACE, &file).is_err());
    assert!(opened_by(&KEY, &Aad { row: "18", ..PLACE }, &file).is_err());
    assert!(opened_by(&KEY, &Aad { column: "video", ..PLACE }, &file).is_err());
    let again = sealed(b"what the caller said");
    assert_ne!(file[HEADER_BYTES..], again[HEADER_BYTES..]);
    assert!(opened(&[&file[..HEADER_BYTES], &again[HEADER_BYTES..]].concat()).is_err(), "the header is bound");
}

#[test]
fn every_cut_is_noticed_before_anything_is_read() {
    let file = sealed(&text(2 * SEGMENT_BYTES + 10));
    let ends = (0..4).map(|n| HEADER_BYTES + n * SEALED_BYTES);
    let around = ends.flat_map(|end| end.saturating_sub(20)..end + 20).filter(|end| *end < file.len());
    for end in around.chain(file.len() - 30..file.len()) {
        assert!(SegmentReader::open(&KEY, &PLACE, Cursor::new(&file[..end])).is_err(), "cut at {end}");
    }
}

#[test]
fn segments_open_in_their_order_and_file_alone() {
    let (file, other) = (sealed(&text(4 * SEGMENT_BYTES)), sealed(&text(4 * SEGMENT_BYTES)));
    let (ours, theirs) = (segments(&file), segments(&other));
    for first in 0..4 {
        for second in 0..4 {
            let mut swapped = ours.clone();
            swapped.swap(first, second);
            assert_eq!(opened(&joined(&file, &swapped)).is_ok(), first == second, "{first} and {second}");
            let mut doubled = ours.clone();
            doubled.insert(second, ours[first]);
            assert!(opened(&joined(&file, &doubled)).is_err(), "{first} twice, before {second}");
        }
        let mut missing = ours.clone();
        missing.remove(first);
        assert!(opened(&joined(&file, &missing)).is_err(), "without {first}");
        let mut mixed = ours.clone();
        mixed[first] = theirs[first];
        assert!(opened(&joined(&file, &mixed)).is_err(), "{first} of another file");
    }
    let longer = [&ours[..], &ours[3..]].concat();
    assert!(opened(&joined(&file, &longer)).is_err(), "something behind the last one");
    assert!(opened(&[&file[..], b"x"].concat()).is_err());
}

/// An empty last segment behind full ones would be a second way to write the same text.
#[test]
fn there_is_one_way_to_write_a_text() {
    let mut writer = SealingWriter::new(&KEY, &PLACE, Vec::new()).unwrap();
    writer.write_all(&text(SEGMENT_BYTES)).unwrap();
    writer.seal_segment(false).unwrap();
    let file = writer.finish().unwrap();
    assert_eq!(file.len(), HEADER_BYTES + SEALED_BYTES + TAG_BYTES);
    assert!(opened(&file).is_err());
}

#[test]
fn what_was_not_finished_does_not_open() {
    let mut file = Vec::new();
    let mut writer = SealingWriter::new(&KEY, &PLACE, &mut file).unwrap();
    writer.write_all(&text(2 * SEGMENT_BYTES + 1)).unwrap();
    drop(writer);
    assert!(file.len() > SEALED_BYTES && opened(&file).is_err());
}

#[test]
fn a_key_is_never_used_past_its_bound() {
    for (bytes, fits) in [(2 * SEGMENT_BYTES, true), (2 * SEGMENT_BYTES + 1, false)] {
        let mut file = Vec::new();
        let mut writer = SealingWriter::with_bound(&KEY, &PLACE, &mut file, 2).unwrap();
        let written = writer.write_all(&text(bytes)).and_then(|()| writer.finish().map(drop));
        assert_eq!(written.is_ok(), fits, "{bytes}");
        assert!(segments(&file).len() <= 2);
        assert_eq!(opened(&file).is_ok(), fits, "a file that met the bound is not whole");
    }
}

#[test]
fn no_two_segments_of_a_file_share_a_nonce() {
    let numbers = [0, 1, 255, 256, 65_536, SEGMENTS_MAX - 1];
    let nonces: std::collections::HashSet<[u8; NONCE_LEN]> =
        numbers.iter().flat_map(|n| [false, true].map(|is_last| *nonce(*n, is_last).as_ref())).collect();
    assert_eq!(nonces.len(), 2 * numbers.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_range_is_what_was_written_there(bytes in 0usize..200_000, from in any::<prop::sample::Index>(), length in 0usize..100_000) {
        let plain = text(bytes);
        let file = sealed(&plain);
        let from = from.index(bytes + 1);
        let mut reader = SegmentReader::open(&KEY, &PLACE, Cursor::new(&file)).unwrap();
        prop_assert_eq!(reader.plain_bytes(), bytes as u64);
        reader.seek(SeekFrom::Start(from as u64)).unwrap();
        let mut read = Vec::new();
        reader.take(length as u64).read_to_end(&mut read).unwrap();
        prop_assert!(read == plain[from..bytes.min(from + length)]);
    }

    #[test]
    fn pieces_of_any_size_make_the_same_file(sizes in prop::collection::vec(0usize..90_000, 0..5)) {
        let plain = text(sizes.iter().sum());
        let mut writer = SealingWriter::new(&KEY, &PLACE, Vec::new()).unwrap();
        let mut at = 0;
        for size in sizes {
            writer.write_all(&plain[at..at + size]).unwrap();
            at += size;
        }
        prop_assert!(opened(&writer.finish().unwrap()).unwrap() == plain);
    }

    #[test]
    fn no_changed_bit_and_no_cut_is_read_through(at in any::<prop::sample::Index>(), bit in 0u8..8, cut in any::<bool>()) {
        let mut file = sealed(&text(SEGMENT_BYTES + 100));
        let at = at.index(file.len());
        match cut {
            true => file.truncate(at),
            false => file[at] ^= 1 << bit,
        }
        prop_assert!(opened(&file).is_err());
    }
}
