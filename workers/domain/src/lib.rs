//! What the product knows, without HTTP: people, sessions, cases, calls, triage and the store.
//!
//! Sealing happens in these rooms, above the store, so whatever keeps the rows sees nothing readable.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::print_stdout))]

/// Recognises recordings by their bytes.
pub mod audio;
/// Sealed files beside the store.
mod blobs;
/// Recordings that come in, the queue that works on them, and what comes out.
pub mod calls;
/// Cases and their numbers.
pub mod cases;
/// Files that are kept as they came, and who had them in hand.
pub mod evidence;
/// The same request is carried out once.
pub mod once;
/// People with an account.
pub mod people;
/// Who may do what.
pub mod policy;
/// Threads for what would hold up an event loop.
mod pool;
/// What is sealed under which key, and sealing it anew.
pub mod sealed;
/// What a token names.
pub mod sessions;
/// Where everything is kept.
pub mod store;
/// Whose matter it is, and how they are forgotten.
pub mod subjects;
#[cfg(test)]
mod testing;
/// What a call said.
pub mod transcript;
/// What a call is about, how fast it presses, which dates run.
pub mod triage;

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::sync::Arc;

use hotline::config::Config;
use hotline::vault::Vault;

use store::StoreError;
use store::sqlite::Sqlite;

/// All rooms over one store. Cheap to clone.
#[derive(Clone)]
pub struct Domain {
    pub people: people::People,
    pub sessions: sessions::Sessions,
    pub cases: cases::Cases,
    pub calls: calls::Calls,
    pub evidence: evidence::Evidence,
    pub sealed: sealed::Sealed,
    pub access: policy::Access,
    pub subjects: subjects::Subjects,
    store: Sqlite,
}

impl Domain {
    /// Opens the store and brings it to the newest schema. Blocks; at start only.
    pub fn open(config: &Config, vault: Arc<Vault>, access: policy::Access) -> Result<Self, StoreError> {
        let folder = config.paths.store_dir();
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let erased = subjects::ErasedList::in_folder(&folder);
        let sqlite = Sqlite::open_without(&folder.join("hotline.db"), &config.store, Some(&erased))?;
        let store: Arc<dyn store::Store> = Arc::new(sqlite.clone());
        let keys = subjects::SubjectKeys::new(Arc::clone(&store), Arc::clone(&vault));
        let jurisdiction = config.triage.jurisdiction.clone();
        let calls = calls::Calls::open(
            Arc::clone(&store),
            keys.clone(),
            access.clone(),
            &config.paths.state_dir,
            jurisdiction.clone(),
            config.speech.clone(),
        )?;
        let evidence = evidence::Evidence::open(Arc::clone(&store), keys.clone(), &config.paths.state_dir)?;
        Ok(Self {
            people: people::People::new(Arc::clone(&store), Arc::clone(&vault), &config.passwords)?,
            sessions: sessions::Sessions::new(Arc::clone(&store), config.sessions.clone()),
            cases: cases::Cases::new(
                Arc::clone(&store),
                Arc::clone(&vault),
                keys.clone(),
                access.clone(),
                jurisdiction,
            ),
            sealed: sealed::Sealed::new(Arc::new(sqlite.clone()), vault, keys, calls.clone()),
            subjects: subjects::Subjects::new(Arc::clone(&store), calls.clone(), evidence.clone(), erased),
            calls,
            evidence,
            access,
            store: sqlite,
        })
    }

    /// Whether the store answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.store.ping().await
    }
}
