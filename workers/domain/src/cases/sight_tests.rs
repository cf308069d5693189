//! What a reader does not see is named and not told, survives their changes, and is told again to whoever may see it.
use serde_json::json;

use super::*;
use crate::Domain;
use crate::policy::{Clearance, Role, Standing};
use crate::testing::{administrator, block_on, domain};

struct Scene {
    domain: Domain,
    case: Case,
    lawyer: Actor,
    _folder: tempfile::TempDir,
}

fn scene(classification: &str) -> Scene {
    let (domain, folder) = domain();
    let lawyer = Actor::example(administrator(&domain).id, Role::Attorney);
    let new = serde_json::from_value(json!({
        "title": "a", "classification": classification, "callerName": "Ann", "narrative": "He found me.",
        "contact": { "phone": "1", "email": "a@b", "address": "7 Elm", "safeToCall": false },
    }));
    let created = block_on(domain.cases.create(Uuid::now_v7(), &lawyer, new.unwrap(), None)).unwrap();
    let Opened::Done(case) = created else { panic!() };
    Scene { domain, case: *case, lawyer, _folder: folder }
}

fn intake(clearance: Option<Clearance>) -> Actor {
    let mut actor = Actor::example(Uuid::now_v7(), Role::Intake);
    actor.who.standing = Standing::new(&[Role::Intake], clearance, 2);
    actor
}

impl Scene {
    fn seen(&self, actor: &Actor) -> Case {
        let found = block_on(self.domain.cases.find(actor, &self.case.case_number)).unwrap().found().unwrap();
        let listed = block_on(self.domain.cases.list(actor, ListQuery::default())).unwrap().cases.remove(0);
        let changed = block_on(self.domain.cases.changed_since(actor, 0, 9)).unwrap().unwrap().remove(0);
        let same = |other: &Case| other.masked == found.masked && other.contact == found.contact;
        assert!(same(&listed) && same(&changed), "one view everywhere");
        found
    }

    fn change(&self, actor: &Actor, version: u32, change: serde_json::Value) -> Case {
        let change = serde_json::from_value(change).unwrap();
        match block_on(self.domain.cases.update(actor, &self.case.case_number, version, change)).unwrap() {
            Updated::Done(case) => *case,
            _ => panic!("not changed"),
        }
    }
}

#[test]
fn where_somebody_lives_is_for_the_cleared_and_for_who_works_on_it() {
    let scene = scene("CONFIDENTIAL");
    let address = |case: &Case| case.contact.as_ref().unwrap().address.clone();
    assert_eq!(
        (address(&scene.seen(&scene.lawyer)).as_deref(), scene.seen(&scene.lawyer).masked.len()),
        (Some("7 Elm"), 0)
    );
    let clerk = intake(None);
    let seen = scene.seen(&clerk);
    assert_eq!((address(&seen), seen.masked.as_slice()), (None, ["/contact/address".to_owned()].as_slice()));
    assert_eq!((seen.caller_name.as_deref(), seen.contact.unwrap().phone.as_deref()), (Some("Ann"), Some("1")));
    scene.change(&scene.lawyer, 1, json!({ "assignedTo": clerk.who.user }));
    assert_eq!(address(&scene.seen(&clerk)).as_deref(), Some("7 Elm"));
}

#[test]
fn who_called_is_for_the_cleared_even_where_the_case_is_not_confidential() {
    let scene = scene("INTERNAL");
    let seen = scene.seen(&intake(Some(Clearance::Internal)));
    let contact = seen.contact.clone().unwrap();
    assert_eq!((seen.caller_name, seen.narrative, contact.phone, contact.email, contact.address), Default::default());
    assert_eq!((contact.safe_to_call, seen.title.as_str(), seen.masked.len()), (Some(false), "a", 5));
}

#[test]
fn a_change_by_somebody_who_does_not_see_it_leaves_it_as_it_is() {
    let scene = scene("CONFIDENTIAL");
    let clerk = intake(None);
    let changed = scene.change(&clerk, 1, json!({ "contact": { "phone": "2" } }));
    assert_eq!(changed.masked, ["/contact/address"], "nor is it told in the answer");
    let contact = scene.seen(&scene.lawyer).contact.unwrap();
    assert_eq!((contact.phone.as_deref(), contact.email, contact.address.as_deref()), (Some("2"), None, Some("7 Elm")));
    scene.change(&clerk, 2, json!({ "contact": { "address": "8 Oak" } }));
    assert_eq!(scene.seen(&scene.lawyer).contact.unwrap().address.as_deref(), Some("8 Oak"));
}

#[test]
fn history_tells_every_step_and_shows_each_version_to_those_who_see_it_now() {
    let scene = scene("CONFIDENTIAL");
    scene.change(&scene.lawyer, 1, json!({ "title": "b", "contact": { "address": "8 Oak" } }));
    scene.change(&scene.lawyer, 2, json!({ "state": "open", "urgency": "urgent", "title": "b" }));
    let page = |limit, cursor: Option<&str>| {
        let query = VersionQuery { limit: Some(limit), cursor: cursor.map(str::to_owned) };
        block_on(scene.domain.cases.history(scene.case.id, &query))
    };
    let first = page(2, None).unwrap();
    let told: Vec<_> = first.versions.iter().map(|step| (step.version, step.changed.join(" "))).collect();
    assert_eq!(told, [(3, "state urgency".to_owned()), (2, "title contact".to_owned())]);
    assert!(first.versions.iter().all(|step| step.by == Some(scene.lawyer.who.user)));
    let last = page(2, first.next_cursor.as_deref()).unwrap();
    assert_eq!((last.versions.len(), last.versions[0].version, last.versions[0].changed.len()), (1, 1, 0));
    assert_eq!(last.next_cursor, None);
    assert!(page(0, None).is_err() && page(2, Some("x")).is_err());

    let matter = block_on(scene.domain.cases.matter(&scene.case.case_number)).unwrap().unwrap();
    let was = |actor: &Actor, version| block_on(scene.domain.cases.as_it_was(actor, scene.case.id, &matter, version));
    let of_lawyer = was(&scene.lawyer, 1).unwrap().unwrap();
    assert_eq!((of_lawyer.title.as_str(), of_lawyer.contact.unwrap().address.as_deref()), ("a", Some("7 Elm")));
    let of_clerk = was(&intake(None), 1).unwrap().unwrap();
    assert_eq!((of_clerk.contact.unwrap().address, of_clerk.masked.len()), (None, 1));
    assert!(was(&scene.lawyer, 4).unwrap().is_none());
}

#[test]
fn what_is_archived_is_not_changed_any_more() {
    let scene = scene("CONFIDENTIAL");
    scene.change(&scene.lawyer, 1, json!({ "state": "closed" }));
    scene.change(&scene.lawyer, 2, json!({ "state": "archived" }));
    let change = CaseChange { title: Some("c".to_owned()), ..CaseChange::default() };
    let refused = block_on(scene.domain.cases.update(&scene.lawyer, &scene.case.case_number, 3, change));
    assert!(matches!(refused, Err(CaseError::Invalid(Invalid { pointer: "/state", .. }))));
}

#[test]
fn each_order_is_kept_over_its_pages() {
    let (domain, _folder) = domain();
    let lawyer = Actor::example(administrator(&domain).id, Role::Attorney);
    let levels = ["routine", "emergency", "soon", "emergency", "urgent", "routine", "soon"];
    let mut made = Vec::new();
    for (n, level) in levels.into_iter().enumerate() {
        let new = serde_json::from_value(json!({ "title": n.to_string(), "urgency": level })).unwrap();
        let Opened::Done(case) = block_on(domain.cases.create(Uuid::now_v7(), &lawyer, new, None)).unwrap() else {
            panic!()
        };
        made.push(case);
    }
    let listed = |sort| {
        let (mut titles, mut cursor) = (String::new(), None);
        loop {
            let query = ListQuery { limit: Some(2), sort: Some(sort), cursor, ..ListQuery::default() };
            let page = block_on(domain.cases.list(&lawyer, query)).unwrap();
            titles.extend(page.cases.into_iter().map(|case| case.title));
            let Some(next) = page.next_cursor else { return titles };
            cursor = Some(next);
        }
    };
    assert_eq!(listed(CaseOrder::Urgency), "1342605");
    // A case that is changed later than all others, by the clock that counts milliseconds.
    let first = made.iter().map(|case| case.updated_at.clone()).max().unwrap();
    while clock::rfc3339(clock::now_ms().cast_signed()) <= first {}
    block_on(domain.cases.update(&lawyer, &made[2].case_number, 1, CaseChange::default())).unwrap();
    assert!(listed(CaseOrder::Updated).starts_with('2'));
    let of_one_order = ListQuery { limit: Some(2), ..ListQuery::default() };
    let cursor = block_on(domain.cases.list(&lawyer, of_one_order)).unwrap().next_cursor;
    let in_another = ListQuery { sort: Some(CaseOrder::Urgency), cursor, ..ListQuery::default() };
    assert!(matches!(block_on(domain.cases.list(&lawyer, in_another)), Err(CaseError::Invalid(_))));
}
