//! The shipped policies hold what they promise, and what is wrong in a file is told with its place.
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use proptest::prelude::*;
use uuid::Uuid;

use crate::*;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/policy")
}

fn shipped() -> Files {
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let policies = files.filter(|path| path.extension().unwrap() == "cedar");
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    policies.map(|path| (name(&path), fs::read_to_string(&path).unwrap())).collect()
}

fn policy() -> &'static Policy {
    static POLICY: OnceLock<Policy> = OnceLock::new();
    POLICY.get_or_init(|| Policy::load(&shipped()).unwrap_or_else(|error| panic!("{error}")))
}

/// The shipped policies and one file more.
fn with(text: &str) -> Result<Policy, PolicyError> {
    let mut files = shipped();
    files.insert("more.cedar".to_owned(), text.to_owned());
    Policy::load(&files)
}

fn refusal(text: &str) -> String {
    with(text).err().unwrap().to_string()
}

fn who(role: Role) -> Who {
    Who { user: Uuid::from_u128(1), standing: Standing::new(&[role], None, 2) }
}

fn matter() -> Matter {
    Matter { id: Uuid::from_u128(9), classification: Clearance::Confidential, ..Matter::default() }
}

fn now() -> Circumstances {
    Circumstances { minute: Minute::of_ms(1_767_614_400_000), purpose: Some(Purpose::Representation) }
}

#[track_caller]
fn because(decision: &Decision, policy: &str) {
    assert!(!decision.allowed);
    assert!(decision.reasons.iter().any(|reason| reason.policy.ends_with(policy)), "{decision:?}");
}

#[test]
fn the_table_of_roles_is_the_one_that_is_written_down() {
    let file = folder().join("MATRIX.md");
    let made = matrix(policy());
    if std::env::var_os("HOTLINE_WRITE_MATRIX").is_some() {
        let head = fs::read_to_string(&file).unwrap_or_default();
        let head = head.split("| |").next().unwrap_or_default().to_owned();
        fs::write(&file, format!("{head}{made}")).unwrap();
    }
    let written = fs::read_to_string(&file).unwrap();
    assert!(written.ends_with(&made), "HOTLINE_WRITE_MATRIX=1 writes it anew:\n{made}");
}

#[test]
fn a_wall_holds_whoever_one_is_and_whatever_one_broke() {
    let policy = policy();
    for role in [Role::Attorney, Role::Supervisor, Role::Intake] {
        let who = who(role);
        let grant = Grant { user: who.user, until_ms: i64::MAX };
        let matter = Matter { walled: vec![who.user], team: vec![who.user], grants: vec![grant], ..matter() };
        for action in Action::ALL.iter().filter(|action| action.concerns_matters()) {
            let decision = policy.decide(&who, *action, Some(&matter), &now());
            assert!(!decision.allowed, "{role} {}", action.name());
        }
        because(&policy.decide(&who, Action::CaseAccess, Some(&matter), &now()), "rail-wall");
    }
}

#[test]
fn clearance_and_team_give_way_to_broken_glass_for_its_time() {
    let policy = policy();
    let supervisor = who(Role::Supervisor);
    let secret = Matter { classification: Clearance::TopSecret, ..matter() };
    let closed = Matter { team: vec![Uuid::from_u128(5)], ..matter() };
    for (matter, reason) in [(secret, "clearance"), (closed, "team")] {
        because(&policy.decide(&supervisor, Action::CaseAccess, Some(&matter), &now()), reason);
        assert!(policy.decide(&supervisor, Action::BreakGlass, Some(&matter), &now()).allowed);
        let until_ms = 1_767_614_400_000 + 600_000;
        let broken = Matter { grants: vec![Grant { user: supervisor.user, until_ms }], ..matter };
        assert!(policy.decide(&supervisor, Action::CaseAccess, Some(&broken), &now()).allowed);
        let later = Circumstances { minute: Minute::of_ms(until_ms.cast_unsigned()), ..now() };
        assert!(!policy.decide(&supervisor, Action::CaseAccess, Some(&broken), &later).allowed);
        let intake = Who { user: Uuid::from_u128(2), ..who(Role::Intake) };
        assert!(!policy.decide(&intake, Action::CaseAccess, Some(&broken), &now()).allowed, "somebody else's");
    }
}

#[test]
fn assurance_purpose_hold_and_consent_count() {
    let policy = policy();
    let attorney = who(Role::Attorney);
    let secret = Matter { classification: Clearance::TopSecret, ..matter() };
    assert!(policy.decide(&attorney, Action::CaseAccess, Some(&secret), &now()).allowed);
    let once = Who { standing: Standing { factors: 1, ..attorney.standing }, ..attorney };
    because(&policy.decide(&once, Action::CaseAccess, Some(&secret), &now()), "assurance");
    let unstated = Circumstances { purpose: None, ..now() };
    because(&policy.decide(&attorney, Action::CaseAccess, Some(&secret), &unstated), "purpose");
    let held = Matter { held: true, ..matter() };
    because(&policy.decide(&attorney, Action::CaseArchive, Some(&held), &now()), "rail-hold");
    assert!(policy.decide(&attorney, Action::CaseArchive, Some(&matter()), &now()).allowed);
    let unwilling = Matter { withheld: vec!["analysis".to_owned()], ..matter() };
    because(&policy.decide(&attorney, Action::AiUse, Some(&unwilling), &now()), "consent");
}

#[test]
fn who_called_follows_their_own_matter_and_nothing_else() {
    let policy = policy();
    let caller = who(Role::Caller);
    let own = Matter { followers: vec![caller.user], classification: Clearance::TopSecret, ..matter() };
    assert!(policy.decide(&caller, Action::CaseFollow, Some(&own), &now()).allowed);
    because(&policy.decide(&caller, Action::CaseFollow, Some(&matter()), &now()), "rail-caller");
    because(&policy.decide(&caller, Action::CaseAccess, Some(&own), &now()), "rail-caller");
    assert_eq!(policy.permissions(caller.standing, now().minute), Permissions::CASE_FOLLOW);
}

#[test]
fn office_hours_can_be_written_as_a_policy() {
    let policy = with(
        r#"@id("hours") forbid (principal in Role::"intake", action in Action::"casework", resource)
           when { context.minuteOfDay < 480 || context.minuteOfDay >= 1200 || context.weekday > 5 };"#,
    )
    .unwrap_or_else(|error| panic!("{error}"));
    let night = Circumstances { minute: Minute::of_ms(1_767_614_400_000 + 10 * 3_600_000), ..now() };
    assert!(policy.decide(&who(Role::Intake), Action::CaseAccess, Some(&matter()), &now()).allowed);
    because(&policy.decide(&who(Role::Intake), Action::CaseAccess, Some(&matter()), &night), "hours");
    assert!(!policy.permissions(who(Role::Intake).standing, night.minute).contain(Permissions::CASE_ACCESS));
}

#[test]
fn what_is_wrong_in_a_file_is_named_with_its_place() {
    let wrong =
        refusal("@id(\"a\") permit (principal, action, resource);\n\n@id(\"b\") permit (principal, actoin, resource);");
    assert!(wrong.contains("more.cedar:3"), "{wrong}");
    let unknown =
        refusal(r#"@id("x") permit (principal in Role::"intake", action == Action::"case_delete", resource);"#);
    assert!(unknown.contains("more.cedar:1 x") && unknown.contains("case_delete"), "{unknown}");
    let typed = refusal(r#"@id("x") forbid (principal, action, resource is Matter) when { resource.held == "yes" };"#);
    assert!(typed.contains("more.cedar:1 x"), "{typed}");
    let nameless = refusal(r#"forbid (principal, action, resource);"#);
    assert!(nameless.contains("@id"), "{nameless}");
    let twice = refusal(r#"@id("intake") forbid (principal, action, resource) when { false };"#);
    assert!(twice.contains("intake"), "{twice}");
    let template = refusal(r#"@id("t") permit (principal == ?principal, action, resource);"#);
    assert!(template.contains("?principal"), "{template}");
    let nothing = Policy::load(&Files::new()).err().unwrap().to_string();
    assert!(nothing.contains("nobody could do anything"), "{nothing}");
}

#[test]
fn promises_of_the_house_are_not_for_files_to_break() {
    let reads = refusal(r#"@id("x") permit (principal in Role::"admin", action == Action::"case_access", resource);"#);
    assert!(reads.contains("admin alone may case_access"), "{reads}");
    let locked = refusal(r#"@id("x") forbid (principal, action == Action::"user_manage", resource);"#);
    assert!(locked.contains("admin may not user_manage"), "{locked}");
    let machine =
        refusal(r#"@id("x") permit (principal in Role::"service", action == Action::"user_manage", resource);"#);
    assert!(machine.contains("service may user_manage"), "{machine}");
    // Other rails hold although somebody permits everything.
    let policy = with(r#"@id("x") permit (principal in Role::"attorney", action, resource);"#).ok().unwrap();
    let walled = Matter { walled: vec![who(Role::Attorney).user], ..matter() };
    assert!(!policy.decide(&who(Role::Attorney), Action::CaseAccess, Some(&walled), &now()).allowed);
}

fn any_role() -> impl Strategy<Value = Role> {
    (0..Role::ALL.len()).prop_map(|at| Role::ALL[at])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// More roles never take anything away, less clearance never gives anything.
    #[test]
    fn rights_grow_with_roles_and_clearance(
        first in any_role(), second in any_role(), action in 0..Action::ALL.len(), class in 0..5usize, own in 0..5usize,
    ) {
        let policy = policy();
        let action = Action::ALL[action];
        let matter = Matter { classification: Clearance::ALL[class], ..matter() };
        let at = |roles: &[Role], clearance: Clearance| {
            let who = Who { standing: Standing::new(roles, Some(clearance), 2), ..who(first) };
            policy.decide(&who, action, Some(&matter), &now()).allowed
        };
        let clearance = Clearance::ALL[own];
        if at(&[first], clearance) && second != Role::Caller && first != Role::Caller {
            prop_assert!(at(&[first, second], clearance));
            prop_assert!(at(&[first], Clearance::TopSecret));
        }
    }
}
