//! What the tests of this crate share: a vault with fixed keys, a domain in a temporary folder.
use std::future::Future;
use std::sync::Arc;

use hotline::config::{Config, LoadFrom};
use hotline::vault::{KeyBytes, KeyClass, Vault};
use tempfile::TempDir;
use zeroize::Zeroizing;

use crate::Domain;
use crate::people::Person;
use crate::policy::Access;

pub(crate) fn vault() -> Arc<Vault> {
    vault_of(7)
}

pub(crate) fn other_vault() -> Arc<Vault> {
    vault_of(8)
}

fn vault_of(byte: u8) -> Arc<Vault> {
    let keys = (0..).zip(KeyClass::ALL).map(|(n, class): (u8, _)| {
        (class, vec![KeyBytes { version: 1, bytes: [byte.wrapping_mul(31).wrapping_add(n); 32] }])
    });
    Arc::new(Vault::new(keys))
}

/// The first version seals; the first one of all is `vault`'s.
pub(crate) fn vault_with(versions: &[u16]) -> Arc<Vault> {
    let keys = (0..).zip(KeyClass::ALL).map(|(n, class): (u8, _)| {
        let key = |version: &u16| {
            let byte = (7u8).wrapping_mul(31).wrapping_add(n).wrapping_add(100 * (*version as u8 - 1));
            // What is found by a digest must be found again.
            let byte = if class == KeyClass::BlindIndex { 7 } else { byte };
            KeyBytes { version: *version, bytes: [byte; 32] }
        };
        (class, versions.iter().map(key).collect())
    });
    Arc::new(Vault::new(keys))
}

pub(crate) fn config(folder: &TempDir) -> Config {
    config_of(folder.path())
}

pub(crate) fn config_of(folder: &std::path::Path) -> Config {
    let policy = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/policy");
    let text = format!("[paths]\nstate_dir = {:?}\npolicy_dir = {policy:?}\n", folder);
    Config::load(LoadFrom::text(&text)).unwrap()
}

pub(crate) fn domain() -> (Domain, TempDir) {
    let folder = TempDir::with_prefix("hotline-domain-").unwrap();
    (open(&config(&folder), vault()), folder)
}

pub(crate) fn open(config: &Config, vault: Arc<Vault>) -> Domain {
    let access = Access::load(&config.policy.files).unwrap_or_else(|error| panic!("{error}"));
    Domain::open(config, vault, access).unwrap()
}

pub(crate) fn administrator(domain: &Domain) -> Person {
    let password = Zeroizing::new(PASSWORD.to_owned());
    block_on(domain.people.create_first_administrator(password, false)).unwrap();
    block_on(domain.people.find("admin")).unwrap().unwrap()
}

pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

pub(crate) const PASSWORD: &str = "correct horse battery";
