//! The shipped file says what the parser does; every mistake is named; nothing makes it panic.
use super::*;
use proptest::prelude::*;

fn load(text: &str) -> Result<Config, ConfigErrors> {
    Config::load(LoadFrom::text(text))
}

fn mistakes(text: &str) -> String {
    load(text).unwrap_err().to_string()
}

#[test]
fn the_shipped_file_is_the_defaults_in_words() {
    let shipped = include_str!("../../config/hotline.toml");
    assert_eq!(load(shipped).unwrap(), load("").unwrap());
    for key in serde_keys(&load("").unwrap()) {
        let name = key.rsplit('.').next().unwrap();
        assert!(
            shipped.lines().any(|line| line.trim_start_matches("# ").starts_with(name)),
            "{key} is not in hotline.toml"
        );
    }
}

fn serde_keys(config: &Config) -> Vec<String> {
    let value = serde_json::to_value(config).unwrap();
    let sections = value.as_object().unwrap().iter();
    sections
        .flat_map(|(section, keys)| keys.as_object().unwrap().keys().map(move |key| format!("{section}.{key}")))
        .collect()
}

#[test]
fn every_mistake_is_told_at_once() {
    let told = mistakes(
        "[server]\nbind = \"nowhere\"\n[workers]\napi = 0\ndrain_deadline = 7\n[tls]\ncertificate = \"/nonexistent\"\n",
    );
    for named in ["server.bind = \"nowhere\"", "workers.api = 0", "drain_deadline_ms", "tls.key", "tls.certificate"] {
        assert!(told.contains(named), "{named} in {told}");
    }
    assert!(mistakes("this is not toml").contains("is not TOML"));
}

#[test]
fn origins_that_let_everybody_in_are_refused() {
    for origin in ["*", "null", "https://*", "http://example.org", "https://a.example/path"] {
        assert!(mistakes(&format!("[server]\nallowed_origins = [\"{origin}\"]")).contains("origin"), "{origin}");
    }
    load("[server]\nallowed_origins = [\"https://console.example.org:8443\"]").unwrap();
}

#[test]
fn metrics_stay_on_loopback_and_sockets_short() {
    assert!(mistakes("[telemetry]\nmetrics_bind = \"0.0.0.0:9464\"").contains("loopback"));
    let long = format!("[paths]\nrun_dir = \"/{}\"", "x".repeat(120));
    assert!(mistakes(&long).contains("too long"));
}

#[test]
fn the_environment_overrides_the_file() {
    let from = LoadFrom::text("[server]\nbind = \"127.0.0.1:1\"\n").with_variables(&[
        ("HOTLINE_BIND", "127.0.0.1:2"),
        ("HOTLINE_WORKERS", "3"),
        ("HOTLINE_LIMITS_CONNECTIONS_MAX", "77"),
        ("HOTLINE_STATE_DIR", "/var/lib/hotline"),
        ("ALLOWED_ORIGINS", "https://a.example, https://b.example"),
        ("HOSTNAME", "0123456789ab"),
    ]);
    let config = Config::load(from).unwrap();
    assert_eq!(config.server.bind, "127.0.0.1:2".parse().unwrap());
    assert_eq!((config.workers.api, config.limits.connections_max), (3, 77));
    assert_eq!(config.paths.run_dir, std::path::Path::new("/var/lib/hotline/run"));
    assert_eq!(config.server.allowed_origins.len(), 2);
    let port = LoadFrom::text("").with_variables(&[("PORT", "7443")]);
    assert_eq!(Config::load(port).unwrap().server.bind.port(), 7443);
}

#[test]
fn a_mistake_in_a_variable_names_the_variable() {
    let from = LoadFrom::text("").with_variables(&[("HOTLINE_WORKERS", "many"), ("HOTLINE_SERVER_BNID", "x")]);
    let told = Config::load(from).unwrap_err().to_string();
    assert!(told.contains("HOTLINE_WORKERS: workers.api = \"many\""), "{told}");
    assert!(told.contains("did you mean server.bind"), "{told}");
    let port = LoadFrom::text("").with_variables(&[("PORT", "abc")]);
    assert!(Config::load(port).unwrap_err().to_string().contains("PORT"));
}

#[test]
fn a_key_open_to_strangers_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
    std::fs::write(&certificate, "").unwrap();
    std::fs::write(&key, "").unwrap();
    let text = format!("[tls]\ncertificate = {certificate:?}\nkey = {key:?}\n");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(mistakes(&text).contains("chmod 600"));
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    load(&text).unwrap();
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}") {
        let _ = load(&text);
    }

    #[test]
    fn no_value_makes_it_panic(key in "[a-z_]{1,20}", value in "[\\-0-9a-z\"{}\\[\\]=., ]{0,30}") {
        for section in super::source::SECTIONS {
            let _ = load(&format!("[{section}]\n{key} = {value}\n"));
        }
    }
}
