//! Evidence through the whole room: kept as it came, found out when it is not, and gone with its subject.
use std::fs;

use bytes::Bytes;
use serde_json::json;

use super::*;
use crate::Domain;
use crate::cases::{Case, Opened};
use crate::policy::{Actor, Role};
use crate::testing::{administrator, block_on, domain, vault};

struct Scene {
    domain: Domain,
    case: Case,
    user: Uuid,
    folder: tempfile::TempDir,
}

fn scene() -> Scene {
    let (domain, folder) = domain();
    let lawyer = Actor::example(administrator(&domain).id, Role::Attorney);
    let new = serde_json::from_value(json!({ "title": "a" })).unwrap();
    let Opened::Done(case) = block_on(domain.cases.create(Uuid::now_v7(), &lawyer, new, None)).unwrap() else {
        panic!()
    };
    Scene { domain, case: *case, user: lawyer.who.user, folder }
}

impl Scene {
    fn hand(&self) -> Hand<'_> {
        Hand { user: self.user, request_id: "r-1" }
    }

    fn letter(&self) -> NewEvidence {
        NewEvidence {
            case: self.case.id,
            evidence_type: EvidenceType::Document,
            file_name: "letter.txt".to_owned(),
            description: Some("from the landlord".to_owned()),
            declared_type: Some("image/png".to_owned()),
        }
    }

    fn taken(&self, id: Uuid, content: &[u8]) -> Taken {
        block_on(async {
            let intake = self.domain.evidence.begin(id, self.case.id).await.unwrap();
            for piece in content.chunks(70_001) {
                assert!(intake.push(Bytes::copy_from_slice(piece)).await);
            }
            intake.finish().await.unwrap()
        })
    }

    fn kept(&self, content: &[u8], once: Option<Once>) -> Kept {
        let id = Uuid::now_v7();
        let taken = self.taken(id, content);
        block_on(self.domain.evidence.keep(id, self.hand(), self.letter(), taken, once)).unwrap()
    }

    fn item(&self, content: &[u8]) -> EvidenceItem {
        match self.kept(content, None) {
            Kept::Done(item) => *item,
            _ => panic!("not kept"),
        }
    }

    fn files(&self) -> Vec<std::path::PathBuf> {
        let evidence = self.folder.path().join("blobs").join("evidence");
        let folders = fs::read_dir(evidence).unwrap().map(|folder| folder.unwrap().path());
        folders.flat_map(|folder| fs::read_dir(folder).unwrap().map(|file| file.unwrap().path())).collect()
    }

    fn failing(&self, id: Uuid) -> Vec<&'static str> {
        let verdict = block_on(self.domain.evidence.verify(id)).unwrap();
        assert_eq!(verdict.ok, verdict.checks.iter().all(|check| check.ok));
        verdict.checks.into_iter().filter(|check| !check.ok).map(|check| check.check).collect()
    }

    fn database(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.folder.path().join("store").join("hotline.db")).unwrap()
    }
}

#[test]
fn a_file_is_kept_as_it_came_and_its_chain_begins() {
    let scene = scene();
    let content: Vec<u8> = (0..300_000u32).flat_map(u32::to_le_bytes).collect();
    let item = scene.item(&content);
    let expected = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &content);
    assert_eq!(item.hash, data_encoding::HEXLOWER.encode(expected.as_ref()));
    assert_eq!((item.bytes, item.file_name.as_str(), item.active), (1_200_000, "letter.txt", false));
    assert_eq!(
        (item.media_type.as_str(), item.declared_type.as_deref()),
        ("application/octet-stream", Some("image/png"))
    );
    let mut read = Vec::new();
    std::io::Read::read_to_end(&mut block_on(scene.domain.evidence.content(item.evidence_id)).unwrap(), &mut read)
        .unwrap();
    assert_eq!(read, content);
    assert_eq!(scene.failing(item.evidence_id), Vec::<&str>::new());
    let chain = block_on(scene.domain.evidence.custody(item.evidence_id)).unwrap();
    assert_eq!((chain.len(), chain[0].event, chain[0].previous.as_str()), (1, CustodyKind::Received, &*"0".repeat(64)));
    let stored = fs::read(&scene.files()[0]).unwrap();
    assert!(!stored.windows(64).any(|window| window == &content[..64]), "it lies in clear");
    assert_eq!(block_on(scene.domain.evidence.of_case(scene.case.id)).unwrap().len(), 1);
}

#[test]
fn what_does_not_come_to_its_end_leaves_nothing() {
    let scene = scene();
    block_on(async {
        let intake = scene.domain.evidence.begin(Uuid::now_v7(), scene.case.id).await.unwrap();
        assert!(intake.push(Bytes::from_static(b"half of it")).await);
    });
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !scene.files().is_empty() {
        assert!(std::time::Instant::now() < deadline, "a part is left");
    }
    let id = Uuid::now_v7();
    scene.taken(id, b"whole, and not wanted");
    scene.domain.evidence.drop_taken(id);
    assert!(scene.files().is_empty());
}

#[test]
fn links_follow_each_other_and_sealing_ends_what_would_change_it() {
    let scene = scene();
    let id = scene.item(b"x").evidence_id;
    let note = |kind, note: Option<&str>| {
        block_on(scene.domain.evidence.note(id, kind, scene.hand(), note.map(str::to_owned))).unwrap()
    };
    assert!(note(CustodyKind::Transferred, Some("to the forensic laboratory")));
    assert!(note(CustodyKind::Sealed, None));
    assert!(!note(CustodyKind::Transferred, None) && !note(CustodyKind::Sealed, None));
    assert!(note(CustodyKind::Verified, None));
    let chain = block_on(scene.domain.evidence.custody(id)).unwrap();
    assert!(chain.windows(2).all(|pair| pair[1].previous == pair[0].hash && pair[1].seq == pair[0].seq + 1));
    assert_eq!(
        chain.iter().map(|link| link.event.name()).collect::<Vec<_>>(),
        ["received", "transferred", "sealed", "verified"]
    );
    assert_eq!(chain[1].note.as_deref(), Some("to the forensic laboratory"));
    assert_eq!(block_on(scene.domain.evidence.find(id)).unwrap().unwrap().state, EvidenceState::Sealed);
    assert_eq!(scene.failing(id), Vec::<&str>::new());
}

#[test]
fn whatever_was_changed_is_named() {
    let scene = scene();
    let id = scene.item(&[7; 200_000]).evidence_id;
    block_on(scene.domain.evidence.note(id, CustodyKind::Downloaded, scene.hand(), None)).unwrap();
    let file = scene.files().remove(0);
    let whole = fs::read(&file).unwrap();
    for at in [40, 70_000, whole.len() - 1] {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        fs::write(&file, &changed).unwrap();
        assert_eq!(scene.failing(id), ["seal", "bytes", "sha256", "sha512"], "byte {at}");
    }
    fs::write(&file, &whole[..whole.len() - 65_552]).unwrap();
    assert!(scene.failing(id).contains(&"seal"), "cut off");
    fs::write(&file, &whole).unwrap();
    assert_eq!(scene.failing(id), Vec::<&str>::new());

    let change = |sql: &str, failing: &[&str]| {
        let db = scene.database();
        db.execute_batch(&format!("SAVEPOINT before; {sql}")).unwrap();
        db.execute_batch("RELEASE before").unwrap();
        assert_eq!(scene.failing(id), failing, "{sql}");
    };
    change("UPDATE evidence SET sha256 = zeroblob(32)", &["sha256", "custodyChain"]);
    let restore = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &[7; 200_000]);
    scene.database().execute("UPDATE evidence SET sha256 = ?1", [restore.as_ref()]).unwrap();
    change("UPDATE custody SET at_ms = at_ms + 1 WHERE seq = 1", &["custodyChain"]);
    change("UPDATE custody SET at_ms = at_ms - 1 WHERE seq = 1", &[]);
    change("UPDATE custody SET actor = randomblob(16) WHERE seq = 1", &["custodyChain"]);
    change("DELETE FROM custody WHERE seq = 1", &[]);
    change("DELETE FROM custody", &["custodyChain"]);
}

#[test]
fn the_same_request_keeps_one_file() {
    let scene = scene();
    let once = |digest| Some(Once::new(&vault(), scene.user, "upload", "key", [digest; 32]));
    let Kept::Done(first) = scene.kept(b"x", once(1)) else { panic!() };
    let Kept::Before(again) = scene.kept(b"x", once(1)) else { panic!() };
    assert_eq!((first.evidence_id, scene.files().len()), (again.evidence_id, 1));
    assert!(matches!(scene.kept(b"y", once(2)), Kept::OtherRequest));
    assert_eq!(scene.files().len(), 1);
}

#[test]
fn evidence_goes_with_its_subject() {
    let scene = scene();
    let id = scene.item(b"x").evidence_id;
    let subject = block_on(scene.domain.subjects.of_case(&scene.case.case_number)).unwrap().unwrap();
    block_on(scene.domain.subjects.erase(subject, "uid:0")).unwrap();
    assert!(scene.files().is_empty());
    assert!(matches!(block_on(scene.domain.evidence.find(id)), Err(StoreError::Erased)));
    assert!(matches!(block_on(scene.domain.evidence.begin(Uuid::now_v7(), scene.case.id)), Err(StoreError::Erased)));
}
