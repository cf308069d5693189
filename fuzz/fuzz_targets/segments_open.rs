//! Whatever lies where a recording should: it does not open as one, and nothing panics; what was sealed opens.
#![no_main]
use std::io::{Cursor, Read, Write};
use std::sync::LazyLock;

use hotline::vault::{Aad, KeyClass, SealingWriter, SegmentReader, SubjectKey};
use libfuzzer_sys::fuzz_target;

const PLACE: Aad<'_> = Aad { table: "calls", row: "17", column: "audio", version: 1 };
const HEADER_BYTES: usize = 36;

static KEY: LazyLock<SubjectKey> = LazyLock::new(|| SubjectKey::random("ana", KeyClass::Call).expect("random bytes"));

fuzz_target!(|bytes: &[u8]| {
    assert!(read(bytes).is_err());
    let sealed = seal(bytes);
    assert_eq!(read(&sealed).expect("what was sealed"), bytes);
    // Behind a header of ours, forgeries get as far as the cipher.
    let forged = [&sealed[..HEADER_BYTES], bytes].concat();
    assert!(read(&forged).is_err());
    assert!(read(&sealed[..sealed.len() - 1]).is_err());
});

fn seal(bytes: &[u8]) -> Vec<u8> {
    let mut writer = SealingWriter::new(&KEY, &PLACE, Vec::new()).expect("random bytes");
    writer.write_all(bytes).expect("a fuzzed input is short enough");
    writer.finish().expect("memory takes it")
}

fn read(file: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    SegmentReader::open(&KEY, &PLACE, Cursor::new(file))?.read_to_end(&mut plain)?;
    Ok(plain)
}
