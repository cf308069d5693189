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
    // Settings without a fixed default stand there commented out: `# key = value`.
    let is_setting = |line: &str| line.split_once(" = ").is_some_and(|(key, _)| key.bytes().all(is_key_byte));
    let uncommented = |line: &str| line.strip_prefix("# ").filter(|rest| is_setting(rest)).unwrap_or(line).to_owned();
    let all: Vec<String> = shipped.lines().map(uncommented).collect();
    let all: toml::Table = all.join("\n").parse().unwrap();
    let mut named: Vec<String> = all
        .iter()
        .flat_map(|(section, keys)| keys.as_table().unwrap().keys().map(move |key| format!("{section}.{key}")))
        .collect();
    named.sort();
    assert_eq!(named, serde_keys(&load("").unwrap()));
}

fn is_key_byte(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'
}

#[test]
fn the_developers_file_is_right_and_stays_on_this_machine() {
    let config = load(include_str!("../../config/dev.toml")).unwrap();
    assert!(config.server.bind.ip().is_loopback());
    assert_eq!(config.server.environment, Environment::Development);
}

/// A file that sets every key, each to what `value` says.
fn every_key(value: impl Fn(&str) -> Option<String>) -> String {
    let line = |key: &String| Some(format!("{key} = {}\n", value(key)?));
    serde_keys(&load("").unwrap()).iter().filter_map(line).collect()
}

#[test]
fn every_key_has_a_type_and_all_that_are_wrong_are_named_together() {
    let told = load(&every_key(|_| Some("[1]".to_owned()))).unwrap_err();
    let named: Vec<_> = told.0.iter().filter(|mistake| mistake.value == "[1]").map(|mistake| &mistake.key).collect();
    for key in serde_keys(&load("").unwrap()) {
        assert!(named.contains(&&key), "{key} takes a list of numbers");
    }
}

#[test]
fn every_number_has_a_range() {
    let numbers = serde_json::to_value(load("").unwrap()).unwrap();
    let is_number = |key: &str| numbers.pointer(&format!("/{}", key.replace('.', "/"))).unwrap().is_number();
    for beyond in ["-1", "0", "9223372036854775807"] {
        let told = load(&every_key(|key| is_number(key).then(|| beyond.to_owned()))).unwrap_err();
        // Zero is said to mean "never by the clock".
        let has_meaning = |key: &str| beyond == "0" && key == "keys.kek_rotation_seconds";
        for key in serde_keys(&load("").unwrap()).into_iter().filter(|key| is_number(key) && !has_meaning(key)) {
            assert!(told.0.iter().any(|mistake| mistake.key == key), "{key} = {beyond} is taken");
        }
    }
}

#[test]
fn every_key_can_be_set_by_a_variable_that_its_mistake_names() {
    for key in serde_keys(&load("").unwrap()) {
        let name = format!("HOTLINE_{}", key.replace('.', "_").to_uppercase());
        let told = Config::load(LoadFrom::text("").with_variables(&[(&name, "[1]")])).unwrap_err();
        assert!(told.0.iter().any(|mistake| mistake.place == name && mistake.key == key), "{name}: {told}");
    }
}

#[test]
fn the_workers_account_is_a_known_one_and_not_root() {
    let account = |user: &str| load(&format!("[workers]\nuser = {user:?}\n")).map(|config| config.workers.user);
    assert_eq!(account("").unwrap(), None);
    let nobody = account("nobody").unwrap().unwrap();
    assert!(nobody.uid > 0 && nobody.groups.contains(&nobody.gid));
    let numbers = account("995:990").unwrap().unwrap();
    assert_eq!((numbers.uid, numbers.gid, numbers.groups.len()), (995, 990, 0));
    for wrong in ["no-such-user-here", "995:", "-1:5", "a:b"] {
        let told = account(wrong).unwrap_err().to_string();
        assert!(told.contains("workers.user") && told.contains("no account"), "{told}");
    }
    for root in ["root", "0:5", "5:0"] {
        assert!(account(root).unwrap_err().to_string().contains("must not be root"), "{root}");
    }
}

#[test]
fn our_names_win_over_the_seeds_in_any_order() {
    let mut variables = [
        ("PORT", "7443"),
        ("HOTLINE_BIND", "127.0.0.1:7001"),
        ("NODE_ENV", "production"),
        ("HOTLINE_SERVER_ENVIRONMENT", "development"),
    ];
    for _ in 0..2 {
        let config = Config::load(LoadFrom::text("").with_variables(&variables)).unwrap();
        assert_eq!(config.server.bind, "127.0.0.1:7001".parse().unwrap());
        assert_eq!(config.server.environment, Environment::Development);
        variables.reverse();
    }
}

#[test]
fn the_weak_settings_of_other_servers_are_refused_with_a_reason() {
    for key in ["ciphers", "dhparam", "min_version"] {
        let told = mistakes(&format!("[tls]\n{key} = \"x\"\n"));
        assert!(told.contains(&format!("tls.{key}")) && told.contains("TLS 1.3"), "{told}");
    }
}

#[test]
fn a_certificate_comes_with_its_key_and_both_exist() {
    assert!(mistakes("[tls]\ncertificate = \"/nonexistent/chain.pem\"").contains("tls.key: is missing"));
    assert!(mistakes("[tls]\nkey = \"/nonexistent/key.pem\"").contains("tls.certificate: is missing"));
    let told = mistakes("[tls]\ncertificate = \"/nonexistent/chain.pem\"\nkey = \"/nonexistent/key.pem\"");
    assert_eq!(told.matches("could not be read").count(), 2, "{told}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let from = LoadFrom::file_or_defaults(Some("/nonexistent/hotline.toml".into())).with_variables(&[]);
    assert!(Config::load(from).unwrap_err().to_string().contains("/nonexistent/hotline.toml: could not be read"));
}

/// `section.key` of every setting, sorted.
fn serde_keys(config: &Config) -> Vec<String> {
    let value = serde_json::to_value(config).unwrap();
    let sections = value.as_object().unwrap().iter();
    let mut keys: Vec<String> = sections
        .flat_map(|(section, keys)| keys.as_object().unwrap().keys().map(move |key| format!("{section}.{key}")))
        // What the files of `paths.policy_dir` say is carried along, not set.
        .filter(|key| key != "policy.files")
        .collect();
    keys.sort();
    keys
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
fn passkeys_are_for_one_domain_and_its_pages() {
    let people = |text: &str| load(&format!("[people]\n{text}")).map(|config| config.people);
    let localhost = people("").unwrap();
    assert_eq!(
        (&*localhost.passkey_domain, &*localhost.passkey_origins),
        ("localhost", &["https://localhost".to_owned()][..])
    );
    let one = people("passkey_origins = [\"https://hotline.example.org\"]").unwrap();
    assert_eq!(one.passkey_domain, "hotline.example.org");
    let two = "passkey_origins = [\"https://hotline.example.org\", \"https://console.example.org\"]\n";
    assert!(people(two).unwrap_err().to_string().contains("is not on \"hotline.example.org\""));
    people(&format!("{two}passkey_domain = \"example.org\"")).unwrap();
    for (text, told) in [
        ("passkey_domain = \"ample.org\"\npasskey_origins = [\"https://example.org\"]", "is not on"),
        ("passkey_domain = \"org\"\npasskey_origins = [\"https://example.org\"]", "must be a domain of yours"),
        ("passkey_origins = [\"http://example.org\"]", "none without https"),
        ("passkey_origins = [\"https://192.0.2.1\"]", "no passkeys for addresses"),
        ("passkey_origins = [\"*\"]", "one exact origin"),
    ] {
        assert!(
            mistakes(&format!("[people]\n{text}")).contains(told),
            "{text}: {}",
            mistakes(&format!("[people]\n{text}"))
        );
    }
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

#[test]
fn records_are_kept_for_seven_years_at_least() {
    assert_eq!(load("").unwrap().audit.retention_years, 7);
    assert_eq!(load("[audit]\nretention_years = 100").unwrap().audit.retention_years, 100);
    for years in ["6", "0", "-7", "101", "\"7\"", "7.5"] {
        let told = mistakes(&format!("[audit]\nretention_years = {years}"));
        assert!(told.contains("audit.retention_years") && told.contains("from 7 to 100"), "{told}");
    }
}
