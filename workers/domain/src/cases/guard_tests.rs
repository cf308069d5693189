//! What stands around a case is felt wherever the case can be met.
use super::*;
use crate::Domain;
use crate::policy::Role;
use crate::testing::{administrator, block_on, domain};

const WHY: &str = "opposing party in 24-CV-11";

struct Scene {
    domain: Domain,
    case: Case,
    lawyer: Actor,
    colleague: Actor,
    _folder: tempfile::TempDir,
}

fn scene(classification: Classification) -> Scene {
    let (domain, folder) = domain();
    let lawyer = Actor::example(administrator(&domain).id, Role::Attorney);
    let (other, _) = block_on(domain.people.invite("other", &[Role::Supervisor])).unwrap().unwrap();
    let colleague = Actor::example(other.id, Role::Supervisor);
    let mut new: NewCase = serde_json::from_value(serde_json::json!({ "title": "a" })).unwrap();
    new.classification = Some(classification);
    let Opened::Done(case) = block_on(domain.cases.create(Uuid::now_v7(), &lawyer, new, None)).unwrap() else {
        panic!()
    };
    Scene { domain, case: *case, lawyer, colleague, _folder: folder }
}

impl Scene {
    fn place(&self, kind: GuardKind, user_id: Option<Uuid>, what: Option<Consent>) -> Guard {
        let new = NewGuard { kind, user_id, what, reason: WHY.to_owned() };
        new.check().unwrap();
        let by = self.lawyer.who.user;
        block_on(self.domain.cases.place_guard(Uuid::now_v7(), self.case.id, new, by)).unwrap()
    }

    fn sees(&self, actor: &Actor) -> bool {
        let found = block_on(self.domain.cases.find(actor, &self.case.case_number)).unwrap().found().is_some();
        let listed = block_on(self.domain.cases.list(actor, ListQuery::default())).unwrap().cases.len() == 1;
        let changed = block_on(self.domain.cases.changed_since(actor, 0, 10)).unwrap().unwrap().len() == 1;
        assert!(found == listed && listed == changed, "one answer everywhere");
        found
    }

    fn end(&self, guard: &Guard) -> bool {
        block_on(self.domain.cases.end_guard(self.case.id, guard.id, self.lawyer.who.user)).unwrap()
    }
}

#[test]
fn a_wall_is_felt_everywhere_and_ends_once() {
    let scene = scene(Classification::Confidential);
    assert!(scene.sees(&scene.colleague));
    let wall = scene.place(GuardKind::Wall, Some(scene.colleague.who.user), None);
    assert!(!scene.sees(&scene.colleague) && scene.sees(&scene.lawyer));
    let sought = block_on(scene.domain.cases.find(&scene.colleague, &scene.case.case_number)).unwrap();
    assert!(matches!(sought, Sought::Denied { decision, .. } if decision.reasons[0].policy.ends_with("rail-wall")));
    let change =
        block_on(scene.domain.cases.update(&scene.colleague, &scene.case.case_number, 1, CaseChange::default()));
    assert!(matches!(change, Ok(Updated::NotFound)));
    assert!(scene.end(&wall) && scene.sees(&scene.colleague) && !scene.end(&wall));
    let kept = block_on(scene.domain.cases.guards(scene.case.id)).unwrap();
    assert_eq!((kept.len(), kept[0].reason.as_str(), kept[0].ended_by), (1, WHY, Some(scene.lawyer.who.user)));
}

#[test]
fn a_team_works_alone_and_broken_glass_lets_one_in() {
    let scene = scene(Classification::Confidential);
    scene.place(GuardKind::Member, Some(scene.lawyer.who.user), None);
    assert!(scene.sees(&scene.lawyer) && !scene.sees(&scene.colleague));
    let until_ms = 1_767_614_400_000 + 3_600_000;
    let (id, user) = (Uuid::now_v7(), scene.colleague.who.user);
    let broken = block_on(scene.domain.cases.break_glass(id, scene.case.id, WHY.to_owned(), user, until_ms)).unwrap();
    assert!(scene.sees(&scene.colleague));
    assert!(scene.end(&broken) && !scene.sees(&scene.colleague));
}

#[test]
fn a_hold_keeps_the_case_out_of_the_archive() {
    let scene = scene(Classification::Confidential);
    let state = |version, state| {
        let change = CaseChange { state: Some(state), ..CaseChange::default() };
        block_on(scene.domain.cases.update(&scene.lawyer, &scene.case.case_number, version, change)).unwrap()
    };
    assert!(matches!(state(1, CaseState::Closed), Updated::Done(_)));
    let hold = scene.place(GuardKind::Hold, None, None);
    let Updated::Denied(decision) = state(2, CaseState::Archived) else { panic!() };
    assert!(decision.reasons[0].why.as_deref().unwrap().contains("legal hold"));
    assert!(scene.end(&hold));
    assert!(matches!(state(2, CaseState::Archived), Updated::Done(_)));
}

#[test]
fn what_a_page_passes_over_is_not_lost_from_the_next() {
    let scene = scene(Classification::Confidential);
    let titles: Vec<String> = (0..30).map(|n| format!("case {n}")).collect();
    for (n, title) in titles.iter().enumerate() {
        let mut new: NewCase = serde_json::from_value(serde_json::json!({ "title": title })).unwrap();
        // Two of three are above the reader's clearance.
        new.classification = Some(if n % 3 == 0 { Classification::Internal } else { Classification::TopSecret });
        block_on(scene.domain.cases.create(Uuid::now_v7(), &scene.lawyer, new, None)).unwrap();
    }
    let (mut seen, mut cursor, mut pages) = (Vec::new(), None, 0);
    loop {
        let query = ListQuery { limit: Some(2), cursor, ..ListQuery::default() };
        let page = block_on(scene.domain.cases.list(&scene.colleague, query)).unwrap();
        seen.extend(page.cases.into_iter().map(|case| case.title));
        cursor = page.next_cursor;
        pages += 1;
        if cursor.is_none() {
            break;
        }
    }
    let mut wanted: Vec<String> = titles.into_iter().step_by(3).chain(["a".to_owned()]).collect();
    wanted.sort();
    seen.sort();
    assert_eq!(seen, wanted);
    assert!(pages <= 7, "{pages}");
}

#[test]
fn a_guard_says_whom_and_why() {
    let guard = |json| serde_json::from_value::<NewGuard>(json).map_err(drop).and_then(|new| new.check().map_err(drop));
    let user = Uuid::nil();
    assert!(guard(serde_json::json!({ "kind": "wall", "userId": user, "reason": WHY })).is_ok());
    assert!(guard(serde_json::json!({ "kind": "withheld", "what": "analysis", "reason": WHY })).is_ok());
    for wrong in [
        serde_json::json!({ "kind": "wall", "userId": user, "reason": "because" }),
        serde_json::json!({ "kind": "wall", "reason": WHY }),
        serde_json::json!({ "kind": "hold", "userId": user, "reason": WHY }),
        serde_json::json!({ "kind": "withheld", "reason": WHY }),
        serde_json::json!({ "kind": "member", "userId": user, "what": "analysis", "reason": WHY }),
        serde_json::json!({ "kind": "broken-glass", "userId": user, "reason": WHY }),
        serde_json::json!({ "kind": "door", "reason": WHY }),
    ] {
        assert!(guard(wrong.clone()).is_err(), "{wrong}");
    }
}

#[test]
fn a_secret_opens_its_own_case_until_another_takes_its_place() {
    let scene = scene(Classification::Confidential);
    let (cases, by) = (&scene.domain.cases, scene.lawyer.who.user);
    let give = || block_on(cases.give_caller_access(Uuid::now_v7(), scene.case.id, by)).unwrap();
    let opens = |number: &str, secret: &str| block_on(cases.known_caller(number, secret)).unwrap();
    let first = give();
    let number = scene.case.case_number.as_str();
    let (case, guard) = opens(number, &first).unwrap();
    assert_eq!(case, scene.case.id);
    assert_eq!(opens(number, &first.to_uppercase().replace('-', " ")), Some((case, guard)), "as it was heard");
    assert_eq!(opens(number, "aaaaa-aaaaa-aaaaa-aaaaa"), None);
    assert_eq!(opens("000-000-000-000", &first), None);

    let caller = Actor::example(guard, Role::Caller);
    let may = |action| block_on(cases.find_for(&caller, action, number)).unwrap().found().is_some();
    assert!(may(Action::CaseFollow) && !may(Action::CaseAccess) && !may(Action::CaseWrite));
    let second = give();
    assert!(opens(number, &first).is_none() && opens(number, &second).is_some());
    assert!(!may(Action::CaseFollow), "what the first one opened is closed");
    assert!(block_on(cases.end_caller_access(scene.case.id, by)).unwrap());
    assert!(opens(number, &second).is_none() && !block_on(cases.end_caller_access(scene.case.id, by)).unwrap());
    let kept = block_on(cases.guards(scene.case.id)).unwrap();
    assert!(kept.iter().all(|guard| guard.what.is_none()), "no digest is shown");
}
