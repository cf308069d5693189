//! Policies in a running service: one answer on every worker, changed by a reload or not at all, and explained.
use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Client, Hotline, Request, Role, binaries, repository};

/// A supervisor beside the administrator, with a password of their own.
fn colleague(hotline: &Hotline, admin: &Client) -> (String, Client) {
    let told = hotline.command(&["user", "add", "ana", "--role", "supervisor", "--json"]);
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let told: Value = serde_json::from_slice(&told.stdout).unwrap();
    let given = told["oneTimePassword"].as_str().unwrap().to_owned();
    let chosen = "umbrella kettle orchard";
    let log_in = |password: &str| {
        let body = json!({ "username": "ana", "password": password });
        let session = hotline.client().post_json("/api/v1/auth/login", &body).expect(200).json();
        (session["user"]["id"].as_str().unwrap().to_owned(), session["token"].as_str().unwrap().to_owned())
    };
    let first = admin.with_token(&log_in(&given).1);
    let change = json!({ "oldPassword": given, "newPassword": chosen });
    first.post_json("/api/v1/auth/password", &change).expect(204);
    let (id, token) = log_in(chosen);
    (id, admin.with_token(&token))
}

fn case(admin: &Client) -> (String, String) {
    let case = admin.post_json("/api/v1/cases", &json!({ "title": "Deposit kept" })).expect(201).json();
    let path = format!("/api/v1/cases/{}", case["id"].as_str().unwrap());
    (path, case["caseNumber"].as_str().unwrap().to_owned())
}

/// Every request is a connection of its own, so both workers answer.
fn all(client: &Client, path: &str, status: u16) {
    for _ in 0..24 {
        client.get(path).expect(status);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_wall_that_was_acknowledged_stands_on_every_worker_and_outlives_them() {
    let hotline = Hotline::start("");
    let admin = hotline.admin();
    let (id, ana) = colleague(&hotline, &admin);
    let (path, number) = case(&admin);
    all(&ana, &path, 200);
    let wall = json!({ "kind": "wall", "userId": id, "reason": "represents the landlord" });
    admin.post_json(&format!("{path}/guards"), &wall).expect(201);
    all(&ana, &path, 404);
    assert_eq!(ana.get("/api/v1/cases").expect(200).json()["cases"], json!([]));
    let former = hotline.kill(Role::Api, 0);
    hotline.wait_for_successor(Role::Api, 0, former);
    all(&ana, &path, 404);

    let explain = |more: &[&str]| {
        let told = hotline.command(&[&["policy", "explain", "--user", "ana", "--action"][..], more].concat());
        assert!(told.status.success(), "{}", text(&told.stderr));
        text(&told.stdout)
    };
    let told = explain(&["case_access", "--case", &number]);
    assert!(told.starts_with("denied") && told.contains("rail-wall: an ethical wall stands"), "{told}");
    let told = explain(&["audit_read"]);
    assert!(told.starts_with("denied\n  no policy permits it"), "{told}");
    assert!(explain(&["case_access"]).starts_with("allowed\n  roles.cedar:"));
    let nonsense = hotline.command(&["policy", "explain", "--user", "ana", "--action", "case_delete"]);
    assert!(
        !nonsense.status.success() && text(&nonsense.stderr).contains("case_access, "),
        "{}",
        text(&nonsense.stderr)
    );
    let matrix = text(&hotline.command(&["policy", "matrix"]).stdout);
    let written = fs::read_to_string(repository().join("config/policy/MATRIX.md")).unwrap();
    assert!(written.trim_end().ends_with(matrix.trim_end()) && matrix.contains("| case_access |"), "{matrix}");
}

#[test]
fn changed_policies_come_with_a_reload_and_broken_ones_change_nothing() {
    let folder = TempDir::new().unwrap();
    for entry in fs::read_dir(repository().join("config/policy")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    let hotline = Hotline::start(&format!("[paths]\npolicy_dir = {:?}", folder.path()));
    let admin = hotline.admin();
    let (path, _) = case(&admin);
    let write = |text: &str| fs::write(folder.path().join("house.cedar"), text).unwrap();
    all(&admin, &path, 200);

    write(r#"@id("nobody-writes") forbid (principal, action == Action::"case_write", resource is Matter);"#);
    let change =
        || admin.send(Request::new("PUT", &path).header("If-Match", "*").json(&json!({ "title": "b" }))).status;
    assert_eq!(change(), 200, "a file alone changes nothing");
    let reloaded = hotline.command(&["reload"]);
    assert_eq!(text(&reloaded.stdout).trim(), "changed policy.files", "{}", text(&reloaded.stderr));
    for _ in 0..12 {
        assert_eq!(change(), 403);
    }

    write(r#"@id("x") permit (principal in Role::"admin", action == Action::"case_access", resource);"#);
    let refused = hotline.command(&["reload"]);
    assert!(!refused.status.success() && text(&refused.stderr).contains("admin alone may case_access"));
    // A worker that is started now decides as the others do, not as the file says.
    let former = hotline.kill(Role::Api, 1);
    hotline.wait_for_successor(Role::Api, 1, former);
    all(&admin, &path, 200);
    for _ in 0..12 {
        assert_eq!(change(), 403);
    }
    let dir = folder.path().to_str().unwrap();
    let checked = hotline.command(&["policy", "check", dir]);
    assert_eq!((checked.status.code(), text(&checked.stdout)), (Some(78), String::new()));
    assert!(text(&checked.stderr).contains("admin alone may case_access"), "{}", text(&checked.stderr));
    write(r#"@id("x") permit (principal in Role::"intake", actoin, resource);"#);
    let checked = hotline.command(&["policy", "check"]);
    assert!(text(&checked.stderr).contains("house.cedar:1"), "{}", text(&checked.stderr));
    fs::remove_file(folder.path().join("house.cedar")).unwrap();
    let checked = hotline.command(&["policy", "check"]);
    assert!(checked.status.success() && text(&checked.stdout).contains("no mistakes"));
}

#[test]
fn without_policies_that_can_be_used_nothing_starts_and_the_folder_is_named() {
    let folder = TempDir::new().unwrap();
    let settings = folder.path().join("hotline.toml");
    let (policies, state) = (folder.path().join("who-may"), folder.path().join("state"));
    fs::write(&settings, format!("[paths]\npolicy_dir = {policies:?}\nstate_dir = {state:?}\n")).unwrap();
    let refused = |command: &str, why: &str| {
        let run = Command::new(binaries().join("hotline"))
            .current_dir(repository())
            .arg("--config")
            .arg(&settings)
            .arg(command)
            .output()
            .unwrap();
        let said = text(&run.stderr);
        assert_eq!(run.status.code(), Some(78), "{said}");
        for named in ["hotline.toml", "paths.policy_dir", "who-may", why] {
            assert!(said.contains(named), "{named} in {said}");
        }
    };
    for command in ["check-config", "serve"] {
        refused(command, "No such file");
    }
    fs::create_dir(&policies).unwrap();
    fs::write(policies.join("house.cedar"), r#"@id("x") permit (principal, actoin, resource);"#).unwrap();
    for command in ["check-config", "serve"] {
        refused(command, "house.cedar:1");
    }
    assert!(!state.exists(), "nothing was begun");
}
