//! The transparency log says what the log says, whatever happens to its files.
use std::fs;
use std::path::Path;

use super::super::testing::{SOURCE, batch, keys, keys as keys_of_log};
use super::super::writer::LogWriter;
use super::super::{PublishedLog, verify};
use super::*;
use crate::tlog::{Proof, Tree, inclusion, root};

const ORIGIN: &str = "example.org/audit";

struct House {
    folder: tempfile::TempDir,
    written: u64,
}

impl House {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), written: 0 }
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("audit")
    }

    fn store(&self) -> Store {
        Store::new(self.folder.path().join("tlog"))
    }

    /// Writes more records, in small segments.
    fn write(&mut self, records: usize) {
        let (mut writer, _) = LogWriter::open(&self.log(), keys(), 20_000).unwrap();
        for _ in 0..records {
            writer.append(&[batch(SOURCE, self.written + 1, 1)]).unwrap();
            self.written += 1;
        }
    }

    fn open(&self) -> Result<Publisher, PublishError> {
        fs::create_dir_all(self.store().folder()).unwrap();
        Publisher::open(self.log(), self.store(), signer(1), &[])
    }

    fn publish(&self) -> Result<Publisher, PublishError> {
        let mut publisher = self.open()?;
        while !publisher.follow(self.written)? {
            publisher.publish()?;
        }
        publisher.publish()?;
        Ok(publisher)
    }

    fn head(&self) -> Checkpoint {
        Checkpoint::open(&self.store().checkpoint().unwrap().unwrap(), signer(1).verifier()).unwrap()
    }
}

fn signer(seed: u8) -> Signer {
    Signer::new(ORIGIN, &[seed; 32]).unwrap()
}

fn entries(log: &Path) -> Vec<String> {
    let mut entries = Vec::new();
    for segment in segments(log).unwrap() {
        let mut lines = segment.lines(0).unwrap();
        while let Some(line) = lines.next().unwrap() {
            entries.push(serde_json::from_slice::<Record>(line).unwrap().entry());
        }
    }
    entries
}

#[test]
fn every_record_can_be_proven_under_the_head_and_is_in_its_bundle() {
    let mut house = House::new();
    for records in [1, 255, 1, 100, 300] {
        house.write(records);
        house.publish().unwrap();
        assert_eq!(house.head().size, house.written);
    }
    let (store, head, entries) = (house.store(), house.head(), entries(&house.log()));
    let tree = Tree { store: &store, size: head.size };
    assert_eq!(root(&tree, head.size).unwrap(), head.root);
    let note = store.checkpoint().unwrap().unwrap();
    for index in [0, 255, 256, 355, 356, 656] {
        let path = inclusion(&tree, index, head.size).unwrap();
        let proof = Proof { index, path, checkpoint: note.clone() };
        let entry = &entries[index as usize];
        assert_eq!(proof.check(entry.as_bytes(), signer(1).verifier()).as_ref(), Ok(&head));
        let bundle = Tile::in_tree(TileKind::Entries, index / 256, head.size).unwrap();
        assert_eq!(store.entries(&bundle).unwrap()[(index % 256) as usize], entry.as_bytes());
    }
    assert!(!store.folder().join("tile/entries/000.p").exists(), "what was open is full now");
}

#[test]
fn an_open_tile_that_has_not_grown_is_not_written_again() {
    let mut house = House::new();
    house.write(600);
    house.publish().unwrap();
    let upper = house.store().folder().join("tile/1/000.p/2");
    let written = fs::metadata(&upper).unwrap().modified().unwrap();
    house.write(1);
    house.publish().unwrap();
    assert_eq!(fs::metadata(&upper).unwrap().modified().unwrap(), written);
    assert!(house.store().folder().join("tile/0/002.p/89").exists());
}

#[test]
fn it_takes_up_where_it_was_and_a_former_key_may_have_signed() {
    let mut house = House::new();
    house.write(300);
    house.publish().unwrap();
    house.write(20);
    let former = [signer(1).verifier().clone()];
    let mut publisher = Publisher::open(house.log(), house.store(), signer(2), &former).unwrap();
    assert_eq!(publisher.published(), 300);
    publisher.follow(320).unwrap();
    assert!(publisher.has_news());
    publisher.publish().unwrap();
    let note = house.store().checkpoint().unwrap().unwrap();
    assert_eq!(Checkpoint::open(&note, signer(2).verifier()).unwrap().size, 320);
    let error = Publisher::open(house.log(), house.store(), signer(3), &former).err().unwrap();
    assert!(matches!(error, PublishError::Foreign { .. }) && error.is_final(), "{error}");
}

#[test]
fn lost_and_torn_tiles_are_made_again() {
    let torn = |bytes: &mut Vec<u8>| bytes.truncate(bytes.len() - 1);
    let other = |bytes: &mut Vec<u8>| bytes[40] ^= 1;
    type Harm = fn(&mut Vec<u8>);
    let damages: [(&str, Harm); 4] = [
        ("tile/0/002.p/88", torn),
        ("tile/1/000.p/2", Vec::clear),
        ("tile/entries/002.p/88", torn),
        ("tile/entries/002.p/88", other),
    ];
    for (damage, harm) in damages {
        let mut house = House::new();
        house.write(600);
        house.publish().unwrap();
        let before = house.head();
        let path = house.store().folder().join(damage);
        let bytes = fs::read(&path).unwrap();
        let mut harmed = bytes.clone();
        harm(&mut harmed);
        fs::remove_file(&path).unwrap();
        if !harmed.is_empty() {
            fs::write(&path, harmed).unwrap();
        }
        house.write(1);
        house.publish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), bytes, "{damage}");
        for head in [before, house.head()] {
            let tree = Tree { store: &house.store(), size: head.size };
            assert_eq!(root(&tree, head.size).unwrap(), head.root, "{damage}");
        }
    }
}

#[test]
fn nothing_is_signed_over_a_log_that_is_not_the_published_one() {
    let mut house = House::new();
    house.write(30);
    house.publish().unwrap();
    let before = house.head();
    let last = segments(&house.log()).unwrap().pop().unwrap().path;
    let text = fs::read_to_string(&last).unwrap();

    fs::write(&last, text.replace("case.read", "case.edit")).unwrap();
    let error = house.publish().err().unwrap();
    assert!(matches!(error, PublishError::Contradicted { seq: 30 }), "{error}");

    let shorter = &text[..text[..text.len() - 1].rfind('\n').unwrap() + 1];
    fs::write(&last, shorter).unwrap();
    assert!(matches!(house.publish().err().unwrap(), PublishError::Contradicted { seq: 30 }));

    // Also where the tiles are gone and all is read anew.
    fs::remove_dir_all(house.store().folder().join("tile")).unwrap();
    let first = segments(&house.log()).unwrap().swap_remove(0).path;
    fs::write(&last, &text).unwrap();
    let text = fs::read_to_string(&first).unwrap();
    fs::write(&first, text.replacen("case.read", "case.edit", 1)).unwrap();
    let error = house.publish().err().unwrap();
    assert!(matches!(error, PublishError::Contradicted { seq: 30 }), "{error}");
    assert_eq!(house.head(), before, "the head is what it was");
}

/// Somebody who holds every key of ours writes another log in the place of this one.
#[test]
fn a_log_made_anew_with_our_own_keys_is_found_out_by_what_was_published() {
    let mut house = House::new();
    house.write(300);
    house.publish().unwrap();
    let (store, signed_by) = (house.store(), [signer(1).verifier().clone()]);
    let verified = |house: &House, keys: &[Verifier]| {
        verify(&house.log(), Some(&keys_of_log()), Some(PublishedLog { store: &store, keys }))
    };
    let report = verified(&house, &signed_by).unwrap();
    assert_eq!((report.published, report.published_signed, report.erased), (300, true, 0));
    assert!(!verified(&house, &[]).unwrap().published_signed);
    let stranger = [signer(2).verifier().clone()];
    assert!(verified(&house, &stranger).unwrap_err().to_string().contains("not signed"), "somebody else's head");

    fs::remove_dir_all(house.log()).unwrap();
    house.written = 0;
    house.write(301);
    assert!(verify(&house.log(), Some(&keys_of_log()), None).is_ok(), "the chain alone says nothing");
    let error = verified(&house, &signed_by).unwrap_err().to_string();
    assert!(error.contains("record 256") && error.contains("tile/0/000"), "{error}");
    fs::remove_dir_all(house.log()).unwrap();
    house.written = 0;
    house.write(200);
    let error = verified(&house, &signed_by).unwrap_err().to_string();
    assert!(error.contains("300 records were published"), "{error}");
}

#[test]
fn what_could_not_be_written_is_written_later() {
    let mut house = House::new();
    house.write(256);
    let mut publisher = house.open().unwrap();
    publisher.follow(256).unwrap();
    let blocked = house.store().folder().join("tile");
    fs::write(&blocked, "no folder").unwrap();
    assert!(matches!(publisher.publish(), Err(PublishError::Store(StoreError::Write { .. }))));
    assert_eq!(house.store().checkpoint().unwrap(), None);
    fs::remove_file(&blocked).unwrap();
    publisher.publish().unwrap();
    let head = house.head();
    assert_eq!(root(&Tree { store: &house.store(), size: 256 }, 256).unwrap(), head.root);
}
