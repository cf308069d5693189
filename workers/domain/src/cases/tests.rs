//! Cases through the whole room: opened, changed, listed, and never in clear on the disk.
use super::*;
use crate::policy::Role;
use crate::testing::{administrator, block_on, domain, vault};

fn attorney(user: Uuid) -> Actor {
    Actor::example(user, Role::Attorney)
}

fn new_case(title: &str) -> NewCase {
    serde_json::from_value(serde_json::json!({
        "title": title,
        "callerName": "Zenobia Quackenbush",
        "contact": { "phone": "+1 555 0142" },
        "narrative": "The xylophone was impounded.",
    }))
    .unwrap()
}

#[test]
fn a_case_is_found_by_id_and_by_number_by_those_who_may() {
    let (domain, _folder) = domain();
    let lawyer = attorney(administrator(&domain).id);
    let Opened::Done(case) = block_on(domain.cases.create(Uuid::now_v7(), &lawyer, new_case("a"), None)).unwrap()
    else {
        panic!()
    };
    for key in [case.id.to_string(), case.case_number.clone(), case.case_number.replace('-', "")] {
        assert_eq!(block_on(domain.cases.find(&lawyer, &key)).unwrap().found().unwrap().id, case.id, "{key}");
    }
    let stranger = Actor::example(Uuid::new_v4(), Role::Admin);
    assert!(block_on(domain.cases.find(&stranger, &case.case_number)).unwrap().found().is_none());
    assert!(block_on(domain.cases.find(&lawyer, "no such thing")).unwrap().found().is_none());
}

#[test]
fn what_is_marked_is_seen_by_the_cleared_alone() {
    let (domain, _folder) = domain();
    let lawyer = attorney(administrator(&domain).id);
    let intake = Actor::example(Uuid::new_v4(), Role::Intake);
    let mut marked = new_case("marked");
    marked.classification = Some(Classification::Restricted);
    let Opened::Done(case) = block_on(domain.cases.create(Uuid::now_v7(), &lawyer, marked, None)).unwrap() else {
        panic!()
    };
    assert!(block_on(domain.cases.find(&lawyer, &case.case_number)).unwrap().found().is_some());
    assert!(block_on(domain.cases.find(&intake, &case.case_number)).unwrap().found().is_none());
    assert!(block_on(domain.cases.list(&intake, ListQuery::default())).unwrap().cases.is_empty());
    assert_eq!(block_on(domain.cases.list(&lawyer, ListQuery::default())).unwrap().cases.len(), 1);
}

#[test]
fn a_change_needs_the_newest_version_and_an_allowed_state() {
    let (domain, _folder) = domain();
    let lawyer = attorney(administrator(&domain).id);
    let Opened::Done(case) = block_on(domain.cases.create(Uuid::now_v7(), &lawyer, new_case("a"), None)).unwrap()
    else {
        panic!()
    };
    let change = |version, json: serde_json::Value| {
        let change: CaseChange = serde_json::from_value(json).unwrap();
        block_on(domain.cases.update(&lawyer, &case.case_number, version, change))
    };
    let Updated::Done(changed) = change(1, serde_json::json!({ "state": "open" })).unwrap() else { panic!() };
    assert_eq!((changed.version, changed.title.as_str(), changed.state), (2, "a", CaseState::Open));
    assert_eq!(changed.created_at, case.created_at);
    assert!(matches!(change(1, serde_json::json!({})), Ok(Updated::Conflict { current_version: 2 })));
    let back = change(2, serde_json::json!({ "state": "new" }));
    assert!(matches!(back, Err(CaseError::Invalid(Invalid { pointer: "/state", .. }))));
}

#[test]
fn the_same_request_answers_what_it_made_then() {
    let (domain, _folder) = domain();
    let lawyer = attorney(administrator(&domain).id);
    let once = || Some(Once::new(&vault(), lawyer.who.user, "POST /cases", "key", [1; 32]));
    let Opened::Done(case) = block_on(domain.cases.create(Uuid::now_v7(), &lawyer, new_case("a"), once())).unwrap()
    else {
        panic!()
    };
    let change = CaseChange { title: Some("b".to_owned()), ..CaseChange::default() };
    block_on(domain.cases.update(&lawyer, &case.case_number, 1, change)).unwrap();
    let Opened::Before(again) = block_on(domain.cases.create(Uuid::now_v7(), &lawyer, new_case("a"), once())).unwrap()
    else {
        panic!()
    };
    assert_eq!((again.id, again.title.as_str(), again.version), (case.id, "a", 1));
}

#[test]
fn pages_follow_one_another_without_gap_or_repeat() {
    let (domain, _folder) = domain();
    let lawyer = attorney(administrator(&domain).id);
    for n in 0..7 {
        block_on(domain.cases.create(Uuid::now_v7(), &lawyer, new_case(&n.to_string()), None)).unwrap();
    }
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let query = ListQuery { limit: Some(3), cursor, ..ListQuery::default() };
        let page = block_on(domain.cases.list(&lawyer, query)).unwrap();
        seen.extend(page.cases.into_iter().map(|case| case.title));
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    seen.sort();
    assert_eq!(seen, ["0", "1", "2", "3", "4", "5", "6"]);
    let broken = ListQuery { cursor: Some("%%".to_owned()), ..ListQuery::default() };
    assert!(matches!(block_on(domain.cases.list(&lawyer, broken)), Err(CaseError::Invalid(_))));
}

#[test]
fn nothing_of_a_case_lies_in_clear() {
    let (domain, folder) = domain();
    let lawyer = attorney(administrator(&domain).id);
    block_on(domain.cases.create(Uuid::now_v7(), &lawyer, new_case("Hornswoggled"), None)).unwrap();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = if path.is_file() { std::fs::read(&path).unwrap() } else { Vec::new() };
        for secret in ["Quackenbush", "xylophone", "Hornswoggled", "0142"] {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} lies in {}", path.display());
        }
    }
}
