//! A thread that reads and removes what the desk must not wait for: looks for records past their time, and takes the files
//! of a disposition away. One thing at a time; what came of it goes into the desk's inbox.
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use hotline::audit::disposal::{self, Search};
use hotline::audit::{Disposed, PublishedLog};
use hotline::sys;
use hotline::tlog::{Store, Verifier};

use crate::inbox::{Inbox, Note};

/// What the thread works on.
#[derive(Clone)]
pub struct Custody {
    pub folder: PathBuf,
    pub store: Store,
    /// Keys that may have signed the published head.
    pub trusted: Vec<Verifier>,
    pub retention_years: u16,
}

pub(crate) struct Custodian {
    custody: Custody,
    inbox: Inbox,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Custodian {
    pub(crate) fn new(custody: Custody, inbox: Inbox) -> Self {
        Self { custody, inbox, is_over: Arc::new(AtomicBool::new(false)), thread: None }
    }

    /// Looks for what is due.
    pub(crate) fn search(&mut self, disposed: Option<Disposed>, now_ms: i64, published_seq: u64) -> io::Result<()> {
        let is_over = Arc::clone(&self.is_over);
        self.start(move |custody| {
            let search = Search {
                folder: &custody.folder,
                published: PublishedLog { store: &custody.store, keys: &custody.trusted },
                disposed: disposed.as_ref(),
                retention_years: custody.retention_years,
                now_ms,
                published_seq,
            };
            Note::Found(disposal::due(&search, &|| is_over.load(Ordering::Relaxed)))
        })
    }

    /// Removes what is on record as disposed of.
    pub(crate) fn remove(&mut self, disposed: Disposed) -> io::Result<()> {
        self.start(move |custody| Note::Removed(disposal::dispose(&custody.folder, &custody.store, &disposed)))
    }

    fn start(&mut self, work: impl FnOnce(&Custody) -> Note + Send + 'static) -> io::Result<()> {
        self.join();
        let (custody, inbox) = (self.custody.clone(), self.inbox.clone());
        self.thread = Some(thread::Builder::new().name("custodian".to_owned()).spawn(move || {
            if let Err(error) = sys::run_nicely(NICENESS) {
                tracing::debug!(%error, "the custodian runs at the scribe's priority");
            }
            inbox.put(work(&custody));
        })?);
        Ok(())
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A search is given up; a removal is finished, and would be by the next start.
impl Drop for Custodian {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.join();
    }
}

const NICENESS: i32 = 10;
