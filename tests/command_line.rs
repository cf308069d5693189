//! Every command works unattended; every config mistake is named, all at once.
use std::process::{Command, Output};

use crate::support::{Hotline, binaries, repository};

fn check(text: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.toml");
    std::fs::write(&file, text).unwrap();
    Command::new(binaries().join("hotline")).arg("check-config").arg(&file).output().unwrap()
}

#[test]
fn every_shipped_config_is_valid() {
    for name in ["hotline.toml", "dev.toml"] {
        let file = repository().join("config").join(name);
        let output = Command::new(binaries().join("hotline"))
            .current_dir(repository())
            .arg("check-config")
            .arg(&file)
            .output()
            .unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn all_mistakes_are_named_at_once_with_file_key_value_and_remedy() {
    let output = check(
        r#"
        [server]
        bind = "localhost:http"
        allowed_origins = ["*"]
        [tls]
        dhparam = "/etc/dh.pem"
        [workers]
        drain_deadline = 5
        api = 0
        [telemetry]
        metrics_bind = "0.0.0.0:9464"
        "#,
    );
    assert_eq!(output.status.code(), Some(78));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    for named in [
        "bad.toml",
        "server.bind",
        "localhost:http",
        "server.allowed_origins",
        "tls.dhparam",
        "drain_deadline_ms",
        "workers.api",
        "telemetry.metrics_bind",
    ] {
        assert!(text.contains(named), "{named} in:\n{text}");
    }
}

#[test]
fn health_tells_by_its_exit_code() {
    let hotline = Hotline::start("");
    let url = format!("https://127.0.0.1:{}", hotline.address.port());
    assert_eq!(hotline.command(&["health", &url]).status.code(), Some(0));
    assert_eq!(hotline.command(&["health"]).status.code(), Some(0), "finds its own address");
    let (_, folder) = hotline.stop();
    let output = Command::new(binaries().join("hotline")).args(["health", &url]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    drop(folder);
}

#[test]
fn status_is_a_table_and_json() {
    let hotline = Hotline::start("");
    let table = String::from_utf8(hotline.command(&["status"]).stdout).unwrap();
    for slot in ["api-0", "api-1", "scribe-0", "background-0"] {
        assert!(table.contains(slot), "{table}");
    }
    assert!(hotline.status()["workers"].as_array().unwrap().iter().all(|worker| worker["phase"] == "serving"));
}

#[test]
fn a_worker_started_by_hand_says_why_it_leaves() {
    for worker in ["hotline-api", "hotline-scribe", "hotline-background"] {
        let output = Command::new(binaries().join(worker)).stdin(std::process::Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(78), "{worker}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("hotline serve"), "{worker} names the way in");
    }
}
