//! What tests of this worker start from: a configuration with a folder of its own.
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use bytes::Bytes;
use hotline::audit::{AuditClient, Event};
use hotline::board::Board;
use hotline::config::{Config, LoadFrom};
use hotline::vault::{KeyClass, Vault};
use hotline::wire::{self, FromScribe, KeyBytes, LiveEvent, Role, Slot, ToScribe};
use hotline_domain::policy::Access;
use hotline_domain::{Domain, triage};
use hotline_passkeys::Ceremonies;
use http::HeaderMap;
use parking_lot::Mutex;

use crate::app::{App, Parts, Shared};
use crate::connection::Connection;
use crate::gate::{self, Tokens};

/// Generous budgets, everything below `folder`; the rest as shipped.
pub(crate) fn config(folder: &Path) -> Config {
    let text = format!(
        r#"
        [server]
        bind = "127.0.0.1:0"
        environment = "development"
        allowed_origins = ["https://console.example"]
        [paths]
        state_dir = {state:?}
        knowledge_dir = {knowledge:?}
        policy_dir = {policy:?}
        [telemetry]
        metrics_bind = "127.0.0.1:0"
        [rate]
        anonymous = {{ requests = 100000, window_seconds = 60 }}
        authenticated = {{ requests = 100000, window_seconds = 60 }}
        login = {{ requests = 1000, window_seconds = 60 }}
        voice = {{ requests = 1000, window_seconds = 60 }}
        [people]
        mfa = "offered"
        [speech]
        synchronous_wait_ms = 200
        "#,
        state = folder,
        knowledge = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/knowledge"),
        policy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/policy"),
    );
    Config::load(LoadFrom::text(&text)).unwrap()
}

/// A worker without sockets: a real store, vault and board, and a scribe that keeps what it is told.
pub(crate) struct Fixture {
    pub(crate) app: Shared,
    pub(crate) recorded: Arc<Mutex<Vec<Event>>>,
    pub(crate) published: Arc<Mutex<Vec<LiveEvent>>>,
    deaf: Arc<AtomicBool>,
    _folder: tempfile::TempDir,
}

impl Fixture {
    pub(crate) async fn start(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(folder.path());
        change(&mut config);
        std::fs::create_dir_all(&config.paths.run_dir).unwrap();
        let deaf = Arc::new(AtomicBool::new(false));
        let recorded = scribe(&config.paths.run_dir.join("scribe.sock"), Arc::clone(&deaf));
        let keys = [KeyClass::Cache, KeyClass::Case, KeyClass::Call, KeyClass::BlindIndex, KeyClass::Person];
        let vault =
            Arc::new(Vault::new(keys.map(|class| (class, vec![KeyBytes { version: 1, bytes: [class as u8; 32] }]))));
        let (board, _fd) = Board::create(7).unwrap();
        let published = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&published);
        let app = App::new(Parts {
            slot: Slot { role: Role::Api, index: 0, cell: 2 },
            generation: 1,
            boot_id: 7,
            board: Arc::new(board),
            domain: Domain::open(&config, Arc::clone(&vault), Access::load(&config.policy.files).unwrap()).unwrap(),
            audit: AuditClient::connect(&config.paths.run_dir, "api-0@7.1".to_owned(), &config.audit),
            triage: Arc::new(triage::Triage::load(&config.paths.knowledge_dir).unwrap()),
            tokens: Tokens::new(&[KeyBytes { version: 1, bytes: [9; 32] }], config.sessions.token_algorithm),
            passkeys: Ceremonies::new(&config.people.passkey_domain, &config.people.passkey_origins).unwrap(),
            publish: Box::new(move |event| sink.lock().push(event)),
            vault,
            config,
        });
        Self { app, recorded, published, deaf, _folder: folder }
    }

    /// Through the gate, as a connection would.
    pub(crate) async fn ask(&self, request: http::request::Builder, body: impl Into<Body>) -> Answer {
        self.ask_from("192.0.2.1", request, body).await
    }

    pub(crate) async fn ask_from(
        &self,
        address: &str,
        request: http::request::Builder,
        body: impl Into<Body>,
    ) -> Answer {
        let connection = Connection::new(address.parse().unwrap(), self.app.coarse_ms());
        let response = gate::handle(&self.app, &connection, request.body(body.into()).unwrap()).await;
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    /// From now on nothing is acknowledged.
    pub(crate) fn deafen_scribe(&self) {
        self.deaf.store(true, Ordering::Relaxed);
    }

    pub(crate) fn actions(&self) -> Vec<String> {
        self.recorded.lock().iter().map(|event| event.action.clone()).collect()
    }
}

/// One whole answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// Acknowledges everything and keeps it.
fn scribe(path: &Path, deaf: Arc<AtomicBool>) -> Arc<Mutex<Vec<Event>>> {
    let listener = std::os::unix::net::UnixListener::bind(path).unwrap();
    let recorded = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&recorded);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            while let Ok(Some(message)) = wire::read(&mut stream) {
                let number = match message {
                    ToScribe::Open { .. } => 0,
                    ToScribe::Append { first_number, events } => {
                        let number = first_number + events.len() as u64 - 1;
                        kept.lock().extend(events);
                        number
                    }
                };
                if deaf.load(Ordering::Relaxed) {
                    continue;
                }
                if wire::write(&mut stream, &FromScribe::Durable { number }).is_err() {
                    break;
                }
            }
        }
    });
    recorded
}

/// A caller with the rights of the first administrator.
pub(crate) struct Lawyer<'a> {
    pub(crate) fixture: &'a Fixture,
    pub(crate) token: String,
}

impl Fixture {
    /// Logs the first administrator in.
    pub(crate) async fn lawyer(&self) -> Lawyer<'_> {
        let password = zeroize::Zeroizing::new(PASSWORD.to_owned());
        self.app.domain.people.create_first_administrator(password, false).await.unwrap();
        self.log_in("admin", PASSWORD).await
    }

    /// By name and password alone.
    pub(crate) async fn log_in(&self, name: &str, password: &str) -> Lawyer<'_> {
        let body = serde_json::json!({ "username": name, "password": password });
        let answer = self.post("/api/v1/auth/login", &body).await.expect(200);
        self.holder_of(&answer.json()["token"])
    }

    pub(crate) fn holder_of(&self, token: &serde_json::Value) -> Lawyer<'_> {
        Lawyer { fixture: self, token: token.as_str().unwrap().to_owned() }
    }

    /// As a stranger.
    pub(crate) async fn post(&self, path: &str, body: &serde_json::Value) -> Answer {
        self.ask(json_request("POST", path), body.to_string()).await
    }
}

impl<'a> Lawyer<'a> {
    /// Somebody else with these roles, and their id.
    pub(crate) async fn colleague(&self, roles: &[&str]) -> (String, Lawyer<'a>) {
        let name = roles.join("-");
        let invitation = serde_json::json!({ "username": name, "roles": roles });
        let invited = self.post("/api/v1/users", &invitation).await.expect(201).json();
        let given = invited["oneTimePassword"].as_str().unwrap();
        let chosen = "umbrella kettle orchard";
        let change = serde_json::json!({ "oldPassword": given, "newPassword": chosen });
        self.fixture.log_in(&name, given).await.post("/api/v1/auth/password", &change).await.expect(204);
        (invited["user"]["id"].as_str().unwrap().to_owned(), self.fixture.log_in(&name, chosen).await)
    }
    pub(crate) fn request(&self, method: &str, path: &str) -> http::request::Builder {
        json_request(method, path).header("authorization", format!("Bearer {}", self.token))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.fixture.ask(self.request("GET", path), "").await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.fixture.ask(self.request("DELETE", path), "").await
    }

    pub(crate) async fn principal(&self) -> gate::Principal {
        let now_s = self.fixture.app.now_ms() / 1_000;
        let claims = self.fixture.app.tokens.verify(gate::Purpose::Bearer, &self.token, now_s).unwrap();
        gate::principal(&self.fixture.app, claims.user, claims.session).await.ok().unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: &serde_json::Value) -> Answer {
        self.fixture.ask(self.request("POST", path), body.to_string()).await
    }
}

pub(crate) fn json_request(method: &str, path: &str) -> http::request::Builder {
    http::Request::builder()
        .method(method)
        .uri(path)
        .header("host", "hotline.example")
        .header("content-type", "application/json")
}

pub(crate) const PASSWORD: &str = "correct horse battery";
