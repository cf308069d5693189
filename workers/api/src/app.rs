//! What every request of this worker shares.
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use axum::Router;
use hotline::audit::AuditClient;
use hotline::board::Board;
use hotline::config::{Budget, Config};
use hotline::lifecycle::clock;
use hotline::vault::Vault;
use hotline::wire::{LiveEvent, Slot};
use hotline_domain::Domain;
use hotline_domain::triage::Triage;
use hotline_passkeys::Ceremonies;
use tokio::sync::{Notify, Semaphore};

use crate::admission::{Admission, Emergencies};
use crate::cache::Cache;
use crate::connection::Connections;
use crate::gate::{Charge, Payer, RequestIds, Tokens, TrustedProxies, charge};
use crate::health::Health;
use crate::live::Hub;
use crate::matters::Matters;
use crate::meters::Meters;

pub(crate) type Shared = Arc<App>;

/// The worker, as handlers see it.
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) slot: Slot,
    pub(crate) boot_id: u64,
    pub(crate) board: Arc<Board>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) domain: Domain,
    pub(crate) audit: AuditClient,
    pub(crate) triage: Arc<Triage>,
    pub(crate) tokens: Tokens,
    pub(crate) passkeys: Ceremonies,
    pub(crate) cache: Arc<Cache>,
    pub(crate) matters: Matters,
    pub(crate) hub: Hub,
    pub(crate) health: Health,
    pub(crate) meters: Meters,
    pub(crate) request_ids: RequestIds,
    pub(crate) trusted_proxies: TrustedProxies,
    pub(crate) connections: Arc<Connections>,
    pub(crate) drain: Drain,
    pub(crate) admission: Arc<Admission>,
    pub(crate) emergencies: Emergencies,
    /// Changes that are being carried through, whether or not somebody still waits for the answer.
    pub(crate) unfinished: AtomicU32,
    /// Every control of our published profile holds, as of the last tick.
    pub(crate) controls_hold: AtomicBool,
    /// KiB of recordings that may be in memory at once.
    pub(crate) upload_kib: Arc<Semaphore>,
    /// Files of evidence on their way in or out: each has a thread.
    pub(crate) evidence_streams: Arc<Semaphore>,
    /// Text analyses that may run beside the request runtime at once.
    pub(crate) analyses: Semaphore,
    pub(crate) publish: Publish,
    router: OnceLock<Router>,
    coarse_ms: AtomicU64,
}

/// Tells the other workers; through the supervisor, or into a test.
pub(crate) type Publish = Box<dyn Fn(LiveEvent) + Send + Sync>;

/// What an [`App`] is made of.
pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) slot: Slot,
    pub(crate) generation: u32,
    pub(crate) boot_id: u64,
    pub(crate) board: Arc<Board>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) domain: Domain,
    pub(crate) audit: AuditClient,
    pub(crate) triage: Arc<Triage>,
    pub(crate) tokens: Tokens,
    pub(crate) passkeys: Ceremonies,
    pub(crate) publish: Publish,
}

/// The order to finish, and by when.
#[derive(Default)]
pub(crate) struct Drain {
    deadline_ms: AtomicU64,
    ordered: AtomicBool,
    told: Notify,
}

impl App {
    pub(crate) fn new(parts: Parts) -> Shared {
        let Parts { config, slot, generation, boot_id, board, vault, domain, audit, triage, tokens, passkeys, publish } =
            parts;
        let cache = Cache::new(
            &config.paths.state_dir,
            slot.index,
            config.cache.clone(),
            Arc::clone(&vault),
            Arc::clone(&board),
        );
        let app = Arc::new(Self {
            trusted_proxies: TrustedProxies::new(&config.server),
            request_ids: RequestIds::new(boot_id, slot.index, generation),
            cache: Arc::new(cache),
            matters: Matters::default(),
            hub: Hub::default(),
            health: Health::default(),
            meters: Meters::new(),
            connections: Arc::default(),
            drain: Drain::default(),
            admission: Arc::new(Admission::new(&config.admission, &config.limits)),
            emergencies: Emergencies::default(),
            unfinished: AtomicU32::new(0),
            controls_hold: AtomicBool::new(false),
            upload_kib: Arc::new(Semaphore::new(UPLOAD_KIB_MAX)),
            evidence_streams: Arc::new(Semaphore::new(EVIDENCE_STREAMS_MAX)),
            analyses: Semaphore::new(ANALYSES_MAX),
            router: OnceLock::new(),
            coarse_ms: AtomicU64::new(clock::now_ms()),
            config,
            slot,
            boot_id,
            board,
            vault,
            domain,
            audit,
            triage,
            tokens,
            passkeys,
            publish,
        });
        let router = crate::routes::router(Arc::clone(&app));
        let _ = app.router.set(router);
        app
    }

    pub(crate) fn router(&self) -> &Router {
        self.router.get().expect("the router is set before the first connection is taken")
    }

    pub(crate) fn now_ms(&self) -> u64 {
        clock::now_ms()
    }

    pub(crate) fn now(&self) -> jiff::Timestamp {
        let ms = i64::try_from(self.now_ms()).unwrap_or(i64::MAX);
        jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX)
    }

    /// Today where the service is; decides what "tomorrow" meant.
    pub(crate) fn today(&self) -> jiff::civil::Date {
        let zone = jiff::tz::TimeZone::get(&self.config.triage.time_zone).unwrap_or(jiff::tz::TimeZone::UTC);
        self.now().to_zoned(zone).date()
    }

    /// The time of the last tick: good enough for idle connections, and free.
    pub(crate) fn coarse_ms(&self) -> u64 {
        self.coarse_ms.load(Ordering::Relaxed)
    }

    pub(crate) fn set_coarse_ms(&self, now_ms: u64) {
        self.coarse_ms.store(now_ms, Ordering::Relaxed);
    }

    pub(crate) fn charge(&self, payer: Payer, budget: Budget) -> Charge {
        charge(&self.board, self.boot_id, payer, budget, self.now_ms())
    }

    pub(crate) fn count_request(&self) {
        self.board.cell(self.slot.cell).requests().fetch_add(1, Ordering::Relaxed);
    }

    /// To the listeners of this worker.
    pub(crate) fn hear(&self, event: &LiveEvent) {
        self.emergencies.hear(event);
        self.hub.deliver(event);
    }

    /// To the listeners of this worker and of every other.
    pub(crate) fn announce(&self, topic: String, payload: &serde_json::Value) {
        let event = LiveEvent { topic, payload: payload.to_string() };
        self.hear(&event);
        (self.publish)(event);
    }
}

impl Drain {
    pub(crate) fn order(&self, deadline_ms: u64) {
        self.deadline_ms.store(deadline_ms, Ordering::Relaxed);
        self.ordered.store(true, Ordering::Release);
        self.told.notify_waiters();
    }

    pub(crate) fn is_ordered(&self) -> bool {
        self.ordered.load(Ordering::Acquire)
    }

    pub(crate) fn deadline_ms(&self) -> u64 {
        self.deadline_ms.load(Ordering::Relaxed)
    }

    pub(crate) async fn ordered(&self) {
        loop {
            let told = self.told.notified();
            if self.is_ordered() {
                return;
            }
            told.await;
        }
    }
}

/// A quarter of a gibibyte: five of the largest recordings, or hundreds of ordinary ones.
const UPLOAD_KIB_MAX: usize = 256 * 1024;
/// Of one worker.
const EVIDENCE_STREAMS_MAX: usize = 64;
const ANALYSES_MAX: usize = 4;
