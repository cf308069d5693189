//! A case is disposed of when its years are over, not before, and never under a hold.
use hotline::audit::kept_until_ms;
use jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::Domain;
use crate::policy::Role;
use crate::store::Erased;
use crate::testing::{administrator, block_on, domain};

struct Scene {
    domain: Domain,
    case: Case,
    lawyer: Actor,
    custodian: Actor,
    _folder: tempfile::TempDir,
}

fn scene(states: &[&str]) -> Scene {
    let (domain, folder) = domain();
    let lawyer = Actor::example(administrator(&domain).id, Role::Attorney);
    let new = serde_json::from_value(json!({ "title": "a", "classification": "RESTRICTED" })).unwrap();
    let Opened::Done(mut case) = block_on(domain.cases.create(Uuid::now_v7(), &lawyer, new, None)).unwrap() else {
        panic!()
    };
    for state in states {
        let change = serde_json::from_value(json!({ "state": state })).unwrap();
        let changed = block_on(domain.cases.update(&lawyer, &case.case_number, case.version, change)).unwrap();
        let Updated::Done(changed) = changed else { panic!() };
        case = changed;
    }
    let custodian = Actor::example(Uuid::now_v7(), Role::Custodian);
    Scene { domain, case: *case, lawyer, custodian, _folder: folder }
}

impl Scene {
    /// The moment from which on it need not be kept.
    fn end_ms(&self, years: u16) -> i64 {
        let archived: Timestamp = self.case.updated_at.parse().unwrap();
        kept_until_ms(archived.as_millisecond(), years).unwrap()
    }

    fn due(&self, actor: &Actor, now_ms: i64) -> Vec<Due> {
        block_on(self.domain.cases.due(actor, &DueQuery::default(), 7, now_ms)).unwrap().cases
    }

    fn dispose(&self, now_ms: i64) -> Erased {
        let subject = block_on(self.domain.subjects.of_case(&self.case.case_number)).unwrap().unwrap();
        block_on(self.domain.subjects.dispose(subject, 7, now_ms, "somebody")).unwrap()
    }
}

#[test]
fn a_case_is_due_with_its_anniversary_and_gone_after_it() {
    let scene = scene(&["closed", "archived"]);
    let end_ms = scene.end_ms(7);
    assert!(scene.due(&scene.custodian, end_ms - 1).is_empty());
    assert!(matches!(scene.dispose(end_ms - 1), Erased::Held { reason } if reason.contains("is kept until")));
    let due = scene.due(&scene.custodian, end_ms);
    assert_eq!((due.len(), due[0].case_id, due[0].held), (1, scene.case.id, false));
    assert_eq!(
        (due[0].archived_at.as_str(), due[0].kept_until.clone()),
        (&*scene.case.updated_at, clock::rfc3339(end_ms))
    );
    assert!(scene.due(&scene.lawyer, end_ms).is_empty(), "who works on cases does not dispose of them");
    assert!(matches!(scene.dispose(end_ms), Erased::Done { cases, .. } if cases == [scene.case.id]));
    assert!(scene.due(&scene.custodian, end_ms).is_empty());
    assert!(matches!(
        block_on(scene.domain.cases.find(&scene.lawyer, &scene.case.case_number)),
        Err(StoreError::Erased)
    ));
}

#[test]
fn what_is_not_archived_is_never_due() {
    let scene = scene(&["closed"]);
    let end_ms = scene.end_ms(50);
    assert!(scene.due(&scene.custodian, end_ms).is_empty());
    assert!(matches!(scene.dispose(end_ms), Erased::Held { reason } if reason.contains("not archived")));
}

#[test]
fn a_hold_keeps_what_is_due_and_shows() {
    let scene = scene(&["closed", "archived"]);
    let end_ms = scene.end_ms(7);
    let hold =
        NewGuard { kind: GuardKind::Hold, user_id: None, what: None, reason: "24-CV-11, order of May".to_owned() };
    let by = scene.lawyer.who.user;
    let hold = block_on(scene.domain.cases.place_guard(Uuid::now_v7(), scene.case.id, hold, by)).unwrap();
    assert!(scene.due(&scene.custodian, end_ms)[0].held);
    assert!(matches!(scene.dispose(end_ms), Erased::Held { reason } if reason.contains("hold")));
    assert!(block_on(scene.domain.cases.end_guard(scene.case.id, hold.id, by)).unwrap());
    assert!(matches!(scene.dispose(end_ms), Erased::Done { .. }));
}
