//! Somebody is forgotten: at once, on every worker, in every copy, and on record.
use serde_json::json;

use crate::support::{Hotline, Role};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn who_is_forgotten_is_gone_from_every_worker_and_stays_gone() {
    let hotline = Hotline::start("");
    let admin = hotline.admin();
    let open = |title: &str| {
        let case = admin.post_json("/api/v1/cases", &json!({ "title": title, "callerName": "Zenobia" })).expect(201);
        let case = case.json();
        (format!("/api/v1/cases/{}", case["id"].as_str().unwrap()), case["caseNumber"].as_str().unwrap().to_owned())
    };
    let ((path, number), (other, _)) = (open("Deposit kept"), open("Locked out"));
    // In the caches of both workers.
    (0..24).for_each(|_| drop(admin.get(&path).expect(200)));
    let nobody = hotline.command(&["subject", "erase", "000-000-000-000", "--reason", "asked for it"]);
    assert!(!nobody.status.success() && text(&nobody.stderr).contains("no case"), "{}", text(&nobody.stderr));
    let told = hotline.command(&["subject", "erase", &number, "--reason", "asked for it"]);
    assert!(told.status.success() && text(&told.stdout).contains("is erased"), "{}", text(&told.stderr));
    for _ in 0..24 {
        assert_eq!(admin.get(&path).expect(410).json()["code"], "erased");
    }
    let former = hotline.kill(Role::Api, 0);
    hotline.wait_for_successor(Role::Api, 0, former);
    for _ in 0..12 {
        admin.get(&path).expect(410);
        admin.get(&other).expect(200);
    }
    let listed = admin.get("/api/v1/cases").expect(200).json();
    let row = listed["cases"].as_array().unwrap().iter().find(|case| case["caseNumber"] == number).unwrap();
    assert_eq!((&row["erased"], &row["title"], row["callerName"].is_null()), (&json!(true), &json!(""), true));
    let again = hotline.command(&["subject", "erase", &number, "--reason", "asked for it"]);
    assert!(again.status.success(), "{}", text(&again.stderr));
    let log = text(&hotline.command(&["audit", "tail", "-n", "200", "--json"]).stdout);
    assert!(log.contains("subject.erase"));
    assert!(hotline.command(&["audit", "verify"]).status.success());
}
