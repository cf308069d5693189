//! What tests of the runner start from: a real store, vault and board, a scribe that keeps what it is
//! told, and an engine that does as the test says.
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hotline::audit::{AuditClient, Event};
use hotline::board::Board;
use hotline::config::{Config, LoadFrom};
use hotline::vault::{KeyClass, Vault};
use hotline::wire::{self, FromScribe, KeyBytes, LiveEvent, Role, Slot, ToScribe};
use hotline_domain::Domain;
use hotline_domain::audio::Container;
use hotline_domain::calls::{Accepted, Call, Caller, HeldCall, NewCall};
use hotline_domain::policy::{Access, Actor, Circumstances, Minute, Standing, Who};
use hotline_domain::transcript::{self, Segment};
use hotline_domain::triage::Triage;
use tempfile::TempDir;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::life::Rooms;
use super::models::Models;
use crate::speech::engine::Heard;
use crate::speech::{Engine, EngineError, Job};

pub(super) struct Fixture {
    pub(super) rooms: Arc<Rooms>,
    pub(super) published: Arc<Mutex<Vec<LiveEvent>>>,
    /// How often the engine was asked.
    pub(super) listened: Arc<AtomicU32>,
    recorded: Arc<Mutex<Vec<Event>>>,
    deaf: Arc<AtomicBool>,
    folder: TempDir,
}

impl Fixture {
    /// With an engine that hears `WORDS`.
    pub(super) fn start() -> Self {
        Self::with(|_| Ok(heard()), |_| {})
    }

    pub(super) fn with(
        script: impl Fn(&Job) -> Result<Heard, EngineError> + Send + Sync + 'static,
        change: impl FnOnce(&mut Rooms),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let deaf = Arc::new(AtomicBool::new(false));
        let recorded = scribe(&folder.path().join("scribe.sock"), Arc::clone(&deaf));
        let (published, listened) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicU32::new(0)));
        let sink = Arc::clone(&published);
        let engine = Scripted { script: Box::new(script), listened: Arc::clone(&listened), description: description() };
        let config = config(folder.path());
        let mut rooms = Rooms {
            domain: Domain::open(&config, vault(), Access::load(&config.policy.files).unwrap()).unwrap(),
            audit: AuditClient::connect(folder.path(), "background-0@7.1".to_owned(), &config.audit),
            board: Arc::new(Board::create(7).unwrap().0),
            triage: Arc::new(Triage::load(&config.paths.knowledge_dir).unwrap()),
            models: Models::given(Box::new(engine)),
            publish: Box::new(move |event| sink.lock().unwrap().push(event)),
            owner: "background-0@7.1".to_owned(),
            slot: Slot { role: Role::Background, index: 0, cell: 2 },
            standstill_max: Duration::from_secs(60),
            running: Arc::default(),
            config,
        };
        change(&mut rooms);
        Self { rooms: Arc::new(rooms), published, listened, recorded, deaf, folder }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Hands in a second of speech.
    pub(super) async fn call(&self) -> Uuid {
        self.call_of(include_bytes!("../../samples/decoders/pcm.wav")).await
    }

    pub(super) async fn call_of(&self, audio: &[u8]) -> Uuid {
        let new = NewCall {
            audio: Zeroizing::new(audio.to_vec()),
            container: Container::Wav,
            consented: true,
            caller: Caller::default(),
            jurisdiction: None,
            once: None,
        };
        match self.rooms.domain.calls.accept(Uuid::now_v7(), &actor(), new).await.unwrap() {
            Accepted::Done(id) => id,
            _ => panic!("the call was not accepted"),
        }
    }

    pub(super) async fn lease(&self) -> HeldCall {
        self.rooms.domain.calls.lease(&self.rooms.owner).await.unwrap().expect("a call waits")
    }

    pub(super) async fn find(&self, call: Uuid) -> Call {
        self.rooms.domain.calls.find(&actor(), call).await.unwrap().found().unwrap()
    }

    /// Actions in the log, in order.
    pub(super) fn actions(&self) -> Vec<String> {
        self.recorded.lock().unwrap().iter().map(|event| event.action.clone()).collect()
    }

    pub(super) fn records(&self) -> Vec<Event> {
        self.recorded.lock().unwrap().clone()
    }

    /// From now on nothing is acknowledged.
    pub(super) fn deafen_scribe(&self) {
        self.deaf.store(true, Ordering::Relaxed);
    }
}

/// Words that triage understands.
pub(super) const WORDS: &str = "My landlord gave me a three day notice and wants to evict me.";

pub(super) fn heard() -> Heard {
    let segments = vec![Segment { start_ms: 0, end_ms: 900, text: WORDS.to_owned(), confidence: 0.9 }];
    Heard { language: "en".to_owned(), language_probability: 1.0, segments }
}

/// An engine that listens until it is told to stop.
pub(super) fn until_cancelled(job: &Job) -> Result<Heard, EngineError> {
    while !job.is_cancelled() {
        std::thread::yield_now();
    }
    Err(EngineError::Cancelled)
}

type Script = dyn Fn(&Job) -> Result<Heard, EngineError> + Send + Sync;

struct Scripted {
    script: Box<Script>,
    listened: Arc<AtomicU32>,
    description: transcript::Engine,
}

impl Engine for Scripted {
    fn describe(&self) -> &transcript::Engine {
        &self.description
    }

    fn listen(&self, _samples: &[f32], _language: Option<&str>, job: &Job) -> Result<Heard, EngineError> {
        self.listened.fetch_add(1, Ordering::SeqCst);
        (self.script)(job)
    }
}

fn description() -> transcript::Engine {
    let name = |text: &str| text.to_owned();
    transcript::Engine { name: name("script"), model: name("none"), model_sha256: name("00"), parameters: name("") }
}

fn actor() -> Actor {
    use hotline_domain::policy::Role::Attorney;
    let who = Who { user: Uuid::from_u128(1), standing: Standing::new(&[Attorney], None, 1) };
    Actor { who, when: Circumstances { minute: Minute::of_ms(0), purpose: None } }
}

fn config(folder: &Path) -> Config {
    let knowledge = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/knowledge");
    let policy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/policy");
    let text = format!("[paths]\nstate_dir = {folder:?}\npolicy_dir = {policy:?}\nknowledge_dir = {knowledge:?}\n");
    let mut config = Config::load(LoadFrom::text(&text)).unwrap();
    config.audit.wait_ms_max = 1_000;
    config
}

fn vault() -> Arc<Vault> {
    let keys = (1..).zip(KeyClass::ALL);
    Arc::new(Vault::new(keys.map(|(n, class)| (class, vec![KeyBytes { version: 1, bytes: [n; 32] }]))))
}

fn scribe(path: &Path, deaf: Arc<AtomicBool>) -> Arc<Mutex<Vec<Event>>> {
    let listener = UnixListener::bind(path).unwrap();
    let recorded = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&recorded);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            while let Ok(Some(message)) = wire::read(&mut stream) {
                let number = match message {
                    ToScribe::Open { .. } => 0,
                    ToScribe::Append { .. } if deaf.load(Ordering::Relaxed) => continue,
                    ToScribe::Append { first_number, events } => {
                        let number = first_number + events.len() as u64 - 1;
                        kept.lock().unwrap().extend(events);
                        number
                    }
                };
                if wire::write(&mut stream, &FromScribe::Durable { number }).is_err() {
                    break;
                }
            }
        }
    });
    recorded
}
