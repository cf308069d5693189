//! Calls through the whole room: accepted once, seen by those who may, finished once, swept clean.
use std::fs;
use std::io::Read as _;
use std::time::{Duration, UNIX_EPOCH};

use tempfile::TempDir;

use super::*;
use crate::Domain;
use crate::audio::Container;
use crate::cases::CaseChange;
use crate::policy::Role;
use crate::testing::{administrator, block_on, domain, vault};
use crate::triage::{Analysis, Recommendations, Triage};

fn actor(role: Role) -> Actor {
    Actor::example(Uuid::new_v4(), role)
}

fn new_call(once: Option<Once>) -> NewCall {
    NewCall {
        audio: Zeroizing::new(b"OggS the xylophone was impounded".to_vec()),
        container: Container::Ogg,
        consented: true,
        caller: Caller {
            name: Some("Zenobia Quackenbush".to_owned()),
            phone: Some("+1 555 0142".to_owned()),
            language: Some("en".to_owned()),
        },
        jurisdiction: Some("US-CA".to_owned()),
        once,
    }
}

fn accepted(domain: &Domain, actor: &Actor) -> Uuid {
    let Accepted::Done(id) = block_on(domain.calls.accept(Uuid::now_v7(), actor, new_call(None))).unwrap() else {
        panic!()
    };
    id
}

pub(crate) fn result() -> CallResult {
    let knowledge = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/knowledge");
    let triage = Triage::load(&knowledge).unwrap();
    let text = "My landlord changed the locks on my hornswoggled flat yesterday.";
    let called_on = "2026-03-02".parse().unwrap();
    let input = crate::triage::Input { text, language: Some("en"), called_on, jurisdiction: "US-CA" };
    let analysis: Analysis = triage.analyze(&input, None);
    let recommendations: Recommendations = triage.recommend(&analysis, "US-CA", called_on);
    let transcript = serde_json::from_value(serde_json::json!({
        "text": text, "language": "en", "languageProbability": 1.0, "segments": [], "durationMs": 1, "partial": false,
        "engine": { "name": "e", "model": "m", "modelSha256": "", "parameters": "" }, "version": 1,
    }));
    CallResult { transcript: transcript.unwrap(), analysis, recommendations }
}

fn heard(domain: &Domain, id: Uuid) -> Vec<u8> {
    let mut audio = Vec::new();
    block_on(domain.calls.recording(id)).unwrap().read_to_end(&mut audio).unwrap();
    audio
}

fn finished(domain: &Domain, actor: &Actor) -> (Uuid, Case) {
    let id = accepted(domain, actor);
    let held = block_on(domain.calls.lease("background-0@1.1")).unwrap().unwrap();
    let case = block_on(domain.calls.finish(&held, &result(), Uuid::now_v7())).unwrap().unwrap();
    (id, case)
}

fn recordings(folder: &TempDir) -> Vec<std::path::PathBuf> {
    let folders = fs::read_dir(folder.path().join("blobs")).unwrap();
    let files = folders.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap());
    files.map(|file| file.unwrap().path()).collect()
}

fn swept(domain: &Domain) -> usize {
    (0..=u8::MAX).map(|folder| block_on(domain.calls.sweep(folder)).unwrap()).sum()
}

#[test]
fn a_call_ends_as_a_case_that_says_what_was_heard() {
    let (domain, _folder) = domain();
    let lawyer = actor(Role::Attorney);
    let id = accepted(&domain, &lawyer);
    let held = block_on(domain.calls.lease("background-0@1.1")).unwrap().unwrap();
    assert_eq!(held.call.call_id, id);
    assert_eq!(heard(&domain, id), *new_call(None).audio);
    let result = result();
    let case = block_on(domain.calls.finish(&held, &result, Uuid::now_v7())).unwrap().unwrap();
    assert!(block_on(domain.calls.finish(&held, &result, Uuid::now_v7())).unwrap().is_none(), "only once");
    let kept = block_on(domain.cases.find(&lawyer, &case.case_number)).unwrap().found().unwrap();
    assert_eq!(kept.caller_name.as_deref(), Some("Zenobia Quackenbush"));
    assert_eq!((kept.call_id, kept.urgency), (Some(id), result.analysis.urgency.level));
    let call = block_on(domain.calls.find(&lawyer, id)).unwrap().found().unwrap();
    assert_eq!((call.status, call.progress), (CallState::Ready, 100));
    assert_eq!(call.case_number, Some(case.case_number));
    assert_eq!(call.transcription.unwrap().text, result.transcript.text);
}

#[test]
fn a_recording_that_comes_twice_is_kept_once() {
    let (domain, folder) = domain();
    let lawyer = Actor::example(administrator(&domain).id, Role::Attorney);
    let once = |digest| Some(Once::new(&vault(), lawyer.who.user, "POST /voice/process", "key", [digest; 32]));
    let accept = |digest| block_on(domain.calls.accept(Uuid::now_v7(), &lawyer, new_call(once(digest)))).unwrap();
    let Accepted::Done(id) = accept(1) else { panic!() };
    assert!(matches!(accept(1), Accepted::Before(before) if before == id));
    assert!(matches!(accept(2), Accepted::OtherRequest));
    assert_eq!(recordings(&folder).len(), 1);
}

#[test]
fn what_cannot_be_taken_leaves_nothing_behind() {
    let (domain, folder) = domain();
    let mut new = new_call(None);
    new.jurisdiction = Some("somewhere in California".to_owned());
    let refused = block_on(domain.calls.accept(Uuid::now_v7(), &actor(Role::Attorney), new)).unwrap();
    assert!(matches!(refused, Accepted::Invalid(invalid) if invalid.pointer == "/jurisdiction"));
    assert!(recordings(&folder).is_empty());
}

#[test]
fn a_call_is_no_way_around_the_marking_of_its_case() {
    let (domain, _folder) = domain();
    let (lawyer, intake, stranger) = (actor(Role::Attorney), actor(Role::Intake), actor(Role::Caller));
    let (id, case) = finished(&domain, &intake);
    let sees = |who: &Actor| block_on(domain.calls.find(who, id)).unwrap().found().is_some();
    assert!(sees(&lawyer) && sees(&intake) && !sees(&stranger));
    let mark = CaseChange { classification: Some(Classification::TopSecret), ..CaseChange::default() };
    block_on(domain.cases.update(&lawyer, &case.case_number, 1, mark)).unwrap();
    assert!(sees(&lawyer) && !sees(&intake) && !sees(&stranger));
}

#[test]
fn a_machine_reads_the_calls_it_handed_in_and_no_others() {
    let (domain, _folder) = domain();
    let machine = actor(Role::Service);
    let id = accepted(&domain, &machine);
    assert!(block_on(domain.calls.find(&machine, id)).unwrap().found().is_some());
    assert!(block_on(domain.calls.find(&actor(Role::Service), id)).unwrap().found().is_none());
}

#[test]
fn a_successor_takes_back_what_its_slot_held_and_nothing_else() {
    let (domain, _folder) = domain();
    for _ in 0..3 {
        accepted(&domain, &actor(Role::Attorney));
    }
    let lease = |owner| block_on(domain.calls.lease(owner)).unwrap().map(|held| held.lease);
    let former = lease("background-1@7.1").unwrap();
    let (neighbour, own) = (lease("background-10@7.1").unwrap(), lease("background-1@7.2").unwrap());
    assert!(lease("background-1@7.2").is_none());
    assert_eq!(block_on(domain.calls.take_back("background-1", "background-1@7.2")).unwrap(), 1);
    let again = lease("background-1@7.2").unwrap();
    assert_eq!((again.job, again.attempt), (former.job, 2));
    assert!(!block_on(domain.calls.renew(&former)).unwrap());
    assert!(block_on(domain.calls.renew(&neighbour)).unwrap() && block_on(domain.calls.renew(&own)).unwrap());
}

#[test]
fn recordings_without_a_call_are_removed_once_they_are_old() {
    let (domain, folder) = domain();
    accepted(&domain, &actor(Role::Attorney));
    let known = recordings(&folder).remove(0);
    let (stray, foreign) = (known.with_file_name(Uuid::now_v7().to_string()), known.with_file_name("notes"));
    for path in [&stray, &foreign, &known.with_extension("part")] {
        fs::write(path, "sealed").unwrap();
    }
    assert_eq!(swept(&domain), 0, "a call may still come for what is new");
    let long_ago = UNIX_EPOCH + Duration::from_millis(clock::now_ms() - 2 * 3_600_000);
    for path in recordings(&folder) {
        fs::File::options().append(true).open(path).unwrap().set_modified(long_ago).unwrap();
    }
    assert_eq!(swept(&domain), 2, "the stray one and the unfinished one");
    let mut left = recordings(&folder);
    left.sort();
    assert_eq!(left, [known, foreign]);
}

#[test]
fn nothing_of_a_call_lies_in_clear() {
    let (domain, folder) = domain();
    finished(&domain, &actor(Role::Attorney));
    let mut files: Vec<_> =
        fs::read_dir(folder.path().join("store")).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|path| path.is_file());
    files.extend(recordings(&folder));
    assert!(files.len() >= 3, "database, log and recording: {files:?}");
    for path in files {
        let bytes = fs::read(&path).unwrap();
        for secret in ["Quackenbush", "xylophone", "hornswoggled", "0142", "landlord"] {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} lies in {}", path.display());
        }
    }
}
