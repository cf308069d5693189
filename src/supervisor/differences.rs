//! What differs between two settings, and what of it a running service cannot take over.
use hotline::config::Config;

/// What has changed and cannot in a running service.
pub(super) fn needs_restart(changed: &[String]) -> Option<String> {
    let fixed: Vec<&str> = FIXED.iter().copied().filter(|key| changed.iter().any(|changed| changed == key)).collect();
    let what = fixed.join(", ");
    (!fixed.is_empty()).then(|| format!("{what}: cannot change while the service runs; restart it"))
}

/// `section.key` of every setting that differs.
pub(super) fn differences(old: &Config, new: &Config) -> Vec<String> {
    let flat = |config: &Config| {
        let value = serde_json::to_value(config).unwrap_or_default();
        let sections = value.as_object().cloned().unwrap_or_default();
        let keys = sections.into_iter().flat_map(|(section, keys)| {
            let keys = keys.as_object().cloned().unwrap_or_default();
            keys.into_iter().map(move |(key, value)| (format!("{section}.{key}"), value))
        });
        keys.collect::<Vec<_>>()
    };
    let both = flat(old).into_iter().zip(flat(new));
    let mut changed: Vec<String> = both.filter(|(old, new)| old != new).map(|((key, _), _)| key).collect();
    changed.sort();
    changed
}

/// What listeners, folders and the supervisor itself are made of, and the name of the published log.
const FIXED: [&str; 14] = [
    "server.bind",
    "paths.state_dir",
    "paths.run_dir",
    "telemetry.metrics_bind",
    "workers.api",
    "workers.background",
    "workers.user",
    "audit.origin",
    "keys.provider",
    "keys.kek_credential",
    "keys.pkcs11_module",
    "keys.pkcs11_token_label",
    "keys.pkcs11_key_label",
    "keys.pkcs11_pin_file",
];

#[cfg(test)]
mod tests {
    use super::*;
    use hotline::config::LoadFrom;

    #[test]
    fn what_differs_is_named() {
        let load = |text: &str| Config::load(LoadFrom::text(text)).unwrap();
        let old = load("");
        assert!(differences(&old, &old).is_empty());
        let new = load("[limits]\nconnections_max = 7\n[server]\nbind = \"127.0.0.1:1\"");
        assert_eq!(differences(&old, &new), ["limits.connections_max", "server.bind"]);
    }

    #[test]
    fn what_is_fixed_exists() {
        let value = serde_json::to_value(Config::load(LoadFrom::text("")).unwrap()).unwrap();
        for key in FIXED {
            let (section, key) = key.split_once('.').unwrap();
            assert!(value[section].get(key).is_some(), "{section}.{key}");
        }
    }
}
